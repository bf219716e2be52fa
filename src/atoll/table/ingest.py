"""Intake of tables: every value that enters is checked and brought to one form here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from atoll.core.errors import DataError
from atoll.core.limits import Limits
from atoll.table.ids import normalise, refuse_duplicates
from atoll.table.problems import Problem, Sink, raise_first

PARTITION_ROWS = 1 << 18
NAME_BYTES = 256

_EXACT = 1 << 53

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Which columns to take: the id, the label if any, and the features (None: all others)."""

    id_name: str = "id"
    label: str | None = None
    columns: tuple[str, ...] | None = None

    def without_label(self) -> Layout:
        """Return the same without a label."""
        return Layout(self.id_name, None, self.columns)

    def chosen(self, present: Sequence[str], sink: Sink) -> tuple[str, ...]:
        """Return the names of features, then the label.

        Errors: ATL-TAB-002 a column is missing, ATL-TAB-016 ids as a label.
        """
        if self.label == self.id_name:
            message, hint = "the id column cannot be the label, too", "name another column"
            sink(Problem("ATL-TAB-016", message, column=self.label, hint=hint))
            return self.without_label().chosen(present, sink)
        known = set(present)
        wanted = [self.id_name, *(self.columns or ()), *([self.label] if self.label else [])]
        for name in wanted:
            if name not in known:
                hint = _suggestion(present)
                sink(Problem("ATL-TAB-002", f"there is no column {name!r}", hint=hint))
        taken = present if self.columns is None else self.columns
        own = {self.id_name, self.label}
        unique = dict.fromkeys(taken)
        features = tuple(name for name in unique if name not in own and name in known)
        return (*features, self.label) if self.label in known and self.label else features


def _suggestion(present: Sequence[str]) -> str:
    # A first row that is no header holds data, which must not be shown.
    names = [name for name in present if name.isidentifier() and len(name) <= 64]
    if len(names) < len(present):
        return "is the first row a header?"
    shown = ", ".join(repr(name) for name in names[:10])
    return f"the columns are {shown}" + (", …" if len(names) > 10 else "")


def check_names(names: Sequence[str], sink: Sink, row: int | None = None) -> bool:
    """Return whether names are non-empty, unique, printable and short. Errors: ATL-TAB-011."""
    fine, seen = True, set()
    for at, name in enumerate(names, 1):
        message = None
        if not name.strip():
            message = f"column {at} has no name"
        elif name in seen:
            message = f"column {at} repeats an earlier name"
        elif len(name.encode()) > NAME_BYTES or not name.isprintable():
            message = f"the name of column {at} is too long or has characters that do not print"
        seen.add(name)
        if message:
            fine = False
            hint = "is the first row a header? give each column a name of its own"
            sink(Problem("ATL-TAB-011", message, row, hint=hint))
    return fine


def check_size(rows: int, columns: int, limits: Limits) -> None:
    """Refuse a table beyond the limits. Errors: ATL-TAB-018."""
    if rows > limits.rows or columns > limits.columns:
        raise DataError(
            "ATL-TAB-018",
            f"more than {limits.rows} rows or {limits.columns} columns",
            hint="raise the limits if a table of this size is meant",
        )


def numeric(column: Any, *, name: str, first_row: int, sink: Sink) -> Any:
    """Return one array of integers or floats in which missing values are null, never NaN.

    Errors: ATL-TAB-014 infinite, -016 not numeric, -024 an integer that a float64 cannot hold.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return numeric(column.dictionary_decode(), name=name, first_row=first_row, sink=sink)
    if pa.types.is_boolean(kind):
        return column.cast(pa.uint8())
    if pa.types.is_null(kind):
        return column.cast(pa.float64())
    if pa.types.is_integer(kind):
        _exact(column, name, first_row, sink)
        return column
    if not pa.types.is_floating(kind):
        hint = "features are numbers: encode it, or choose the columns to take"
        sink(Problem("ATL-TAB-016", f"type {kind} is not numeric", None, name, hint=hint))
        return pa.nulls(len(column), pa.float64())
    if pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    values = column.to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    if finite.all():
        return column
    endless = np.isinf(values)
    if endless.any():
        row = first_row + int(np.argmax(endless))
        hint = "write missing values as empty, and clip or drop infinite ones"
        sink(Problem("ATL-TAB-014", "a value is infinite", row, name, hint=hint))
    return pa.array(values, type=column.type, mask=~finite)


def _exact(column: Any, name: str, first_row: int, sink: Sink) -> None:
    if column.type.bit_width < 64:
        return
    extremes = pc.min_max(column)
    low, high = extremes["min"].as_py(), extremes["max"].as_py()
    if low is not None and (low < -_EXACT or high > _EXACT):
        large = pc.or_(pc.less(column, -_EXACT), pc.greater(column, _EXACT))
        flags = large.fill_null(False).to_numpy(zero_copy_only=False)
        row = first_row + int(np.argmax(flags))
        message = "an integer is beyond 2^53 and has no exact float64"
        hint = "such a number is a name, not a quantity: use it as id or leave it out"
        sink(Problem("ATL-TAB-024", message, row, name, hint=hint))


def labels_present(column: Any, *, name: str, first_row: int, sink: Sink) -> None:
    """Refuse a label column with missing values. Errors: ATL-TAB-015."""
    if column.null_count:
        row = first_row + int(np.argmin(column.is_valid().to_numpy(zero_copy_only=False)))
        hint = "drop the rows without a label first"
        sink(Problem("ATL-TAB-015", "the label is missing", row, name, hint=hint))


@dataclass
class Intake:
    """Takes batches in, one after the other, and hands out the finished partitions.

    ``first_row`` numbers the first value for problems; ``sink`` raises or collects them.
    """

    layout: Layout
    limits: Limits = field(default_factory=Limits)
    sink: Sink = field(default_factory=raise_first)
    first_row: int = 1
    rows: int = 0
    partitions: list[Any] = field(default_factory=list)
    _numbers: list[tuple[int, Rows | None]] = field(default_factory=list)

    def add(self, batch: Any, rows: Rows | None = None) -> Any:
        """Check and keep one record batch; return it in its final form.

        ``rows`` gives row numbers where some records before were left out.
        """
        start = self.first_row + self.rows
        sink = self.sink if rows is None else _renumbered(self.sink, rows)
        first = start if rows is None else 0
        taken = self.layout.chosen(batch.schema.names, self.sink)
        check_size(self.rows + batch.num_rows, len(taken), self.limits)
        name = self.layout.id_name
        arrays = [normalise(batch.column(name), name=name, first_row=first, sink=sink)]
        for column in taken:
            values = numeric(batch.column(column), name=column, first_row=first, sink=sink)
            if column == self.layout.label:
                labels_present(values, name=column, first_row=first, sink=sink)
            arrays.append(values)
        done = pa.RecordBatch.from_arrays(arrays, names=[name, *taken])
        self._numbers.append((self.rows, rows))
        self.rows += batch.num_rows
        for at in range(0, done.num_rows, PARTITION_ROWS):
            self.partitions.append(done.slice(at, PARTITION_ROWS))
        return done

    def finish(self, limit: int = 1) -> list[Any]:
        """Look at the table as a whole. Errors: ATL-TAB-003 an id twice, ATL-TAB-017 no rows."""
        if not self.rows:
            self.sink(Problem("ATL-TAB-017", "the table has no rows", hint="is it the right file?"))
            return self.partitions
        name = self.layout.id_name
        ids = pa.chunked_array([part.column(name) for part in self.partitions])
        refuse_duplicates(ids, name=name, row_of=self._row_of, sink=self.sink, limit=limit)
        return self.partitions

    def _row_of(self, position: int) -> int:
        """Return the row number of a position among the rows that were kept."""
        at = bisect_right(self._numbers, position, key=lambda entry: entry[0]) - 1
        start, rows = self._numbers[at]
        return self.first_row + position if rows is None else int(rows[position - start])


def _renumbered(sink: Sink, rows: Rows) -> Sink:
    def renumber(problem: Problem) -> None:
        row = None if problem.row is None else int(rows[problem.row])
        sink(
            Problem(problem.code, problem.message, row, problem.column, problem.line, problem.hint)
        )

    return renumber


def intake(batches: Iterable[Any], layout: Layout, limits: Limits, sink: Sink) -> list[Any]:
    """Take in typed batches and return the partitions. Errors: those of ``Intake``."""
    intake = Intake(layout, limits, sink)
    for batch in batches:
        if batch.num_rows:
            check_names(batch.schema.names, sink)
            intake.add(batch)
    return intake.finish()

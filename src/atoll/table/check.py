"""Looking a file over before it is used: all its problems, and what its columns hold in sum."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atoll.core.errors import AtollError, DataError
from atoll.core.limits import Limits
from atoll.core.printable import clean
from atoll.table.ingest import Intake, Layout
from atoll.table.problems import Problem
from atoll.table.sources import file_format
from atoll.table.sources.arrow import ipc_batches, layout_of, parquet_batches, take_in
from atoll.table.sources.csv import Block, Reader, parse
from atoll.table.sources.files import open_input
from atoll.table.sources.structure import CsvLimits

DISTINCT = 1000

_ROLES = ("id", "label", "feature")


@dataclass(frozen=True)
class ColumnSummary:
    """A column in sum. ``distinct`` counts up to 1,000 (then ``many``); id columns give bytes.

    ``minimum`` and ``maximum`` are those of the values, for an id those of its length in bytes.
    """

    name: str
    role: str
    type: str
    missing: int
    distinct: int
    many: bool
    minimum: float | None
    maximum: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return dict(vars(self))


@dataclass(frozen=True)
class CheckReport:
    """What ``check_file`` found: facts, columns, and problems in the order of rows.

    ``complete`` is false where the list of problems was cut at its limit. No value of a row is in
    it, only counts and the extremes of columns.
    """

    file: str
    format: str
    bytes: int
    rows: int
    columns: tuple[ColumnSummary, ...]
    problems: tuple[Problem, ...]
    complete: bool
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether the file can be read as it is."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "file": self.file,
            "format": self.format,
            "bytes": self.bytes,
            "rows": self.rows,
            "ok": self.ok,
            "columns": [column.to_dict() for column in self.columns],
            "problems": [problem.to_dict() for problem in self.problems],
            "complete": self.complete,
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Give the report as lines of text."""
        size = f"{self.bytes / 1e6:,.1f} MB" if self.bytes >= 1e5 else f"{self.bytes:,} bytes"
        lines = [f"{self.file}: {self.format}, {self.rows:,} rows, {size}"]
        lines += [f"note: {note}" for note in self.notes]
        if self.columns:
            lines += ["", *_columns_text(self.columns)]
        lines.append("")
        lines.append(_count_text(len(self.problems), self.complete))
        for problem in self.problems:
            place = f" {problem.place}:" if problem.place else ""
            lines.append(f"  {problem.code}{place} {problem.message}")
            if problem.hint:
                lines.append(f"      hint: {problem.hint}")
        return "\n".join(lines)


def _count_text(count: int, complete: bool) -> str:
    if not count:
        return "no problems"
    words = "1 problem" if count == 1 else f"{count} problems"
    return words if complete else f"more than {words}; these are the first"


def _columns_text(columns: tuple[ColumnSummary, ...]) -> Iterator[str]:
    head = ("column", "role", "type", "missing", "distinct", "minimum", "maximum")
    rows = [head, *(_row(column) for column in columns)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    for row in rows:
        left = [row[at].ljust(widths[at]) for at in range(3)]
        right = [row[at].rjust(widths[at]) for at in range(3, len(head))]
        yield "  " + "  ".join([*left, *right])


def _row(column: ColumnSummary) -> tuple[str, ...]:
    unit = " B" if column.role == "id" else ""
    ends = ["–" if end is None else f"{end:.6g}{unit}" for end in (column.minimum, column.maximum)]
    distinct = f"> {column.distinct:,}" if column.many else f"{column.distinct:,}"
    return (clean(column.name), column.role, column.type, f"{column.missing:,}", distinct, *ends)


class _Enough(Exception):
    """The list of problems is full."""


@dataclass
class _Collector:
    limit: int
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True

    def __call__(self, problem: Problem) -> None:
        if problem in self.problems:
            return
        if len(self.problems) >= self.limit:
            self.complete = False
            raise _Enough
        self.problems.append(problem)


@dataclass
class _Counting:
    """Counts over the partitions of one column."""

    name: str
    role: str
    missing: int = 0
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = True
    values: Any = None
    many: bool = False

    def add(self, column: Any) -> None:
        """Count one more array."""
        self.missing += column.null_count
        if self.role == "id":
            numbers = pc.binary_length(column).to_numpy(zero_copy_only=False)
        else:
            numbers = column.drop_null().to_numpy(zero_copy_only=False)
        if not len(numbers):
            return
        ends = float(numbers.min()), float(numbers.max())
        self.minimum = ends[0] if self.minimum is None else min(self.minimum, ends[0])
        self.maximum = ends[1] if self.maximum is None else max(self.maximum, ends[1])
        if self.role == "id":
            return
        self.whole = self.whole and not np.any(numbers % 1)
        if not self.many:
            known = np.unique(numbers)
            self.values = known if self.values is None else np.union1d(self.values, known)
            self.many = len(self.values) > DISTINCT

    def summary(self, people: int) -> ColumnSummary:
        """Give the sum over all; ``people`` is the number of different ids."""
        if self.role == "id":
            distinct, kind, many = people, "bytes", False
        else:
            distinct = min(0 if self.values is None else len(self.values), DISTINCT)
            kind, many = "integer" if self.whole else "number", self.many
        return ColumnSummary(
            self.name, self.role, kind, self.missing, distinct, many, self.minimum, self.maximum
        )


def check_file(
    path: str | os.PathLike[str],
    id_column: str = "id",
    label: str | None = None,
    *,
    columns: tuple[str, ...] | None = None,
    delimiter: str = ",",
    limit: int = 100,
) -> CheckReport:
    """Look a CSV, Parquet or Arrow file over and report up to ``limit`` problems.

    Only what keeps the file from being looked at is raised. Errors: ATL-TAB-001 unreadable,
    ATL-TAB-021 delimiter, ATL-TAB-023 unknown format.
    """
    name, form = os.path.basename(os.fspath(path)), file_format(path)
    check = _Check(Layout(id_column, label, columns), _Collector(limit))
    with open_input(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            if form == "csv":
                check.csv(stream, delimiter)
            else:
                check.typed(stream, form)
            check.finish()
        except _Enough:
            pass
        except DataError as error:
            check.keep(error)
    return CheckReport(
        name,
        form,
        size,
        max(check.rows, check.intake.rows),
        check.summaries(),
        tuple(sorted(check.collect.problems, key=lambda problem: problem.row or 0)),
        check.collect.complete,
        tuple(check.notes),
    )


class _Check:
    """The state of one look at a file."""

    def __init__(self, layout: Layout, collect: _Collector) -> None:
        self.collect = collect
        self.intake = Intake(layout, Limits(), collect)
        self.countings: dict[str, _Counting] = {}
        self.notes: list[str] = []
        self.rows = 0

    def csv(self, stream: Any, delimiter: str) -> None:
        """Look at the structure of a CSV file, and at the values of its sound rows."""
        self.intake.first_row = 2
        limits, most = CsvLimits(), self.collect.limit
        reader = Reader(stream, delimiter=delimiter, limits=limits, sink=self.collect, most=most)
        layout = self.intake.layout
        try:
            for block in reader:
                taken = layout.chosen(reader.header, self.collect)
                if layout.id_name in reader.header:
                    self._block(block, reader.header, taken, delimiter)
        finally:
            self.rows = reader.rows
            if reader.had_bom:
                self.notes.append("the file starts with a UTF-8 byte order mark; it is left out")
        if reader.header and not self.rows:
            layout.chosen(reader.header, self.collect)

    def _block(
        self, block: Block, header: Sequence[str], taken: Sequence[str], delimiter: str
    ) -> None:
        name = self.intake.layout.id_name
        batch = parse(block, header, [name, *taken], name, delimiter, self.collect)
        numbers = block.numbers
        if numbers is None:
            numbers = np.arange(block.row, block.row + block.rows)
        self._count(self.intake.add(batch, numbers))

    def typed(self, stream: Any, form: str) -> None:
        """Look at a Parquet or Arrow file."""
        opener = parquet_batches if form == "parquet" else ipc_batches
        asked = self.intake.layout
        with opener(stream, self.intake.limits) as (schema, batches):
            layout = layout_of(schema, asked.id_name, asked.label, asked.columns)
            self.intake = Intake(layout, self.intake.limits, self.collect)
            take_in(schema, batches, self.intake)
        for part in self.intake.partitions:
            self._count(part)

    def finish(self) -> None:
        """Look at the table as a whole."""
        if self.intake.rows or not self.collect.problems:
            self.intake.finish(self.collect.limit + 1)

    def keep(self, error: AtollError) -> None:
        """Turn an error that ended the check into a problem."""
        if len(self.collect.problems) < self.collect.limit:
            place = f" ({error.place})" if error.place else ""
            self.collect(Problem(error.code, error.message + place, hint=error.hint))

    def _count(self, batch: Any) -> None:
        layout = self.intake.layout
        roles = {layout.id_name: "id", layout.label: "label"}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            counting = self.countings.setdefault(name, _Counting(name, roles.get(name, "feature")))
            counting.add(column)

    def summaries(self) -> tuple[ColumnSummary, ...]:
        """Return the columns in sum: the id, the label, then the features."""
        order = sorted(self.countings.values(), key=lambda counting: _ROLES.index(counting.role))
        return tuple(counting.summary(self._people()) for counting in order)

    def _people(self) -> int:
        if all(problem.code != "ATL-TAB-003" for problem in self.collect.problems):
            return self.intake.rows
        name = self.intake.layout.id_name
        ids = pa.chunked_array([part.column(name) for part in self.intake.partitions])
        return int(pc.count_distinct(ids).as_py())

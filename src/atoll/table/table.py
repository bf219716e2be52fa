"""The partitioned table: Arrow record batches with one id column and numeric columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atoll.core.errors import DataError, UserError
from atoll.core.limits import Limits
from atoll.table import convert, rows
from atoll.table.digest import rows_digest, table_digest
from atoll.table.engines import Engine
from atoll.table.engines.local import default_engine
from atoll.table.ingest import PARTITION_ROWS, Layout, intake
from atoll.table.labels import LabelFacts
from atoll.table.problems import raise_first

if TYPE_CHECKING:
    import polars

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Table:
    """An immutable table: ids, features and perhaps a label, cut into partitions of rows.

    Every id follows ``id-rule/v1`` and occurs once. Features are integers or floats; a missing
    value is null in Arrow and NaN in a matrix. ``columns`` names the features alone, so that a
    label is never taken for one. Make tables with ``from_arrow`` and its like or with the readers
    of ``atoll.table.sources``.

    ``alignment`` names where the order of the rows was agreed on by the parties: equal names mean
    the same rows in the same order at all of them; None: not agreed on. What chooses or
    moves rows loses it (``with_alignment`` sets it). ``first_row`` numbers the first row as
    the file it was read from does.
    """

    def __init__(
        self,
        partitions: Sequence[Any],
        id_name: str,
        label_name: str | None = None,
        engine: Engine | None = None,
        *,
        alignment: str | None = None,
        first_row: int = 1,
    ) -> None:
        """Wrap partitions that were checked before: one schema, the id column first."""
        if not partitions:
            raise UserError("ATL-TAB-017", "a table has at least one partition")
        if any(not part.schema.equals(partitions[0].schema) for part in partitions):
            raise UserError("ATL-TAB-021", "partitions of one table have different columns")
        self._partitions = tuple(partitions)
        self._schema = partitions[0].schema.remove_metadata()
        self.id_name = id_name
        self.label_name = label_name
        self.engine: Engine = engine or default_engine()
        self.alignment = alignment
        self.first_row = first_row

    # -- making -------------------------------------------------------------------------------

    @classmethod
    def from_arrow(
        cls,
        data: Any,
        *,
        id_column: str = "id",
        label: str | None = None,
        columns: Sequence[str] | None = None,
        limits: Limits | None = None,
    ) -> Table:
        """Take in an Arrow table, record batch, reader or list of batches.

        Errors: ATL-TAB-002 missing column, -003 duplicate id, -004…-007 bad id, -011 bad column
        name, -014 infinite, -015 missing label, -016 not numeric, -017 no rows, -018 too large.
        """
        chosen = None if columns is None else tuple(columns)
        layout = Layout(id_column, label, chosen)
        parts = intake(convert.batches(data), layout, limits or Limits(), raise_first())
        return cls(parts, id_column, label)

    @classmethod
    def from_columns(
        cls,
        ids: Any,
        columns: Mapping[str, Any],
        *,
        id_column: str = "id",
        label: str | None = None,
    ) -> Table:
        """Make a table of ids and named one-dimensional arrays. Errors: those of ``from_arrow``."""
        return cls.from_arrow(
            pa.table({id_column: ids, **columns}), id_column=id_column, label=label
        )

    @classmethod
    def from_pandas(cls, frame: Any, *, id_column: str = "id", label: str | None = None) -> Table:
        """Take in a pandas frame; its index is left out. Errors: those of ``from_arrow``."""
        return cls.from_arrow(convert.from_pandas(frame), id_column=id_column, label=label)

    @classmethod
    def from_polars(
        cls, frame: polars.DataFrame, *, id_column: str = "id", label: str | None = None
    ) -> Table:
        """Take in a polars frame. Errors: those of ``from_arrow``."""
        return cls.from_arrow(frame.to_arrow(), id_column=id_column, label=label)

    # -- looking ------------------------------------------------------------------------------

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return sum(part.num_rows for part in self._partitions)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the features, in order: neither the id nor the label."""
        own = {self.id_name, self.label_name}
        return tuple(name for name in self._schema.names if name not in own)

    @property
    def partitions(self) -> tuple[Any, ...]:
        """The record batches, the id column (``binary``) first."""
        return self._partitions

    @property
    def schema(self) -> Any:
        """The Arrow schema: id, features, label."""
        return self._schema

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        label = f", label {self.label_name!r}" if self.label_name else ""
        return f"<Table {self.num_rows} rows, {len(self.columns)} columns{label}>"

    def ids(self) -> Any:
        """Return the ids as a chunked ``binary`` array, one chunk a partition."""
        return self.column(self.id_name)

    def column(self, name: str) -> Any:
        """Return any column as a chunked Arrow array. Errors: ATL-TAB-002."""
        self._require([name])
        chunks = [part.column(name) for part in self._partitions]
        return pa.chunked_array(chunks, type=self._schema.field(name).type)

    def matrix(
        self, names: Sequence[str] | None = None, *, missing: bool = True, order: str = "C"
    ) -> Floats:
        """Return features as float64[rows, names], NaN where missing; ``order`` is C or F.

        Errors: ATL-TAB-002 no such column, ATL-TAB-015 a value is missing and ``missing`` is false,
        ATL-TAB-016 ids are not numbers.
        """
        chosen = self.columns if names is None else tuple(names)
        self._require(chosen)
        if self.id_name in chosen:
            raise UserError("ATL-TAB-016", "ids are not numbers", hint="choose feature columns")
        if order == "F":
            out: Floats = np.empty((len(chosen), self.num_rows), dtype=np.float64).T
        else:
            out = np.empty((self.num_rows, len(chosen)), dtype=np.float64)
        starts = np.cumsum([0, *(part.num_rows for part in self._partitions)])

        def fill(at: int) -> None:
            part = self._partitions[at]
            for position, name in enumerate(chosen):
                values = part.column(name).to_numpy(zero_copy_only=False)
                out[starts[at] : starts[at + 1], position] = values

        self.engine.map(fill, range(len(self._partitions)))
        if not missing:
            for name in chosen:
                self._refuse_missing(name)
        return out

    def label(self, name: str | None = None) -> Floats:
        """Return the label (or the named column) as float64[rows], none missing.

        Errors: ATL-TAB-002 no label or no such column, ATL-TAB-015 a value is missing.
        """
        chosen = name or self.label_name
        if chosen is None:
            raise DataError("ATL-TAB-002", "the table has no label", hint="name it when reading")
        return self.matrix([chosen], missing=False)[:, 0]

    def label_facts(self) -> LabelFacts | None:
        """Return the classes of the label and their first rows; None without a label."""
        if self.label_name is None:
            return None
        return LabelFacts.of(self.label(), self.label_name, self.first_row)

    def digest(self) -> str:
        """Return the SHA-256 of the content (hexadecimal), the same for any partitioning.

        ``alignment`` is no part of it.
        """
        return table_digest(self._partitions, self._schema, self.label_name, self.engine)

    def rows_digest(self) -> str:
        """Return the SHA-256 of the content (hexadecimal), whichever column is the label.

        By it accounts are kept: who names the label does not make other rows of them.
        """
        return rows_digest(self._partitions, self._schema, self.engine)

    def head(self, count: int = 10) -> Table:
        """Return the first rows, at least one."""
        return self._like(rows.rebatch(self.to_arrow().slice(0, max(count, 1)), PARTITION_ROWS))

    # -- columns ------------------------------------------------------------------------------

    def select(self, names: Sequence[str]) -> Table:
        """Keep these features (and the id and label). Errors: ATL-TAB-002."""
        self._require(names)
        kept = [self.id_name, *(name for name in names if name not in self._own)]
        if self.label_name:
            kept.append(self.label_name)
        return self._same_rows([part.select(kept) for part in self._partitions])

    def with_alignment(self, alignment: str | None) -> Table:
        """Return these rows as agreed on where ``alignment`` states, or (None) not agreed on."""
        return Table(
            self._partitions, self.id_name, self.label_name, self.engine, alignment=alignment
        )

    def rename(self, names: Mapping[str, str]) -> Table:
        """Rename columns, old name to new. Errors: ATL-TAB-002, ATL-TAB-019 two of one name."""
        self._require(list(names))
        renamed = [names.get(name, name) for name in self._schema.names]
        rows.refuse_collision(renamed)
        label = names.get(self.label_name, self.label_name) if self.label_name else None
        parts = [part.rename_columns(renamed) for part in self._partitions]
        id_name = names.get(self.id_name, self.id_name)
        return Table(parts, id_name, label, self.engine, alignment=self.alignment)

    def without_label(self) -> Table:
        """Leave the label column out."""
        kept = [self.id_name, *self.columns]
        parts = [part.select(kept) for part in self._partitions]
        return Table(parts, self.id_name, None, self.engine, alignment=self.alignment)

    # -- partitions ---------------------------------------------------------------------------

    def map_partitions(self, function: Callable[[Any], Any]) -> Table:
        """Apply ``function`` (record batch to record batch) to each partition, in parallel.

        The result is checked like any table: ids may be left out, but not made twice. It stays
        aligned if every partition keeps its ids in their order. Errors: those of ``from_arrow``.
        """
        made = self.engine.map(function, self._partitions)
        names = made[0].schema.names
        label = self.label_name if self.label_name in names else None
        parts = intake(made, Layout(self.id_name, label), Limits(), raise_first())
        table = Table(parts, self.id_name, label, self.engine)
        kept = self.alignment is not None and table.ids().equals(self.ids())
        return table.with_alignment(self.alignment) if kept else table

    def reduce(self, function: Callable[[Any], T], combine: Callable[[T, T], T]) -> T:
        """Apply ``function`` to each partition, then ``combine`` results from first to last."""
        results = self.engine.map(function, self._partitions)
        whole = results[0]
        for result in results[1:]:
            whole = combine(whole, result)
        return whole

    def repartition(self, size: int = PARTITION_ROWS) -> Table:
        """Cut the rows again into partitions of ``size`` rows; the content stays the same."""
        if size < 1:
            raise UserError("ATL-TAB-021", "a partition has at least one row")
        merged = rows.rebatch(self.to_arrow(), size)
        return self._same_rows(merged)

    # -- rows ---------------------------------------------------------------------------------

    def filter(self, mask: Any) -> Table:
        """Keep the rows where ``mask`` is true: a boolean array, or a function of a record batch.

        Errors: ATL-TAB-021 the mask has another length, ATL-TAB-017 nothing is left.
        """
        return self._like(rows.filtered(self._partitions, mask, self.engine))

    def take(self, indices: Any) -> Table:
        """Return the rows at these positions (int64), in this order, each at most once.

        Errors: ATL-TAB-020 out of range, ATL-TAB-003 a position twice, ATL-TAB-017 none.
        """
        chosen = rows.positions(indices, self.num_rows)
        return self._like(rows.gathered(self.to_arrow(), chosen, self.engine))

    def align(self, ids: Any) -> Table:
        """Return the rows in the order of ``ids`` (binary array), other rows left out.

        Errors: ATL-TAB-020 an id is not in the table, ATL-TAB-003 an id is given twice.
        """
        return self.take(rows.located(self.ids(), ids))

    def join(self, other: Table) -> Table:
        """Return the rows whose id both tables hold, in this table's order, with all columns.

        Errors: ATL-TAB-019 a column name in both, ATL-TAB-017 no id in common.
        """
        names = self._schema.names
        theirs = [name for name in other.schema.names if name != other.id_name]
        rows.refuse_collision([*names, *theirs])
        if self.label_name and other.label_name:
            raise UserError("ATL-TAB-019", "both tables have a label")
        found = rows.lookup(other.ids(), self.ids())
        mine = self.filter(found >= 0)
        matched = other.take(found[found >= 0]).to_arrow().select(theirs)
        whole = mine.to_arrow()
        for name in theirs:
            whole = whole.append_column(name, matched.column(name))
        label = self.label_name or other.label_name
        parts = rows.rebatch(whole.select(_label_last(whole.column_names, label)), PARTITION_ROWS)
        return Table(parts, self.id_name, label, self.engine)

    def union(self, other: Table) -> Table:
        """Return these rows, then the other's rows with new ids; columns go by name.

        Errors: ATL-TAB-021 the other has other columns or types, id or label.
        """
        names = rows.same_columns(self._schema, other.schema)
        if self._own != other._own or self.label_name != other.label_name:
            raise UserError("ATL-TAB-021", "the tables have another id or label column")
        fresh = rows.lookup(self.ids(), other.ids()) < 0
        if not fresh.any():
            return self
        theirs = [part.select(names) for part in other.filter(fresh).partitions]
        return self._like([*self._partitions, *theirs])

    def shares_ids(self, other: Table) -> bool:
        """Return whether some id is in both tables."""
        return bool((rows.lookup(self.ids(), other.ids()) >= 0).any())

    def subtract_by_key(self, other: Table) -> Table:
        """Return the rows whose id the other table does not hold. Errors: ATL-TAB-017 none."""
        return self.filter(rows.lookup(other.ids(), self.ids()) < 0)

    # -- leaving ------------------------------------------------------------------------------

    def to_arrow(self) -> Any:
        """Return an Arrow table over the same memory."""
        return pa.Table.from_batches(self._partitions, schema=self._schema)

    def to_pandas(self) -> Any:
        """Return a pandas frame; ids become text."""
        return convert.to_pandas(self.to_arrow(), self.id_name)

    def to_polars(self) -> polars.DataFrame:
        """Return a polars frame; ids become text."""
        return convert.to_polars(self.to_arrow(), self.id_name)

    # -- inside -------------------------------------------------------------------------------

    @property
    def _own(self) -> set[str | None]:
        return {self.id_name, self.label_name}

    def _like(self, partitions: Iterable[Any]) -> Table:
        return Table(list(partitions), self.id_name, self.label_name, self.engine)

    def _same_rows(self, partitions: Iterable[Any]) -> Table:
        return self._like(partitions).with_alignment(self.alignment)

    def _require(self, names: Sequence[str]) -> None:
        Layout(self.id_name, None, tuple(names)).chosen(self._schema.names, raise_first())

    def _refuse_missing(self, name: str) -> None:
        column = self.column(name)
        if column.null_count:
            row = int(np.argmin(column.is_valid().to_numpy())) + 1
            raise DataError(
                "ATL-TAB-015",
                "a value is missing where none may be",
                place=f"row {row}, column {name!r}",
                hint="fill or drop missing values first",
            )


def _label_last(names: Sequence[str], label: str | None) -> list[str]:
    kept = [name for name in names if name != label]
    return [*kept, label] if label else kept

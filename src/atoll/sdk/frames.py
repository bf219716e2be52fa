"""Tables of other programs as a party's own tables: pandas, polars, Arrow, files; none imported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atoll.core.errors import DataError, UserError
from atoll.jobs.errors import NotFoundError
from atoll.jobs.validation import near
from atoll.table import Table, convert, read
from atoll.table.ingest import check_names
from atoll.table.problems import raise_first


def as_table(data: Any, *, id_column: str = "id", label: str | None = None) -> Table:
    """Return data as a ``Table``: one already, a file, a pandas or polars frame, or Arrow.

    Errors: ATL-SDK-031 another kind of thing, those of ``Table.from_arrow`` and of the readers.
    """
    if isinstance(data, Table):
        return _renamed(data, id_column, label)
    if isinstance(data, str | os.PathLike):
        return read(data, id_column=id_column, label=label)
    import pyarrow as pa

    if isinstance(data, pa.Table | pa.RecordBatch):
        return Table.from_arrow(data, id_column=id_column, label=label)
    home = type(data).__module__.partition(".")[0]
    if home == "pandas":
        return Table.from_pandas(data, id_column=id_column, label=label)
    if home == "polars" and hasattr(data, "to_arrow"):
        return Table.from_polars(data, id_column=id_column, label=label)
    if hasattr(data, "__arrow_c_stream__"):
        return Table.from_arrow(pa.table(data), id_column=id_column, label=label)
    raise UserError(
        "ATL-SDK-031",
        f"cannot make a table of {type(data).__name__}",
        hint="give a pandas or polars frame, an Arrow table, an atoll Table, or a file's path",
    )


def _renamed(table: Table, id_column: str, label: str | None) -> Table:
    """Return a table under another label, if that is asked for."""
    if table.id_name == id_column and table.label_name == label:
        return table
    return Table.from_arrow(table.to_arrow(), id_column=id_column, label=label)


class NamedColumns:
    """The columns of a frame by name; their values are not looked at yet.

    ``names`` are the names as text; ``textual`` states whether they were text before.
    """

    def __init__(self, data: Any) -> None:
        """Take in a pandas or polars frame, Arrow, or a ``Table`` with its id and label.

        Errors: ATL-SDK-031 another kind of thing, ATL-TAB-011 two columns of one name.
        """
        self._data = data if is_pandas(data) else _arrow(data)
        names = list(data.columns) if is_pandas(data) else self._data.column_names
        self.names = tuple(str(name) for name in names)
        self.textual = all(isinstance(name, str) for name in names)
        check_names(self.names, raise_first())

    def select(self, names: Sequence[str]) -> Any:
        """Return these columns as an Arrow table, in this order.

        Errors: ATL-TAB-016 a pandas column of things of several types.
        """
        if not is_pandas(self._data):
            return self._data.select(list(names))
        chosen = set(names)
        kept = [name in chosen for name in self.names]
        return convert.from_pandas(self._data.loc[:, kept]).select(list(names))


def is_frame(data: Any) -> bool:
    """Return whether data has columns with names: arrays and series have none.

    So has a frame of a library that we cannot read; it must not be taken for an array.
    """
    kind = type(data)
    streamed = hasattr(kind, "__arrow_c_stream__") and hasattr(kind, "schema")
    return hasattr(kind, "columns") or streamed


def is_pandas(data: Any) -> bool:
    """Return whether data is a pandas frame."""
    return type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "columns")


def _arrow(data: Any) -> Any:
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    streamed = hasattr(data, "__arrow_c_stream__")
    if is_frame(data) and (streamed or hasattr(data, "to_arrow")):
        made = data.to_arrow() if hasattr(data, "to_arrow") else pa.table(data)
        if isinstance(made, pa.Table):
            return made
    raise UserError(
        "ATL-SDK-031",
        f"cannot make a table of {type(data).__name__}",
        hint="give a pandas or polars frame, an Arrow table, or an atoll Table",
    )


def one_table(X: Any) -> NamedColumns:  # noqa: N803
    """Return the columns of one table: a frame's by name, an array's as x0, x1, …"""
    if isinstance(X, Table):
        return NamedColumns(X.to_arrow().select(list(X.columns)))
    if is_frame(X):
        return NamedColumns(X)
    try:
        values = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        # NumPy's own words quote the value.
        raise DataError("ATL-SDK-032", "an array holds numbers alone") from None
    if values.ndim != 2:
        raise DataError("ATL-SDK-032", "needs a table of rows and columns: two dimensions")
    import pyarrow as pa

    return NamedColumns(pa.table({f"x{at}": values[:, at] for at in range(values.shape[1])}))


class FrameTables:
    """A party's tables in memory, by name; each is checked and converted when a job opens it.

    Within a job it is the same whenever it is opened: take ``fresh()`` for each job.
    """

    def __init__(self, frames: Mapping[str, Any]) -> None:
        self._frames = dict(frames)
        self._made: dict[tuple[str, str, str | None], Table] = {}

    def add(self, name: str, data: Any) -> None:
        """Add a table, or put another in its place."""
        self._frames[name] = data
        self._made = {key: table for key, table in self._made.items() if key[0] != name}

    def fresh(self) -> FrameTables:
        """Return the tables for one job: a frame or file that was changed is what it is by now."""
        return FrameTables(self._frames)

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Return a table. Errors: ATL-JOB-010 unknown, those of ``as_table``."""
        key = (name, id_column, label)
        if key not in self._made:
            if name not in self._frames:
                raise NotFoundError(
                    "ATL-JOB-010",
                    f"this party has no table {name!r}",
                    place=name,
                    hint=near(name, self._frames),
                )
            self._made[key] = as_table(self._frames[name], id_column=id_column, label=label)
        return self._made[key]

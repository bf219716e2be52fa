"""Tables of other programs as a party's own tables: pandas, polars, Arrow, files; none imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from atoll.core.errors import UserError
from atoll.jobs.errors import NotFoundError
from atoll.jobs.validation import near
from atoll.table import Table, read


def as_table(data: Any, *, id_column: str = "id", label: str | None = None) -> Table:
    """Return data as a ``Table``: one already, a file, a pandas or polars frame, or Arrow.

    Errors: ATL-SDK-031 another kind of thing, those of ``Table.from_arrow`` and of the readers.
    """
    if isinstance(data, Table):
        return _retold(data, id_column, label)
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


def _retold(table: Table, id_column: str, label: str | None) -> Table:
    """Return a table under another label, if that is asked for."""
    if table.id_name == id_column and table.label_name == label:
        return table
    return Table.from_arrow(table.to_arrow(), id_column=id_column, label=label)


class FrameTables:
    """A party's tables in memory, by name; each is checked and converted when a job opens it."""

    def __init__(self, frames: Mapping[str, Any]) -> None:
        self._frames = dict(frames)
        self._made: dict[tuple[str, str, str | None], Table] = {}

    def add(self, name: str, data: Any) -> None:
        """Add a table, or put another in its place."""
        self._frames[name] = data
        self._made = {key: table for key, table in self._made.items() if key[0] != name}

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

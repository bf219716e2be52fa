"""Tables in memory as a party's own."""

from __future__ import annotations

from collections.abc import Mapping

from atoll.jobs.errors import NotFoundError
from atoll.jobs.validation import near
from atoll.table import Table


class HeldTables:
    """Tables in memory, by name."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = dict(tables)

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Return a table. Errors: ATL-JOB-010 unknown, or with another id or label column."""
        table = self._tables.get(name)
        if table is None or table.id_name != id_column or table.label_name != label:
            hint = near(name, self._tables)
            raise NotFoundError("ATL-JOB-010", f"no table {name!r}", place=name, hint=hint)
        return table

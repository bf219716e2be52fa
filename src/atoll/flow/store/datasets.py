"""Registered data: names for tables of this party, where they lie and what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, select

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import Record, Repository, build, insert, selected, upsert
from atoll.jobs.errors import NotFoundError

_T = schema.data


@dataclass(frozen=True, kw_only=True)
class DataRow(Record):
    """A registered table; ``columns`` is a JSON list (name, type, …) in the table's order."""

    json_columns: ClassVar[tuple[str, ...]] = ("columns",)

    name: str
    path: str
    format: str
    digest: str
    id_column: str | None = None
    label: str | None = None
    columns: Sequence[Mapping[str, Any]] | Sequence[str]
    rows: int
    bytes: int
    owner: str | None = None
    description: str | None = None
    created: float


class DataSets(Repository):
    """The registered data. Errors: ATL-STO-012 name taken, ATL-STO-020 no such data."""

    def add(
        self, row: DataRow, *, replace: bool = False, connection: Connection | None = None
    ) -> None:
        """Register a table under a new name, or also over an old one."""
        put = upsert if replace else insert
        self._write(lambda c: put(c, _T, row.values()), connection)

    def find(self, name: str, *, connection: Connection | None = None) -> DataRow | None:
        """Return what is registered under a name, None if nothing is."""
        query = select(*selected(_T, DataRow)).where(_T.c.name == name)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(DataRow)(row)

    def get(self, name: str, *, connection: Connection | None = None) -> DataRow:
        """Return what is registered under a name."""
        found = self.find(name, connection=connection)
        if found is None:
            raise NotFoundError("ATL-STO-020", "no data has this name", place=name[:64])
        return found

    def list(
        self, *, limit: int = 50, after: str | None = None, connection: Connection | None = None
    ) -> Page[DataRow]:
        """Return a page by name."""
        query = select(*selected(_T, DataRow))
        make = build(DataRow)
        return self._read(
            lambda c: page(c, query, (_T.c.name,), make, limit=limit, after=after), connection
        )

    def delete(self, name: str, *, connection: Connection | None = None) -> bool:
        """Forget a name; the file is the caller's to remove."""
        statement = _T.delete().where(_T.c.name == name)
        return self._write(lambda c: c.execute(statement).rowcount > 0, connection)

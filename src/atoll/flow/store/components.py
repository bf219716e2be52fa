"""Components of others that this node's administrator approved, pinned by digest."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import Record, Repository, build, selected, upsert

_T = schema.components


@dataclass(frozen=True, kw_only=True)
class ComponentRow(Record):
    """An approval of one installed distribution's component."""

    name: str
    distribution: str
    version: str
    digest: str
    approved_by: str | None = None
    time: float
    revoked: float | None = None


class Components(Repository):
    """The approvals of components."""

    def approve(self, row: ComponentRow, *, connection: Connection | None = None) -> None:
        """Note an approval; it replaces an earlier one of this name."""
        self._write(lambda c: upsert(c, _T, row.values()), connection)

    def revoke(self, name: str, time: float, *, connection: Connection | None = None) -> bool:
        """Withdraw an approval; return whether there was any."""
        statement = update(_T).where(_T.c.name == name, _T.c.revoked.is_(None))
        statement = statement.values(revoked=time)
        return self._write(lambda c: c.execute(statement).rowcount == 1, connection)

    def find(self, name: str, *, connection: Connection | None = None) -> ComponentRow | None:
        """Return an approval, also a revoked one; None if there is none."""
        query = select(*selected(_T, ComponentRow)).where(_T.c.name == name)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(ComponentRow)(row)

    def list(
        self, *, limit: int = 50, after: str | None = None, connection: Connection | None = None
    ) -> Page[ComponentRow]:
        """Return a page by name."""
        query = select(*selected(_T, ComponentRow))
        make = build(ComponentRow)
        return self._read(
            lambda c: page(c, query, (_T.c.name,), make, limit=limit, after=after), connection
        )

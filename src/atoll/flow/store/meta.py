"""Small facts of the node itself: name → text."""

from __future__ import annotations

from sqlalchemy import Connection, select

from atoll.flow.store import schema
from atoll.flow.store.statements import Repository, upsert

_T = schema.meta


class Meta(Repository):
    """Names and texts."""

    def get(self, name: str, *, connection: Connection | None = None) -> str | None:
        """Return a text, None if the name is unknown."""
        query = select(_T.c.value).where(_T.c.name == name)
        return self._read(lambda c: c.execute(query).scalar_one_or_none(), connection)

    def set(self, name: str, value: str, *, connection: Connection | None = None) -> None:
        """Set a text."""
        row = {"name": name, "value": value}
        self._write(lambda c: upsert(c, _T, row), connection)

    def delete(self, name: str, *, connection: Connection | None = None) -> None:
        """Remove a name."""
        self._write(lambda c: c.execute(_T.delete().where(_T.c.name == name)), connection)

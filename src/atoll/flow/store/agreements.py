"""Standing agreements: one row each with what is used of its bounds, and their sessions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, and_, select, update

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import (
    Record,
    Repository,
    build,
    from_json,
    insert,
    selected,
    to_json,
)

_T = schema.agreements
_S = schema.agreement_sessions


@dataclass(frozen=True, kw_only=True)
class AgreementRow(Record):
    """An agreement; ``party`` may ask, until the end of the UTC day ``until`` (ISO date).

    ``used_that_day`` counts on the UTC date ``day``; ``session`` is the number of the last session.
    ``terms`` is a JSON object.
    """

    json_columns: ClassVar[tuple[str, ...]] = ("terms",)

    id: str
    job: str
    step: str
    plan_digest: str
    party: str
    until: str
    day: str
    used_that_day: int = 0
    used: int = 0
    session: int = 0
    created: float
    ended: float | None = None
    ended_by: str | None = None
    reason: str | None = None
    terms: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SessionRow(Record):
    """A session of an agreement: its number, what was spent in it, and when it was closed."""

    agreement: str
    number: int
    units: int = 0
    opened: float
    closed: float | None = None


class Agreements(Repository):
    """The agreements of a node."""

    def add(self, row: AgreementRow, plan: Mapping[str, Any], *, connection: Connection) -> bool:
        """Add an agreement with the plan that was signed; what stands under its id stays.

        Returns whether it was new.
        """
        if self.find(row.id, connection=connection) is not None:
            return False
        insert(connection, _T, {**row.values(), "plan": to_json(plan)})
        return True

    def plan(self, id: str, *, connection: Connection | None = None) -> Any:
        """Return the plan of an agreement, None if there is none."""
        query = select(_T.c.plan).where(_T.c.id == id)
        return from_json(self._read(lambda c: c.execute(query).scalar_one_or_none(), connection))

    def find(self, id: str, *, connection: Connection | None = None) -> AgreementRow | None:
        """Return an agreement, None if there is none."""
        query = select(*selected(_T, AgreementRow)).where(_T.c.id == id)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(AgreementRow)(row)

    def list(
        self,
        *,
        live_on: str | None = None,
        limit: int = 50,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[AgreementRow]:
        """Return a page, the newest first; with ``live_on`` (ISO date) those that hold then."""
        query = select(*selected(_T, AgreementRow))
        if live_on is not None:
            query = query.where(live(live_on))
        keys, make = (_T.c.created, _T.c.id), build(AgreementRow)
        return self._read(
            lambda c: page(c, query, keys, make, limit=limit, after=after, newest_first=True),
            connection,
        )

    def jobs(
        self, now: float, *, connection: Connection | None = None
    ) -> Sequence[tuple[str, Any]]:
        """Return (id, the job's definition) of the agreements that hold at ``now``."""
        query = select(_T.c.id, schema.jobs.c.job).join(schema.jobs).where(live(day_of(now)))
        rows = self._read(lambda c: c.execute(query).all(), connection)
        return [(row.id, from_json(row.job)) for row in rows]

    def change(self, id: str, values: Mapping[str, Any], *, connection: Connection) -> None:
        """Set columns of an agreement."""
        connection.execute(update(_T).where(_T.c.id == id).values(**values))

    def open_session(self, row: SessionRow, *, connection: Connection) -> None:
        """Add a session. Errors: ATL-STO-012 its number is taken."""
        insert(connection, _S, row.values())
        self.change(row.agreement, {"session": row.number}, connection=connection)

    def session(
        self, id: str, number: int, *, connection: Connection | None = None
    ) -> SessionRow | None:
        """Return a session, None if there is none."""
        query = select(*selected(_S, SessionRow)).where(_S.c.agreement == id, _S.c.number == number)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(SessionRow)(row)

    def opened(self, id: str, back: int, *, connection: Connection) -> float | None:
        """Return when the session was opened that is the last but ``back`` - 1; None if none is."""
        query = select(_S.c.opened).where(_S.c.agreement == id).order_by(_S.c.number.desc())
        found: float | None = connection.execute(
            query.offset(back - 1).limit(1)
        ).scalar_one_or_none()
        return found

    def open_sessions(self, *, connection: Connection | None = None) -> Sequence[SessionRow]:
        """Return the sessions that no one has closed."""
        query = select(*selected(_S, SessionRow)).where(_S.c.closed.is_(None))
        rows = self._read(lambda c: c.execute(query).all(), connection)
        return [build(SessionRow)(row) for row in rows]

    def change_session(
        self, id: str, number: int, values: Mapping[str, Any], *, connection: Connection
    ) -> None:
        """Set columns of a session."""
        same = and_(_S.c.agreement == id, _S.c.number == number)
        connection.execute(update(_S).where(same).values(**values))


def day_of(now: float) -> str:
    """Return the UTC day (ISO date) of a time in seconds since 1970."""
    return time.strftime("%Y-%m-%d", time.gmtime(now))


def live(day: str) -> Any:
    """Return the condition that an agreement holds on a day (ISO date)."""
    return and_(_T.c.ended.is_(None), _T.c.until >= day)

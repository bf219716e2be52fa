"""Events of jobs, numbered 1, 2, 3 … within each job, for pages and for waiting."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, ClassVar

from sqlalchemy import Connection, bindparam, func, insert, select

from atoll.flow.store import schema
from atoll.flow.store.paging import checked_limit
from atoll.flow.store.statements import Record, Repository, build, checked, selected
from atoll.flow.store.writer import after_commit

_T = schema.events
_LAST = select(func.max(_T.c.number)).where(_T.c.job == bindparam("of"))
_GIVEN = ("job", "time", "kind", "step", "attempt", "data")
# Found and written in one statement: a job reports some forty events.
_APPEND = insert(_T).from_select(
    ["number", *_GIVEN],
    select(
        func.coalesce(func.max(_T.c.number), 0) + 1,
        *(bindparam(f"new_{name}", type_=_T.c[name].type) for name in _GIVEN),
    ).where(_T.c.job == bindparam("new_job", type_=_T.c.job.type)),
)


@dataclass(frozen=True, kw_only=True)
class EventRow(Record):
    """Something that happened to a job at ``time`` (seconds since 1970)."""

    json_columns: ClassVar[tuple[str, ...]] = ("data",)

    job: str
    number: int
    time: float
    kind: str
    step: str | None = None
    attempt: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class Events(Repository):
    """The events of all jobs. A committed event wakes who waits for its job."""

    def append(
        self,
        job: str,
        time: float,
        kind: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        data: Mapping[str, Any] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """Add an event under the next number of its job."""
        row = EventRow(
            job=job, number=0, time=time, kind=kind, step=step, attempt=attempt, data=data or {}
        )

        def work(c: Connection) -> None:
            values = checked(_T, row.values())
            c.execute(_APPEND, {f"new_{name}": values[name] for name in _GIVEN})
            after_commit(c, lambda: self.database.notifier.notify(job))

        self._write(work, connection)

    def list(
        self,
        job: str,
        *,
        after: int = 0,
        limit: int = 200,
        kind: str | None = None,
        connection: Connection | None = None,
    ) -> tuple[EventRow, ...]:
        """Return up to ``limit`` events (of a kind) with a number above ``after``, in order."""
        query = (
            select(*selected(_T, EventRow))
            .where(_T.c.job == job, _T.c.number > after)
            .order_by(_T.c.number)
            .limit(checked_limit(limit))
        )
        if kind is not None:
            query = query.where(_T.c.kind == kind)
        rows = self._read(lambda c: c.execute(query).all(), connection)
        return tuple(build(EventRow)(row) for row in rows)

    def last(self, job: str, *, connection: Connection | None = None) -> int:
        """Return the number of the newest event of a job, 0 if there is none."""
        return self._read(lambda c: c.execute(_LAST, {"of": job}).scalar_one() or 0, connection)

    def wait(
        self,
        job: str,
        after: int,
        timeout: float,
        *,
        limit: int = 200,
        kind: str | None = None,
    ) -> tuple[EventRow, ...]:
        """Return events above ``after``; if there are none, wait for one at most ``timeout`` s."""
        news = threading.Event()
        end = monotonic() + timeout
        with self.database.notifier.listening(job, news.set):
            found = self.list(job, after=after, limit=limit, kind=kind)
            while not found and news.wait(max(end - monotonic(), 0.0)):
                if self.database.closed:
                    break
                news.clear()
                found = self.list(job, after=after, limit=limit, kind=kind)
        return found

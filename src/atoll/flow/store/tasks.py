"""Tasks: one row per attempt at a step; a change takes only where the fence still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import Record, Repository, build, checked, selected, upsert

_T = schema.tasks
_OPEN = ("waiting", "running")


@dataclass(frozen=True, kw_only=True)
class TaskRow(Record):
    """One attempt at a step. Times in seconds since 1970, ``peak_memory`` in bytes."""

    job: str
    step: str
    attempt: int
    state: str
    worker: str | None = None
    lease: float | None = None
    started: float | None = None
    ended: float | None = None
    code: str | None = None
    phase: str | None = None
    message: str | None = None
    hint: str | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory: int | None = None


class Tasks(Repository):
    """The tasks of all jobs; the attempt is the fence."""

    def save(self, *rows: TaskRow, connection: Connection | None = None) -> None:
        """Add or replace whole tasks."""
        self._write(lambda c: upsert(c, _T, *(row.values() for row in rows)), connection)

    def move(
        self,
        job: str,
        step: str,
        attempt: int,
        *,
        expect: Sequence[str],
        changes: Mapping[str, Any],
        connection: Connection | None = None,
    ) -> bool:
        """Change a task that is in one of the states ``expect``; return whether it took."""
        statement = update(_T).where(
            _T.c.job == job, _T.c.step == step, _T.c.attempt == attempt, _T.c.state.in_(expect)
        )
        statement = statement.values(**checked(_T, changes))
        return self._write(lambda c: c.execute(statement).rowcount == 1, connection)

    def open(self, *, connection: Connection | None = None) -> Sequence[tuple[str, str, int]]:
        """Return job, step and attempt of all that wait or run."""
        query = select(_T.c.job, _T.c.step, _T.c.attempt).where(_T.c.state.in_(_OPEN))
        rows = self._read(lambda c: c.execute(query).all(), connection)
        return [(row.job, row.step, row.attempt) for row in rows]

    def lose(self, now: float, code: str, *, connection: Connection | None = None) -> int:
        """Mark all that wait or run as lost (of a process that is no more); return how many."""
        statement = (
            update(_T).where(_T.c.state.in_(_OPEN)).values(state="lost", ended=now, code=code)
        )
        return self._write(lambda c: int(c.execute(statement).rowcount), connection)

    def list(
        self,
        job: str,
        *,
        step: str | None = None,
        limit: int = 200,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[TaskRow]:
        """Return a page of a job's tasks by step and attempt."""
        query = select(*selected(_T, TaskRow)).where(_T.c.job == job)
        if step is not None:
            query = query.where(_T.c.step == step)
        keys = (_T.c.step, _T.c.attempt)
        make = build(TaskRow)
        return self._read(
            lambda c: page(c, query, keys, make, limit=limit, after=after), connection
        )

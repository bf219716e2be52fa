"""Jobs: one row each, with what lists show, the frozen job, its plan and its machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, Select, bindparam, exists, func, select

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, every, page
from atoll.flow.store.statements import (
    Record,
    Repository,
    build,
    checked,
    insert,
    selected,
    to_json,
    updating,
)
from atoll.jobs.errors import NotFoundError

_T = schema.jobs


@dataclass(frozen=True, kw_only=True)
class JobSummary(Record):
    """What a list shows of a job. Times are seconds since 1970."""

    json_columns: ClassVar[tuple[str, ...]] = ("tags",)

    id: str
    name: str
    initiator: str
    role: str | None = None
    owner: str | None = None
    state: str
    reason: str | None = None
    code: str | None = None
    priority: int = 0
    plan_digest: str | None = None
    created: float
    updated: float
    started: float | None = None
    ended: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    tags: Sequence[str] = ()
    notes: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(self.tags))


@dataclass(frozen=True, kw_only=True)
class JobRow(JobSummary):
    """A whole job; ``job``, ``plan`` and ``machine`` are JSON values."""

    json_columns: ClassVar[tuple[str, ...]] = ("tags", "job", "plan", "machine")

    idempotency_key: str | None = None
    job: Any
    plan: Any = None
    machine: Any = None


class Jobs(Repository):
    """The jobs of this node. Errors: ATL-STO-010 to ATL-STO-012, ATL-STO-019 no such job."""

    def create(
        self, row: JobRow, parties: Sequence[str] = (), *, connection: Connection | None = None
    ) -> None:
        """Add a job; if one has this idempotency key already, that one stays alone."""

        def work(c: Connection) -> None:
            key = row.idempotency_key
            if key is not None and self.by_key(key, connection=c) is not None:
                return
            insert(c, _T, row.values())
            _label(c, row.id, row.tags, parties)

        self._write(work, connection)

    def update(
        self, job: str, changes: Mapping[str, Any], *, connection: Connection | None = None
    ) -> None:
        """Change some columns (``machine``, ``plan``, ``job`` and ``tags`` as plain values)."""
        values = {
            name: to_json(value) if name in JobRow.json_columns and value is not None else value
            for name, value in changes.items()
        }

        def work(c: Connection) -> None:
            statement = updating(_T, tuple(values))
            if c.execute(statement, {**checked(_T, values), "row_key": job}).rowcount == 0:
                raise _missing(job)
            if "tags" in changes:
                _label(c, job, changes["tags"], None)

        self._write(work, connection)

    def get(self, job: str, *, connection: Connection | None = None) -> JobRow:
        """Return a whole job."""
        found = self.find(job, connection=connection)
        if found is None:
            raise _missing(job)
        return found

    def find(self, job: str, *, connection: Connection | None = None) -> JobRow | None:
        """Return a whole job, None if there is none."""
        return self._one(_T.c.id == job, connection)

    def exists(self, job: str, *, connection: Connection | None = None) -> bool:
        """Return whether there is a row of a job."""
        query = select(_T.c.id).where(_T.c.id == bindparam("of"))
        return self._read(lambda c: c.execute(query, {"of": job}).first() is not None, connection)

    def among(
        self, jobs: Collection[str], *, connection: Connection | None = None
    ) -> frozenset[str]:
        """Return those of these jobs, at most a few thousand, of which there is a row."""
        query = select(_T.c.id).where(_T.c.id.in_(jobs))
        return self._read(lambda c: frozenset(c.execute(query).scalars()), connection)

    def owner(self, job: str, *, connection: Connection | None = None) -> str | None:
        """Return who submitted a job, None if that was no user of this node. Errors: as ``get``."""
        query = select(_T.c.owner).where(_T.c.id == bindparam("of"))
        row = self._read(lambda c: c.execute(query, {"of": job}).one_or_none(), connection)
        if row is None:
            raise _missing(job)
        return None if row[0] is None else str(row[0])

    def by_key(self, key: str, *, connection: Connection | None = None) -> JobRow | None:
        """Return the job that was submitted with this idempotency key."""
        return self._one(_T.c.idempotency_key == key, connection)

    def _one(self, condition: Any, connection: Connection | None) -> JobRow | None:
        query = select(*selected(_T, JobRow)).where(condition)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(JobRow)(row)

    def list(
        self,
        *,
        states: Sequence[str] = (),
        name: str | None = None,
        party: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[JobSummary]:
        """Return a page, newest first; ``name`` matches any part of the name, in any case."""
        query = select(*selected(_T, JobSummary))
        if len(states) == 1:
            query = query.where(_T.c.state == states[0])
        elif states:
            query = query.where(_T.c.state.in_(states))
        if name:
            query = query.where(_T.c.name.icontains(name, autoescape=True))
        query = _labelled(query, schema.job_parties, "party", party)
        query = _labelled(query, schema.job_tags, "tag", tag)
        keys = (_T.c.created, _T.c.id)
        make = build(JobSummary)
        return self._read(
            lambda c: page(c, query, keys, make, limit=limit, after=after, newest_first=True),
            connection,
        )

    def machines(self, states: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """Walk (id, machine) of all jobs in these states, oldest first, a page at a time."""
        query = select(_T.c.id, _T.c.created, _T.c.machine).where(_T.c.state.in_(states))
        keys = (_T.c.created, _T.c.id)
        make = build(_Machine)

        def fetch(after: str | None) -> Page[_Machine]:
            return self.database.read(lambda c: page(c, query, keys, make, limit=50, after=after))

        return ((one.id, one.machine) for one in every(fetch))

    def ended_last(
        self, seconds: float, now: float, *, most: int = 1000
    ) -> Sequence[tuple[str, Any]]:
        """Return (id, machine) of jobs that ended at most so long before the last that did.

        If the clock was set forward when that one ended, and back since: so long before ``now``.
        """
        last = self.database.read(lambda c: c.execute(select(func.max(_T.c.ended))).scalar())
        if last is None:
            return []
        query: Select[Any] = (
            select(_T.c.id, _T.c.machine)
            .where(_T.c.ended >= min(last, now) - seconds, _T.c.machine.is_not(None))
            .order_by(_T.c.ended.desc())
            .limit(most)
        )
        rows = self.database.read(lambda c: c.execute(query).all())
        make = build(_Machine)
        return [(one.id, one.machine) for one in (make(row) for row in rows)]

    def open_of(self, owner: str, *, connection: Connection | None = None) -> int:
        """Return how many jobs of an owner have not ended."""
        mine = (_T.c.ended.is_(None), _T.c.owner == bindparam("of"))
        query = select(func.count()).select_from(_T).where(*mine)
        return int(self._read(lambda c: c.execute(query, {"of": owner}).scalar_one(), connection))

    def counts(self, *, connection: Connection | None = None) -> dict[str, int]:
        """Return how many jobs are in each state."""
        query = select(_T.c.state, func.count()).group_by(_T.c.state)
        rows = self._read(lambda c: c.execute(query).all(), connection)
        return {row[0]: row[1] for row in rows}


@dataclass(frozen=True)
class _Machine:
    json_columns: ClassVar[tuple[str, ...]] = ("machine",)

    id: str
    machine: Any


def _labelled(query: Select[Any], table: Any, column: str, value: str | None) -> Select[Any]:
    if value is None:
        return query
    return query.where(exists().where(table.c.job == _T.c.id, table.c[column] == value))


def _label(
    connection: Connection, job: str, tags: Sequence[str], parties: Sequence[str] | None
) -> None:
    for table, column, values in (
        (schema.job_tags, "tag", tags),
        (schema.job_parties, "party", parties),
    ):
        if values is not None:
            connection.execute(table.delete().where(table.c.job == job))
            insert(connection, table, *({"job": job, column: v} for v in dict.fromkeys(values)))


def _missing(job: str) -> NotFoundError:
    return NotFoundError("ATL-STO-019", "there is no such job here", place=job[:64])

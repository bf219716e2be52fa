"""What a task reports while it runs: points of metrics, and the bytes between the parties."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import Record, Repository, build, selected, upsert

_M = schema.metrics
_T = schema.traffic
_COUNTS = ("bytes_sent", "bytes_received", "messages_sent", "messages_received", "rounds")


@dataclass(frozen=True, kw_only=True)
class MetricRow(Record):
    """One point of a metric; ``number`` is the round, tree or epoch; no value: not a number."""

    job: str
    step: str
    attempt: int
    name: str
    number: int
    value: float | None
    time: float


class Metrics(Repository):
    """The metrics of all jobs; a point that is reported twice is stored once."""

    def add(self, rows: Iterable[MetricRow], *, connection: Connection | None = None) -> None:
        """Add points; infinite values and NaN are stored as none."""
        values = [_finite(row).values() for row in rows]
        self._write(lambda c: upsert(c, _M, *values), connection)

    def list(
        self,
        job: str,
        step: str,
        attempt: int | None = None,
        *,
        limit: int = 200,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[MetricRow]:
        """Return a page of a step's points, by attempt, name and number."""
        query = select(*selected(_M, MetricRow)).where(_M.c.job == job, _M.c.step == step)
        if attempt is not None:
            query = query.where(_M.c.attempt == attempt)
        keys = (_M.c.attempt, _M.c.name, _M.c.number)
        make = build(MetricRow)
        return self._read(
            lambda c: page(c, query, keys, make, limit=limit, after=after), connection
        )


def _finite(row: MetricRow) -> MetricRow:
    bad = row.value is not None and not math.isfinite(row.value)
    return replace(row, value=None) if bad else row


@dataclass(frozen=True, kw_only=True)
class TrafficRow(Record):
    """What went between this party and a peer under one tag of a task."""

    job: str
    step: str
    attempt: int
    peer: str
    task: str
    tag: str
    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    rounds: int = 0

    @classmethod
    def of(cls, job: str, step: str, attempt: int, line: Mapping[str, Any]) -> TrafficRow:
        """Return the row of what a task reports of one tag; what it does not count is 0."""
        whose = {name: line[name] for name in ("peer", "task", "tag")}
        counts = {name: line.get(name, 0) for name in _COUNTS}
        return cls(job=job, step=step, attempt=attempt, **whose, **counts)


class Traffic(Repository):
    """The traffic of all jobs; counters only grow, so a later report replaces an earlier one."""

    def save(self, rows: Iterable[TrafficRow], *, connection: Connection | None = None) -> None:
        """Set the counters of these tags."""
        values = [row.values() for row in rows]
        self._write(lambda c: upsert(c, _T, *values), connection)

    def add(self, rows: Iterable[TrafficRow], *, connection: Connection) -> None:
        """Add to the counters of these tags."""
        summed = [self._added(row, connection) for row in rows]
        if summed:
            self.save(summed, connection=connection)

    def _added(self, row: TrafficRow, connection: Connection) -> TrafficRow:
        key = (_T.c.job, _T.c.step, _T.c.attempt, _T.c.peer, _T.c.task, _T.c.tag)
        same = [column == getattr(row, column.name) for column in key]
        found = connection.execute(select(*(_T.c[name] for name in _COUNTS)).where(*same)).first()
        if found is None:
            return row
        sums = {name: getattr(row, name) + value for name, value in found._mapping.items()}
        return replace(row, **sums)

    def list(
        self,
        job: str,
        *,
        limit: int = 200,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[TrafficRow]:
        """Return a page of a job's counters by step, attempt, peer, task and tag."""
        query = select(*selected(_T, TrafficRow)).where(_T.c.job == job)
        keys = (_T.c.step, _T.c.attempt, _T.c.peer, _T.c.task, _T.c.tag)
        make = build(TrafficRow)
        return self._read(
            lambda c: page(c, query, keys, make, limit=limit, after=after), connection
        )

    def moved(self, job: str, *, connection: Connection | None = None) -> tuple[int, int]:
        """Return the bytes that a job has sent and received, all peers and attempts together."""
        sums = [func.coalesce(func.sum(c), 0) for c in (_T.c.bytes_sent, _T.c.bytes_received)]
        query = select(*sums).where(_T.c.job == job)
        sent, received = self._read(lambda c: c.execute(query).one(), connection)
        return int(sent), int(received)

"""Artifacts: which digest each output of each attempt has; the bytes are in ``ArtifactFiles``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import Record, Repository, build, selected, upsert

_T = schema.artifacts
_R = schema.reuse


@dataclass(frozen=True, kw_only=True)
class ArtifactRow(Record):
    """One output of one attempt."""

    job: str
    step: str
    attempt: int
    name: str
    kind: str
    digest: str
    bytes: int
    rows: int | None = None
    created: float


class Artifacts(Repository):
    """The artifacts of all jobs."""

    def save(self, *rows: ArtifactRow, connection: Connection | None = None) -> None:
        """Add artifacts, or replace those of the same name."""
        values = [row.values() for row in rows]
        self._write(lambda c: upsert(c, _T, *values), connection)

    def find(
        self,
        job: str,
        step: str,
        name: str,
        attempt: int | None = None,
        *,
        connection: Connection | None = None,
    ) -> ArtifactRow | None:
        """Return an output of a step, of its newest attempt if none is named."""
        query = select(*selected(_T, ArtifactRow)).where(
            _T.c.job == job, _T.c.step == step, _T.c.name == name
        )
        if attempt is not None:
            query = query.where(_T.c.attempt == attempt)
        query = query.order_by(_T.c.attempt.desc()).limit(1)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(ArtifactRow)(row)

    def list(
        self,
        job: str,
        *,
        step: str | None = None,
        limit: int = 200,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[ArtifactRow]:
        """Return a page of a job's artifacts by step, attempt and name."""
        query = select(*selected(_T, ArtifactRow)).where(_T.c.job == job)
        if step is not None:
            query = query.where(_T.c.step == step)
        keys = (_T.c.step, _T.c.attempt, _T.c.name)
        make = build(ArtifactRow)
        return self._read(
            lambda c: page(c, query, keys, make, limit=limit, after=after), connection
        )

    def reachable(self, *, connection: Connection | None = None) -> frozenset[str]:
        """Return the digests that a row of a job or a model names."""
        query = select(_T.c.digest).union(select(schema.models.c.digest))
        lineage = schema.models.c.lineage
        listing = select(lineage).where(lineage.contains('"fitted"'))

        def work(c: Connection) -> frozenset[str]:
            lineages = c.execute(listing).scalars()
            fitted = (digest for lineage in lineages for digest in _fitted(lineage))
            return frozenset({*c.execute(query).scalars(), *fitted})

        return self._read(work, connection)


def _fitted(lineage: str) -> Iterator[str]:
    """Yield the digests of what was fitted with a model, out of its record."""
    for held in json.loads(lineage).get("fitted", {}).values():
        if held["digest"] is not None:
            yield held["digest"]


class Reuse(Repository):
    """Which attempt has the outputs for a step's inputs and parameters, by their hash ``key``."""

    def put(
        self,
        key: str,
        job: str,
        step: str,
        attempt: int,
        *,
        connection: Connection | None = None,
    ) -> None:
        """Remember an attempt; a newer one replaces it."""
        row = {"key": key, "job": job, "step": step, "attempt": attempt}
        self._write(lambda c: upsert(c, _R, row), connection)

    def find(
        self, key: str, *, connection: Connection | None = None
    ) -> tuple[str, str, int] | None:
        """Return (job, step, attempt), None if there is none."""
        query = select(_R.c.job, _R.c.step, _R.c.attempt).where(_R.c.key == key)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else (row.job, row.step, row.attempt)

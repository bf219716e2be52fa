"""The model registry's rows: this party's part of each version of a model, and the services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy import Connection, func, select, update

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import Record, Repository, build, insert, selected, upsert

_T = schema.models
_S = schema.services


@dataclass(frozen=True, kw_only=True)
class ModelRow(Record):
    """One version of a model at this party; ``lineage`` is a JSON object."""

    json_columns: ClassVar[tuple[str, ...]] = ("lineage",)

    id: str
    version: int
    job: str | None = None
    step: str | None = None
    role: str | None = None
    kind: str
    digest: str
    stage: str
    parameters_digest: str | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)
    created: float


@dataclass(frozen=True, kw_only=True)
class ServiceRow(Record):
    """A name under which a version of a model is served."""

    name: str
    model: str
    version: int
    updated: float


class Models(Repository):
    """Models and services. Errors: ATL-STO-012 version exists."""

    def add(self, row: ModelRow, *, connection: Connection | None = None) -> None:
        """Add a version."""
        self._write(lambda c: insert(c, _T, row.values()), connection)

    def find(
        self, model: str, version: int | None = None, *, connection: Connection | None = None
    ) -> ModelRow | None:
        """Return a version, the newest if none is named; None if there is none."""
        query = select(*selected(_T, ModelRow)).where(_T.c.id == model)
        if version is not None:
            query = query.where(_T.c.version == version)
        query = query.order_by(_T.c.version.desc()).limit(1)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(ModelRow)(row)

    def version_of(
        self, model: str, digest: str, *, connection: Connection | None = None
    ) -> int | None:
        """Return which version of a model is this very part, None if none is."""
        query = select(func.min(_T.c.version)).where(_T.c.id == model, _T.c.digest == digest)
        found: int | None = self._read(lambda c: c.execute(query).scalar_one(), connection)
        return found

    def next_version(self, model: str, *, connection: Connection | None = None) -> int:
        """Return the number after the newest version, 1 for a new model."""
        query = select(func.max(_T.c.version)).where(_T.c.id == model)
        return self._read(lambda c: (c.execute(query).scalar_one() or 0) + 1, connection)

    def list(
        self,
        *,
        stage: str | None = None,
        limit: int = 50,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[ModelRow]:
        """Return a page, newest first."""
        query = select(*selected(_T, ModelRow))
        if stage is not None:
            query = query.where(_T.c.stage == stage)
        keys = (_T.c.created, _T.c.id, _T.c.version)
        make = build(ModelRow)
        return self._read(
            lambda c: page(c, query, keys, make, limit=limit, after=after, newest_first=True),
            connection,
        )

    def set_stage(
        self, model: str, version: int, stage: str, *, connection: Connection | None = None
    ) -> None:
        """Move a version to a stage."""
        where = (_T.c.id == model, _T.c.version == version)
        statement = update(_T).where(*where).values(stage=stage)
        self._write(lambda c: c.execute(statement), connection)

    def bind(self, row: ServiceRow, *, connection: Connection | None = None) -> None:
        """Let a service name stand for a version from now on."""
        self._write(lambda c: upsert(c, _S, row.values()), connection)

    def service(self, name: str, *, connection: Connection | None = None) -> ServiceRow | None:
        """Return what a service name stands for."""
        query = select(*selected(_S, ServiceRow)).where(_S.c.name == name)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(ServiceRow)(row)

    def services(
        self, *, limit: int = 50, after: str | None = None, connection: Connection | None = None
    ) -> Page[ServiceRow]:
        """Return a page of services by name."""
        query = select(*selected(_S, ServiceRow))
        make = build(ServiceRow)
        return self._read(
            lambda c: page(c, query, (_S.c.name,), make, limit=limit, after=after), connection
        )

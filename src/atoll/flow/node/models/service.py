"""The model registry: this party's parts, where they come from, and what they are used for."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection, exists, select

from atoll.channel.identity import Identity
from atoll.components.api import Catalogue
from atoll.components.catalogue import CATALOGUE
from atoll.components.kinds import declared
from atoll.components.references import ModelRef
from atoll.components.registered import unknown_kind
from atoll.core import codec
from atoll.core.names import LABELLED
from atoll.flow.api.services import Page
from atoll.flow.node.data.staging import receive, sweep
from atoll.flow.node.models import archive
from atoll.flow.node.models.archive import Manifest, PartFacts, copy_parts, open_archive, pieces
from atoll.flow.node.models.card import card
from atoll.flow.node.models.fitted import FittedFacts, fitted_of, with_fitted
from atoll.flow.node.models.predicting import Trained, predict_job
from atoll.flow.node.models.proposing import agreement_job
from atoll.flow.node.models.recording import (
    ARCHIVED,
    CANDIDATE,
    PUBLISHED,
    Outputs,
    model_row,
    referring,
)
from atoll.flow.node.models.renaming import checked, renamed_job, renamed_part
from atoll.flow.store import (
    ArtifactRow,
    Artifacts,
    Database,
    DataSets,
    JobRow,
    Jobs,
    Meta,
    ModelRow,
    Models,
    ServiceRow,
    every,
    schema,
)
from atoll.flow.store.files import ArtifactFiles
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.models.kinds import Kinds

MODEL = ".model"
HISTORY = 50
History = list[dict[str, Any]]
_MIGRATION = "atoll/model-migration/v1"


class ModelService:
    """The models of a node. Errors: ATL-REG-001 to 009, those of the store."""

    def __init__(
        self,
        database: Database,
        files: ArtifactFiles,
        identity: Callable[[], Identity],
        incoming: Path,
        *,
        catalogue: Callable[[], Catalogue] = lambda: CATALOGUE,
        archive_bytes: int = 512 << 20,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``incoming`` is a private folder for archives on their way in."""
        self._database = database
        self._models = Models(database)
        self._jobs = Jobs(database)
        self._artifacts = Artifacts(database)
        self._meta = Meta(database)
        self._files = files
        self._identity = identity
        self._incoming = incoming
        self._catalogue = catalogue
        self._archive_bytes = archive_bytes
        self._wall = wall
        sweep(incoming)
        for job in self._forgotten():
            self.record(job)

    # -- keeping ------------------------------------------------------------------------------

    def record(self, job: str) -> Sequence[str]:
        """Register this party's parts of the models that a job has made; once, however often asked.

        Returns their ids (``job.step``).
        """
        row = self._jobs.get(job)
        found = every(lambda after: self._artifacts.list(job, after=after))
        newest = {(artifact.step, artifact.name): artifact for artifact in found}
        models = [made for made in newest.values() if made.kind.endswith(MODEL)]
        brought = referring(row, self._identity().party) if models else frozenset()
        models = [made for made in models if made.step not in brought]
        return [self._record(row, artifact, newest) for artifact in models]

    def _forgotten(self) -> Sequence[str]:
        """Return the jobs of which a model, perhaps an attempt's that counts no more, is not kept.

        They ended when no one could register it. What came from the registry is there already.
        """
        made, jobs = schema.artifacts, schema.jobs
        query = (
            select(made.c.job)
            .join(jobs, jobs.c.id == made.c.job)
            .where(made.c.kind.endswith(MODEL), jobs.c.state == "success")
            .where(~exists().where(schema.models.c.digest == made.c.digest))
            .distinct()
        )
        return self._database.read(lambda c: c.execute(query).scalars().all())

    def _record(self, job: JobRow, artifact: ArtifactRow, made: Outputs) -> str:
        row = model_row(job, artifact, made, self._identity().party, self._catalogue())

        def work(connection: Connection) -> None:
            known = self._models.version_of(row.id, row.digest, connection=connection)
            if known is not None:
                return
            version = self._models.next_version(row.id, connection=connection)
            fresh = replace(row, version=version, created=self._wall())
            self._models.add(fresh, connection=connection)

        self._database.write(work)
        return row.id

    # -- looking ------------------------------------------------------------------------------

    def list(self, *, stage: str | None, limit: int, after: str | None) -> Page:
        """Return a page of models, the newest first."""
        found = self._models.list(stage=stage, limit=limit, after=after)
        return Page([_view(row) for row in found.rows], found.next)

    def get(self, model: str, version: int) -> Mapping[str, Any]:
        """Return a version. Errors: ATL-REG-001."""
        return _view(self._find(model, version))

    def card(self, model: str, version: int) -> Mapping[str, Any]:
        """Return what a version's kind shows of this party's part, as a report.

        Errors: ATL-REG-001, ATL-MOD-005 a kind that is not known here, ATL-STO-021.
        """
        row = self._find(model, version)
        kind = declared(self._catalogue()).get(row.kind)
        if kind is None:
            raise unknown_kind(row.kind)
        return card(row, kind, self._files).model_dump(mode="json")

    def _find(self, model: str, version: int, connection: Connection | None = None) -> ModelRow:
        row = self._models.find(model, version, connection=connection)
        if row is None:
            raise NotFoundError(
                "ATL-REG-001",
                "there is no such version of a model here",
                place=f"{model[:64]} version {version}",
                hint="see what there is: atoll model list",
            )
        return row

    def part(self, reference: ModelRef) -> tuple[str, str, int]:
        """Return kind, digest and bytes of this party's part, or of what a step fitted for it.

        Errors: ATL-REG-001, ATL-REG-002 archived, ATL-REG-010 that step fitted nothing here,
        ATL-STO-021 its file is gone.
        """
        model, version, step = reference
        row = self._find(model, version)
        if row.stage == ARCHIVED:
            raise ConflictError(
                "ATL-REG-002",
                "an archived model is not used",
                place=model,
                hint="make it a candidate again first",
            )
        if not step:
            return row.kind, row.digest, self._files.size(row.digest)
        held = fitted_of(row.lineage).get(step)
        if held is None or held.digest is None:
            raise NotFoundError(
                "ATL-REG-010",
                f"step {step} of its training fitted nothing that is kept here",
                place=f"{model[:64]} version {version}",
            )
        return held.kind, held.digest, self._files.size(held.digest)

    # -- stages and services ------------------------------------------------------------------

    def stage(self, model: str, version: int, stage: str) -> Mapping[str, Any]:
        """Move a version to a stage. Errors: ATL-REG-001, ATL-REG-003 a service needs it."""

        def work(connection: Connection) -> ModelRow:
            self._find(model, version, connection)
            if stage != PUBLISHED:
                self._refuse_bound(model, version, connection)
            self._models.set_stage(model, version, stage, connection=connection)
            return self._find(model, version, connection)

        return _view(self._database.write(work))

    def _refuse_bound(self, model: str, version: int, connection: Connection) -> None:
        services = every(lambda at: self._models.services(after=at, connection=connection))
        for service in services:
            if (service.model, service.version) == (model, version):
                raise ConflictError(
                    "ATL-REG-003",
                    f"the service {service.name!r} stands for this version",
                    hint="bind another version to the service first",
                )

    def bind(self, model: str, version: int, service: str) -> Mapping[str, Any]:
        """Let a service name stand for a published version. Errors: ATL-REG-001, ATL-REG-004."""

        def work(connection: Connection) -> Mapping[str, Any]:
            self._require_published(self._find(model, version, connection))
            history = self._history(service, connection)
            before = self._models.service(service, connection=connection)
            if before is not None and (before.model, before.version) != (model, version):
                entry = {"model": before.model, "version": before.version, "at": before.updated}
                history = [entry, *history][:HISTORY]
            return self._bind(service, model, version, history, connection)

        return self._database.write(work)

    def rollback(self, service: str) -> Mapping[str, Any]:
        """Let a service name stand for what it stood for before.

        Errors: ATL-REG-005 unknown or nothing before, ATL-REG-001 and 004 what was before.
        """

        def work(connection: Connection) -> Mapping[str, Any]:
            history = self._history(service, connection)
            if not history:
                raise NotFoundError(
                    "ATL-REG-005", "there is no such service, or nothing stood there before"
                )
            last, *rest = history
            self._require_published(self._find(last["model"], last["version"], connection))
            return self._bind(service, last["model"], last["version"], rest, connection)

        return self._database.write(work)

    def _require_published(self, row: ModelRow) -> None:
        if row.stage != PUBLISHED:
            raise ConflictError(
                "ATL-REG-004",
                f"only a published version stands behind a service; this one is {row.stage}",
                place=row.id,
                hint="publish it first: atoll model publish",
            )

    def _history(self, service: str, connection: Connection) -> History:
        text = self._meta.get(f"service.{service}", connection=connection)
        found: History = [] if text is None else json.loads(text)
        return found

    def _bind(
        self, service: str, model: str, version: int, history: Any, connection: Connection
    ) -> Mapping[str, Any]:
        row = ServiceRow(name=service, model=model, version=version, updated=self._wall())
        self._models.bind(row, connection=connection)
        self._meta.set(f"service.{service}", json.dumps(history), connection=connection)
        return _service_view(row, history)

    def services(self, *, limit: int, after: str | None) -> Page:
        """Return a page of services by name."""

        def work(connection: Connection) -> Page:
            found = self._models.services(limit=limit, after=after, connection=connection)
            views = [_service_view(row, self._history(row.name, connection)) for row in found.rows]
            return Page(views, found.next)

        return self._database.read(work)

    # -- moving -------------------------------------------------------------------------------

    def export(self, model: str, version: int) -> Iterable[bytes]:
        """Give this party's part as a signed archive, with what its transforms fitted.

        Errors: ATL-REG-001, ATL-STO-021, 022.
        """
        row = self._find(model, version)
        fitted = fitted_of(row.lineage)
        for digest in (row.digest, *(held.digest for held in fitted.values())):
            if digest is not None:
                with self._files.open(digest, check=True):
                    pass
        manifest = Manifest(
            party=self._identity().party,
            id=row.id,
            version=row.version,
            job=row.job,
            step=row.step,
            role=row.role,
            kind=row.kind,
            parameters_digest=row.parameters_digest,
            lineage=with_fitted(row.lineage, {}),
            created=row.created,
            part=PartFacts(digest=row.digest, bytes=self._files.size(row.digest)),
            fitted=fitted,
        )
        return pieces(manifest, self._identity(), self._files.path)

    async def import_(self, chunks: AsyncIterator[bytes]) -> Mapping[str, Any]:
        """Take in an archive as a candidate.

        Errors: ATL-REG-006 not one, ATL-REG-007 the part is here, ATL-PTY-… not signed by this
        party or a pinned partner, ATL-WRK-006 the part is not of its kind.
        """
        limit, checked = self._archive_bytes, archive.judged(chunks, self._identity())
        staged = await receive(checked, self._incoming, ".tar", limit, code="ATL-REG-006")
        try:
            return await run_in_threadpool(self._import, staged)
        finally:
            staged.unlink(missing_ok=True)

    def _import(self, staged: Path) -> Mapping[str, Any]:
        # Its forms of tables bring Arrow in, which a node has no other use for.
        from atoll.flow.work.artifacts import load

        stem, kinds = secrets.token_hex(16), self._kinds()
        parts: dict[str, Path] = {}

        def path(member: str) -> Path:
            return parts.setdefault(member, staged.with_name(f"{stem}-{len(parts)}.part"))

        try:
            with staged.open("rb") as file:
                opened = open_archive(file, staged.stat().st_size, self._identity())
                copy_parts(file, opened, path)
            manifest = opened.manifest
            members = manifest.members()
            for member, facts in members.items():
                load(manifest.kind_of(member), path(member), facts.digest, kinds)
            for member, facts in members.items():
                self._files.adopt(path(member), facts.digest)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
        came = {"party": manifest.party, "version": manifest.version, "time": self._wall()}
        row = ModelRow(
            id=manifest.id,
            version=manifest.version,
            job=manifest.job,
            step=manifest.step,
            role=manifest.role,
            kind=manifest.kind,
            digest=manifest.part.digest,
            stage=CANDIDATE,
            parameters_digest=manifest.parameters_digest,
            lineage={**with_fitted(manifest.lineage, manifest.fitted), "imported": came},
            created=self._wall(),
        )
        return _view(self._database.write(lambda connection: self._add(row, connection)))

    def _add(self, row: ModelRow, connection: Connection) -> ModelRow:
        """Add a version: its own number if that is free, else the next one."""
        known = self._models.version_of(row.id, row.digest, connection=connection)
        if known is not None:
            raise ConflictError(
                "ATL-REG-007", f"this part is here already as version {known}", place=row.id
            )
        if self._models.find(row.id, row.version, connection=connection) is not None:
            version = self._models.next_version(row.id, connection=connection)
            row = replace(row, version=version)
        self._models.add(row, connection=connection)
        return row

    def migrate(self, model: str, version: int, parties: Mapping[str, str]) -> Mapping[str, Any]:
        """Make a new version in which parties have other ids, signed by this node's key.

        Errors: ATL-REG-001, ATL-REG-007 nothing changes, ATL-REG-008 not these ids or this kind.
        """
        row = self._find(model, version)
        graph = self._graph(row)
        names = checked(parties, graph.parties)
        kinds = self._kinds()
        stored = self._files.put(renamed_part(row.kind, self._files.read(row.digest), names, kinds))
        fitted = {
            step: self._renamed(held, names, kinds) for step, held in fitted_of(row.lineage).items()
        }
        words = [_MIGRATION, row.id, row.digest, stored.digest, dict(sorted(names.items()))]
        identity = self._identity()
        signed = {
            "from": {"version": row.version, "digest": row.digest},
            "parties": names,
            "signature": identity.sign(codec.encode(words)).hex(),
            "by": identity.party,
        }
        lineage = {
            **with_fitted(row.lineage, fitted),
            "graph": renamed_job(graph, names).canonical(),
            "migrated": signed,
        }
        fresh = replace(
            row,
            digest=stored.digest,
            stage=CANDIDATE,
            lineage=lineage,
            created=self._wall(),
        )
        return _view(self._database.write(lambda connection: self._add(fresh, connection)))

    def _renamed(self, held: FittedFacts, names: Mapping[str, str], kinds: Kinds) -> FittedFacts:
        """Keep what was fitted for parties with other ids. Errors: ATL-REG-008."""
        parties = tuple(names.get(party, party) for party in held.parties)
        if held.digest is None:
            return held.model_copy(update={"parties": parties})
        data = renamed_part(held.kind, self._files.read(held.digest), names, kinds)
        kept = self._files.put(data)
        return FittedFacts(kind=held.kind, parties=parties, digest=kept.digest, bytes=kept.bytes)

    # -- predicting ---------------------------------------------------------------------------

    def predict_job(self, model: str, version: int, tables: Mapping[str, str]) -> Job:
        """Return the job that scores tables with a model. Errors: ATL-REG-001, 002, 009."""
        trained, label = self._trained(model, version, tables)
        return predict_job(trained, tables, label, self._catalogue())

    def agreement_job(
        self, model: str, version: int, tables: Mapping[str, str], terms: Mapping[str, Any]
    ) -> Job:
        """Return the job of a standing agreement on scores.

        Errors: ATL-AGR-003, ATL-REG-001, 002, 009.
        """
        trained, label = self._trained(model, version, tables)
        today = datetime.fromtimestamp(self._wall(), UTC).date().isoformat()
        return agreement_job(trained, tables, terms, label, self._catalogue(), today=today)

    def _trained(
        self, model: str, version: int, tables: Mapping[str, str]
    ) -> tuple[Trained, str | None]:
        row = self._find(model, version)
        self.part(ModelRef(model, version))
        graph = self._graph(row)
        fitted = fitted_of(row.lineage)
        trained = Trained(graph, row.step or "", row.kind, model, version, fitted)
        return trained, self._label(graph, tables)

    def _kinds(self) -> Kinds:
        return declared(self._catalogue())

    def _label(self, graph: Job, tables: Mapping[str, str]) -> str | None:
        """Return the label's column of this party's table, empty for none; None: not here."""
        party = self._identity().party
        if LABELLED.isdisjoint(graph.parties.get(party, ())) or party not in tables:
            return None
        found = DataSets(self._database).find(tables[party])
        return None if found is None else found.label or ""

    def _graph(self, row: ModelRow) -> Job:
        graph = row.lineage.get("graph")
        job = parse_job(graph, place="lineage.graph")
        if row.step not in job.steps:
            raise NotFoundError(
                "ATL-REG-009", "the graph that trained this model is not known", place=row.id
            )
        return job


def _view(row: ModelRow) -> Mapping[str, Any]:
    return {
        "id": row.id,
        "version": row.version,
        "job": row.job or "",
        "step": row.step or "",
        "role": row.role or "",
        "kind": row.kind,
        "digest": row.digest,
        "stage": row.stage,
        "parameters_digest": row.parameters_digest,
        "lineage": dict(row.lineage),
        "created": row.created,
    }


def _service_view(row: ServiceRow, history: Any) -> Mapping[str, Any]:
    return {
        "name": row.name,
        "model": row.model,
        "version": row.version,
        "updated": row.updated,
        "history": tuple(history),
    }

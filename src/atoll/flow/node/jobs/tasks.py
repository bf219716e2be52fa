"""Starts the node's tasks in workers, and turns what they report into rows."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from atoll.channel.grpc.gateway import Gateway as WireGateway
from atoll.channel.grpc.gateway import new_token
from atoll.channel.identity import Identity
from atoll.components.fitted import reference_of
from atoll.components.references import PART, ModelRef
from atoll.core import codec
from atoll.core.errors import AtollError, InternalError
from atoll.core.names import Role
from atoll.flow.control.codes import NODE_RESTARTED
from atoll.flow.control.record import JobRecord
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.jobs.blame import blaming
from atoll.flow.node.jobs.worker_shares import WorkerShares
from atoll.flow.planning import COIN_STEP
from atoll.flow.policy.exposure import most_sent
from atoll.flow.store import (
    ArtifactRow,
    Artifacts,
    Database,
    DataSets,
    MetricRow,
    Metrics,
    Reuse,
    TaskRow,
    Tasks,
    Traffic,
    TrafficRow,
)
from atoll.flow.store.files import ArtifactFiles, explained
from atoll.flow.store.retention import LOGS
from atoll.flow.work.handle import Worker
from atoll.flow.work.pool import Pool
from atoll.flow.work.seat_keys import KeyScope, issued
from atoll.flow.work.specification import (
    Gateway,
    InputArtifact,
    OwnTable,
    TaskLimits,
    TaskSpec,
)
from atoll.flow.work.task_events import TaskEvent
from atoll.jobs.errors import ConflictError, NotFoundError

REPORT = "report"
FILE = "file."


@dataclass(frozen=True)
class TaskResources:
    """What tasks of this node need: where things lie, and what is open."""

    folder: NodeFolder
    database: Database
    files: ArtifactFiles
    gateway: WireGateway
    pool: Pool
    limits: TaskLimits
    identity: Callable[[], Identity]
    approved: Callable[[], Mapping[str, str]]
    registered: Callable[[ModelRef], InputArtifact]
    wall: Callable[[], float]
    shares: WorkerShares


@dataclass
class _Running:
    worker: Worker
    label: str
    socket: Path


class TaskRunner:
    """The tasks of this node that are alive. Any thread may call; ``on_event`` gets every event."""

    def __init__(self, place: TaskResources, on_event: Callable[[TaskEvent], None]) -> None:
        self._place, self.shares = place, place.shares
        self._forward = on_event
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str, int], _Running] = {}

    def start(self, record: JobRecord, step: str, attempt: int) -> None:
        """Run a step's attempt in a worker of its job.

        Errors: ATL-WRK-002 no worker is free, ATL-STO-… an input is gone, those of the gateway.
        """
        place = self._place
        key = (record.id, step, attempt)
        token = new_token()
        label = f"{record.id}/{step}/{attempt}"
        # A path for a socket has room for about a hundred bytes.
        name = hashlib.sha256(label.encode()).hexdigest()[:24]
        socket = place.folder.sockets / f"w{name}"
        spec = self.specification(record, step, attempt, token, label, socket)
        worker = place.pool.lease(record.id)
        try:
            if spec.gateway is not None:
                place.gateway.register(label, token, socket, sorted(spec.gateway.dialable))
            with self._lock:
                self._running[key] = _Running(worker, label, socket)
            worker.submit(spec, self._on_event)
        except BaseException:
            worker.release()
            self._running.pop(key, None)
            raise

    def own_key(self, record: JobRecord, step: str, key: str) -> str:
        """Return the key of a step's outputs here: with what this node itself hands in.

        Errors: those of the registry if the part of a model is gone.
        """
        part = self._registered_part(record, step)
        table = _content(record, step)
        if part is None and table is None:
            return key
        return codec.digest(["atoll/reuse-own/v2", key, part and part.digest, table])

    def _registered_part(self, record: JobRecord, step: str) -> InputArtifact | None:
        """Return the part that the node hands to a step which names one of its registry."""
        definition = record.job.steps.get(step)
        if definition is None:
            return None
        found = reference_of(definition, self._parameters(record, step), record.party)
        if found is None:
            return None
        part = self._place.registered(found)
        signed = record.opening and record.opening.parts.get(step)
        if signed is not None and signed != part.digest:
            raise ConflictError(
                "ATL-REG-011",
                "the own part of the model is another than the one that the plan was signed with",
                place=found.model,
                hint="submit the job again: what was approved is what runs",
            )
        return part

    def kill(self, job: str, step: str, attempt: int) -> bool:
        """Ask a task to end; its end is reported as an event. False if there is none."""
        with self._lock:
            found = self._running.get((job, step, attempt))
        if found is None:
            return False
        found.worker.cancel()
        return True

    def release(self, job: str, *, idle: bool = False) -> None:
        """End the workers of a job that has ended, or the ``idle`` ones of one that may wait."""
        self._place.pool.release_job(job, idle=idle)

    def outputs(self, job: str) -> Path:
        """Return where the workers of a job put what they made; it need not be there."""
        return self._place.folder.jobs / job / "outputs"

    def _checkpoints(self, record: JobRecord, step: str) -> Path:
        """Return where a step's checkpoints lie: another run starts afresh, and all go with it."""
        return self.outputs(record.id) / "checkpoints" / str(record.run) / step

    def _made(self, job: str) -> Path:
        folder = self.outputs(job)
        with explained(str(folder)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def adopt(self, event: TaskEvent) -> None:
        """Take a task's files over into the store. Errors: ATL-STO-004, ATL-STO-021, 022."""
        data, folder = event.data, self.outputs(event.job)
        digests = {kept["digest"] for kept in data.get("outputs", {}).values()}
        digests |= {kept["digest"] for kept in data.get("files", {}).values()}
        digests |= {data["report_digest"]} if data.get("report_digest") else set()
        for digest in sorted(digests):
            # Another attempt may have made the very same.
            if not self._place.files.has(digest):
                self._place.files.adopt(folder / digest, digest)

    def count(self) -> int:
        """Return how many tasks run."""
        with self._lock:
            return len(self._running)

    def _on_event(self, event: TaskEvent) -> None:
        key = (event.job, event.step, event.attempt)
        if event.terminal:
            with self._lock:
                found = self._running.get(key)
            if found is not None:
                with contextlib.suppress(AtollError):
                    self._place.gateway.unregister(found.label)
                found.socket.unlink(missing_ok=True)
        self._forward(event)
        if event.terminal:
            # Only now: who is answered that there is no such task finds its end among the events.
            with self._lock:
                self._running.pop(key, None)

    def specification(
        self,
        record: JobRecord,
        step: str,
        attempt: int,
        token: bytes,
        label: str,
        socket: Path,
    ) -> TaskSpec:
        """Return what a worker is sent for a step's attempt. Errors: ATL-STO-… an input is gone."""
        place, plan = self._place, record.plan
        if plan is None:
            raise InternalError("ATL-INT-001", "a task of a job without a plan", phase=step)
        known = place.identity().peers
        peers = sorted(plan.peers_of(step, record.party))
        coin = step == COIN_STEP
        component = "" if coin else record.job.steps[step].component
        at = KeyScope(record.id, plan.digest(), step, attempt, plan.certificates)
        return TaskSpec(
            job_id=record.id,
            job=record.job,
            step=step,
            attempt=attempt,
            party=record.party,
            plan_digest=plan.digest(),
            implementation=plan.implementations.get(step, ""),
            component=component,
            code=plan.components[component].code if component else "",
            platform=plan.platform,
            parameters=dict(self._parameters(record, step)),
            inputs={} if coin else self._inputs(record, step),
            tables={} if coin else self._tables(record, step),
            seed_path=None if coin else self._seed(record),
            gateway=Gateway(
                socket=place.folder.gateway_socket,
                own_socket=socket,
                token=token.hex(),
                label=label,
                dialable={
                    peer: peer in known and known[peer].address is not None for peer in peers
                },
            )
            if peers
            else None,
            seats=plan.seats.get(step, ()),
            edges=plan.edges.get(step),
            quorum={Role(name): least for name, least in plan.quorum.get(step, {}).items()},
            rows=plan.rows.get(step, {}),
            columns=plan.columns.get(step, {}),
            most=most_sent(plan, step),
            limits=place.limits,
            outputs_folder=self._made(record.id),
            checkpoints=None if coin else self._checkpoints(record, step),
            approved=dict(place.approved()),
            seat_keys=issued(plan, at, record.party, place.identity().key),
            certificates=plan.certificates,
        )

    def read_by(
        self, record: JobRecord, step: str
    ) -> tuple[Mapping[str, InputArtifact], Mapping[str, OwnTable]]:
        """Return what a task of a step would read now. Errors: those of the registry."""
        return self._inputs(record, step), self._tables(record, step)

    def _inputs(self, record: JobRecord, step: str) -> dict[str, InputArtifact]:
        artifacts = Artifacts(self._place.database)
        found: dict[str, InputArtifact] = {}
        for port, source in record.job.steps[step].inputs.items():
            at, _, output = source.partition(".")
            made = record.own.tasks.get(at)
            row = made and artifacts.find(record.id, at, output, made.attempt)
            # A role that gets no such output of the earlier step gets no such input.
            if row:
                path = self._place.files.path(row.digest)
                found[port] = InputArtifact(kind=row.kind, digest=row.digest, path=path)
        part = self._registered_part(record, step)
        return found if part is None else {**found, PART: part}

    def _tables(self, record: JobRecord, step: str) -> dict[str, OwnTable]:
        plan = record.plan
        facts = None if plan is None else plan.tables.get(record.party, {}).get(step)
        if facts is None:
            return {}
        row = DataSets(self._place.database).find(facts.name)
        if row is None:
            # A component that makes its table up; a reader will raise what it misses.
            return {}
        named = self._parameters(record, step).get("id")
        table = OwnTable(
            path=Path(row.path),
            id=named if isinstance(named, str) else row.id_column or "id",
            label=facts.label,
            digest=_content(record, step),
        )
        return {facts.name: table}

    def _parameters(self, record: JobRecord, step: str) -> Mapping[str, Any]:
        plan = record.plan
        if plan is None or step == COIN_STEP:
            return {}
        return plan.party_parameters.get(step, {}).get(record.party) or plan.parameters[step]

    def _seed(self, record: JobRecord) -> Path:
        attempt = record.own.tasks[COIN_STEP].attempt
        row = Artifacts(self._place.database).find(record.id, COIN_STEP, "seed", attempt)
        if row is None:
            raise NotFoundError("ATL-NOD-020", "the job's seed is gone", place=record.id)
        return self._place.files.path(row.digest)


def _content(record: JobRecord, step: str) -> str | None:
    """Return the digest of the content of the own table of a step; None where it brings none."""
    facts = record.plan and record.plan.tables.get(record.party, {}).get(step)
    if not facts:
        return None
    # Plans from before tables were committed to have the digest itself.
    return facts.digest if record.opening is None else record.opening.tables.get(step)


class Recorder:
    """Writes what a task reports into the database, as part of the caller's transaction."""

    def __init__(
        self, database: Database, jobs_folder: Path, wall: Callable[[], float], party: str
    ) -> None:
        self._party = party
        self._tasks = Tasks(database)
        self._artifacts = Artifacts(database)
        self._metrics = Metrics(database)
        self._traffic = Traffic(database)
        self._reuse = Reuse(database)
        self._folder = jobs_folder
        self._wall = wall

    def began(self, connection: Connection, job: str, step: str, attempt: int) -> None:
        """A task was started."""
        row = TaskRow(job=job, step=step, attempt=attempt, state="running", started=self._wall())
        self._tasks.save(row, connection=connection)

    def left(self) -> Sequence[tuple[str, str, int]]:
        """Return what to run by the database: job, step, attempt."""
        return self._tasks.open()

    def mark_lost(self) -> None:
        """Write that whatever ran is lost: its workers ended with the process that had them."""
        self._tasks.lose(self._wall(), NODE_RESTARTED)

    def reused(
        self, connection: Connection, job: str, step: str, attempt: int, origin: str
    ) -> None:
        """A step took over the outputs of an earlier attempt. Errors: ATL-NOD-020 they are gone."""
        from_job, from_step, from_attempt = split_origin(origin)
        now = self._wall()
        rows = [
            row
            for row in self._artifacts.list(from_job, step=from_step, connection=connection).rows
            if row.attempt == from_attempt
        ]
        if not rows:
            raise NotFoundError("ATL-NOD-020", "the outputs to be used again are gone", place=step)
        made = [
            ArtifactRow(
                job=job,
                step=step,
                attempt=attempt,
                name=row.name,
                kind=row.kind,
                digest=row.digest,
                bytes=row.bytes,
                rows=row.rows,
                created=now,
            )
            for row in rows
        ]
        self._artifacts.save(*made, connection=connection)
        task = TaskRow(
            job=job, step=step, attempt=attempt, state="reused", started=now, ended=now, seconds=0.0
        )
        self._tasks.save(task, connection=connection)

    def ended(self, connection: Connection, event: TaskEvent, key: str | None) -> bool:
        """A task ended; its outputs count only if it is the one that was running."""
        data, now = event.data, self._wall()
        error = data.get("error") or {}
        changes = {
            "state": event.state,
            "ended": now,
            "code": error.get("code"),
            "phase": error.get("phase"),
            "message": blaming(error, self._party),
            "hint": error.get("hint"),
            "seconds": data.get("seconds"),
            "cpu_seconds": data.get("cpu_seconds"),
            "peak_memory": data.get("peak_memory"),
        }
        place = (event.job, event.step, event.attempt)
        taken = self._tasks.move(
            *place, expect=("running",), changes=changes, connection=connection
        )
        if not taken:
            return False
        self.traffic(connection, event)
        if event.state == "success":
            rows = [*self._outputs(event, now)]
            if rows:
                self._artifacts.save(*rows, connection=connection)
            if key is not None:
                self._reuse.put(key, *place, connection=connection)
        return True

    def _outputs(self, event: TaskEvent, now: float) -> list[ArtifactRow]:
        data = event.data
        found = [(name, kept["kind"], kept) for name, kept in data.get("outputs", {}).items()]
        found += [(FILE + n, "file", kept) for n, kept in data.get("files", {}).items()]
        if data.get("report_digest"):
            size = data.get("report_bytes", 0)
            found.append((REPORT, REPORT, {"digest": data["report_digest"], "bytes": size}))
        return [
            ArtifactRow(
                job=event.job,
                step=event.step,
                attempt=event.attempt,
                name=name,
                kind=kind,
                digest=kept["digest"],
                bytes=kept["bytes"],
                rows=kept.get("rows"),
                created=now,
            )
            for name, kind, kept in found
        ]

    def traffic(self, connection: Connection, event: TaskEvent) -> None:
        """Set the counters of a task."""
        rows = [
            TrafficRow.of(event.job, event.step, event.attempt, line)
            for line in event.data.get("traffic", ())
        ]
        if rows:
            self._traffic.save(rows, connection=connection)

    def metric(self, connection: Connection, event: TaskEvent) -> None:
        """Add a point of a metric."""
        row = MetricRow(
            job=event.job,
            step=event.step,
            attempt=event.attempt,
            name=str(event.data["name"]),
            number=int(event.data.get("number", 0)),
            value=event.data.get("value"),
            time=self._wall(),
        )
        self._metrics.add([row], connection=connection)

    def log_path(self, job: str, step: str, attempt: int) -> Path:
        """Return where the log of an attempt lies."""
        return self._folder / job / LOGS / f"{step.replace(' ', '_')}.{attempt}.jsonl"

    def log(self, event: TaskEvent) -> None:
        """Add a line to the attempt's log file."""
        path = self.log_path(event.job, event.step, event.attempt)
        line = json.dumps({"time": self._wall(), **event.data}, default=str) + "\n"
        try:
            file = path.open("a", encoding="utf-8")
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = path.open("a", encoding="utf-8")
        with file:
            file.write(line)


def split_origin(origin: str) -> tuple[str, str, int]:
    """Return job, step and attempt of ``job/step/attempt``. Errors: ATL-NOD-020."""
    parts = origin.split("/")
    if len(parts) != 3 or not parts[2].isdigit():
        raise NotFoundError("ATL-NOD-020", "the outputs to be used again are gone")
    return parts[0], parts[1], int(parts[2])


def failure_of(
    error: AtollError, spec: tuple[str, str, int], details: Mapping[str, Any] | None = None
) -> TaskEvent:
    """Return the event of a task that could not start (nothing was revealed), or not be kept."""
    job, step, attempt = spec
    known = {"reveals": []} if details is None else dict(details)
    return TaskEvent("failed", job, step, attempt, {**known, "error": error.to_dict()})


def summed(rows: list[Any]) -> tuple[int, int]:
    """Return bytes sent and received over traffic rows."""
    return sum(r.bytes_sent for r in rows), sum(r.bytes_received for r in rows)

"""Runs one party's share of one step: hello, component, last word, outputs, result.

On any error the peers are sent code and phase, and nothing is written. A failure of a component
that may depend on this party's values is one code to them, whatever it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from atoll.channel.api import Channel, Counters, Transport
from atoll.channel.party import Cancel, Party
from atoll.components.alignment import check_inputs, takes
from atoll.components.api import Catalogue, Component, Requests, Result, Task
from atoll.components.code import code_digest, component_code, platform_digest
from atoll.components.kinds import declared
from atoll.core.clock import Clock, SystemClock
from atoll.core.errors import AtollError, CancelledError, InternalError
from atoll.core.limits import Limits
from atoll.core.names import Role, Scope
from atoll.core.random import PublicRandom, SecretRandom
from atoll.core.report import Report
from atoll.core.reveal import Disclosures
from atoll.flow.planning import COIN_STEP
from atoll.flow.work.artifacts import Staging, Stored, load
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.flow.work.events import Events, silent
from atoll.flow.work.greeting import PHASE as HELLO_PHASE
from atoll.flow.work.greeting import Meeting, greet, part
from atoll.flow.work.inputs import ApprovedTables, Memory, gather
from atoll.flow.work.measure import Use
from atoll.flow.work.messages import NONCE_BYTES, Hello, RoundMark
from atoll.flow.work.requests import NoRequests
from atoll.flow.work.seat_keys import KeyScope, Vouched
from atoll.flow.work.seats import each, joined, transports
from atoll.flow.work.session import session_id, step_id
from atoll.flow.work.specification import TaskSpec
from atoll.flow.work.steps import (
    COIN_TASK,
    LAST_TASK,
    check_file_name,
    check_outputs,
    job_random,
    located,
    traffic,
    withhold,
)
from atoll.jobs.errors import ConflictError
from atoll.jobs.participation import Edges
from atoll.models.kinds import concrete
from atoll.operators import coin_toss
from atoll.operators.coin_toss.api import SEED_BYTES
from atoll.operators.setting import Setting
from atoll.table import Table

HELLO_TASK = "flow.hello"
_TOSS_SOURCES = ("atoll.operators.coin_toss",)
_TRAFFIC_SECONDS = 1.0
_METRICS = 200
_POINTS = 100_000

_LOG = logging.getLogger("atoll.task")


@dataclass(frozen=True)
class TaskContext:
    """What a task runs in: how it reaches its peers, what it may run, and where it reports."""

    transport: Transport
    catalogue: Catalogue
    events: Events = silent
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=SystemClock)
    cancel: Cancel = field(default_factory=Cancel)
    memory: Memory = field(default_factory=Memory)
    requests: Requests = field(default_factory=NoRequests)


class Execution:
    """The state of one task. Use ``execute``, or this to see what it used after an error."""

    def __init__(self, spec: TaskSpec, around: TaskContext) -> None:
        self.spec = spec
        self.phase = "start"
        self._around = around
        self._kinds = declared(around.catalogue)
        self._counters = Counters()
        most = {(m, f): n for m, fields in spec.most.items() for f, n in fields.items()}
        self._disclosures = Disclosures(most)
        self._use = Use()
        self._reported = time.monotonic()
        self._points = 0

    def run(self) -> dict[str, Any]:
        """Run the task and return its result (see ``TaskEvent``).

        Errors: whatever ended it, located; the peers have been notified.
        """
        try:
            return self._run()
        except Exception as error:
            known = self._known(error)
            self._around.transport.abort(known.public, known.phase or self.phase)
            _LOG.error("ended in phase %s: %s", known.phase or self.phase, known)
            raise known from error

    def used(self) -> dict[str, Any]:
        """Return seconds, memory, traffic and reveals so far."""
        return {
            **self._use.to_dict(),
            "traffic": traffic(self._counters),
            "reveals": self._disclosures.to_list(),
        }

    def _known(self, error: Exception) -> AtollError:
        try:
            self._around.cancel.check()
        except CancelledError as cancelled:
            return cancelled.located(party=self.spec.party, phase=self.phase)
        return located(error, self.spec.party, self.phase)

    def _run(self) -> dict[str, Any]:
        spec, around = self.spec, self._around
        around.memory.begin(spec.job_id)
        component = self._component()
        _LOG.info(
            "step %s, attempt %d: %s %s as %s with %s",
            spec.step,
            spec.attempt,
            component.name if component else COIN_TASK,
            component.version if component else "",
            ", ".join(spec.roles[address].value for address in spec.mine),
            ", ".join(sorted(spec.peers)) or "no peers",
        )
        ends = transports(around.transport, spec.mine, spec.roles, self._peers_of)
        meetings = self._meet(component, ends)
        self._enter(spec.step)
        result = joined(each(ends, lambda address: self._act(component, meetings[address])))
        self._enter("finish")
        staging = Staging(spec.outputs_folder, self._kinds)
        try:
            written = self._stage(component, result, staging)
            each(ends, lambda address: self._part(meetings[address]))
            around.transport.close()
            staging.publish()
        finally:
            staging.discard()
        used = self.used()
        _log_end(written, used)
        return {**written, **used}

    def _peers_of(self, address: str) -> tuple[str, ...]:
        return Edges.of_plain(self.spec.edges).peers(address, self.spec.roles)

    def _meet(
        self, component: Component | None, ends: Mapping[str, Transport]
    ) -> dict[str, Meeting]:
        """Have each seat meet its peers; without messages the job and its seed make the session."""
        spec = self.spec
        edges, roles = Edges.of_plain(spec.edges), spec.roles
        seed = b"" if component is None else self._seed()
        public = PublicRandom(b"") if component is None else self._public(seed)
        if edges.silent and component is not None:
            job = {"job": spec.job_id.encode()}
            session = session_id(spec.job.digest(), spec.step, spec.attempt, seed, job)
            alone: dict[str, Meeting] = {}
            for address, end in ends.items():
                party = self._party(end, address, roles, session, public, ())
                kept = self._checkpoints(component, address)
                begin = max(kept.held(), default=None) if kept else None
                alone[address] = Meeting(self._going_on(party, kept, begin), None, {})
            return alone
        self._enter(HELLO_PHASE)
        hub = edges.hub(roles)

        def meet(address: str) -> Meeting:
            peers = edges.peers(address, roles)
            before = self._party(ends[address], address, roles, b"", public, peers)
            hello = replace(before, channel=self._channel(ends[address], HELLO_TASK))
            kept = self._checkpoints(component, address)
            nonces, begin, vouched = greet(
                Meeting(hello, hub, spec.quorum),
                self._hello(address, component, kept.held() if kept else ()),
                self._around.limits.connect_seconds,
            )
            first = begin.round if begin else 0
            session = session_id(spec.job.digest(), spec.step, spec.attempt, seed, nonces, first)
            there = {seat: role for seat, role in roles.items() if seat in nonces}
            left = tuple(peer for peer in peers if peer in there)
            made = self._party(ends[address], address, there, session, public, left)
            if vouched and address in spec.seat_keys:
                own = spec.seat_keys[address]
                made = replace(made, identities=self._key_scope().identities(own, vouched))
            return Meeting(self._going_on(made, kept, begin), hub, spec.quorum)

        return each(ends, meet)

    def _checkpoints(self, component: Component | None, address: str) -> FileCheckpoints | None:
        spec = self.spec
        if component is None or spec.checkpoints is None:
            return None
        context = (spec.plan_digest, spec.step, component_code(component))
        return FileCheckpoints(spec.checkpoints, address, context)

    def _going_on(
        self, party: Party, kept: FileCheckpoints | None, begin: RoundMark | None
    ) -> Party:
        """Return the party with its checkpoints, from the one that all seats hold."""
        if kept is None:
            return party
        kept.enter(begin, party.session)
        if begin is not None:
            _LOG.info("resumed at round %d", begin.round)
            self._around.events("resumed", round=begin.round)
        return replace(party, checkpoints=kept)

    def _act(self, component: Component | None, meeting: Meeting) -> Result:
        if component is None:
            return self._toss(meeting.party)
        return self._call(component, meeting.party)

    def _part(self, meeting: Meeting) -> None:
        if meeting.party.peers:
            channel = self._channel(meeting.party.channel.transport, LAST_TASK)
            part(
                replace(meeting, party=replace(meeting.party, channel=channel)),
                self.spec.plan_digest,
            )

    def _enter(self, phase: str) -> None:
        self._around.cancel.check()
        self.phase = phase
        _LOG.info("phase %s", phase)
        self._around.events("phase", phase=phase)

    def _component(self) -> Component | None:
        """Return what the step runs, None for the coin toss.

        Errors: ATL-WRK-003, ATL-WRK-013 the code here is another than was signed.
        """
        spec = self.spec
        if spec.party not in spec.job.parties or not spec.mine:
            raise _not_mine("party")
        _check_platform(spec)
        if spec.step == COIN_STEP:
            return None
        step = spec.job.steps.get(spec.step)
        if step is None or step.component != spec.component:
            raise _not_mine("component")
        found = self._around.catalogue.get(spec.component)
        if found is None:
            raise _not_mine("component")
        if spec.code and spec.code != component_code(found):
            raise _other_code(f"components.{spec.component}")
        return found

    def _channel(self, end: Transport, task: str) -> Channel:
        spec, around = self.spec, self._around
        return Channel(
            end,
            Scope(spec.job_id, task, spec.attempt),
            around.limits,
            self._counters,
            self._disclosures,
            phase_name=self.phase,
        )

    def _key_scope(self) -> KeyScope:
        spec = self.spec
        return KeyScope(spec.job_id, spec.plan_digest, spec.step, spec.attempt, spec.certificates)

    def _hello(
        self, address: str, component: Component | None, held: tuple[RoundMark, ...]
    ) -> Hello:
        spec = self.spec
        own = spec.seat_keys.get(address)
        shown = own.vouched() if own else Vouched()
        return Hello(
            job=spec.job_id,
            plan=spec.plan_digest,
            step=spec.step,
            attempt=spec.attempt,
            component=component.name if component else COIN_TASK,
            release=component.version if component else "",
            code=component_code(component) if component else code_digest(_TOSS_SOURCES),
            nonce=SecretRandom().bytes(NONCE_BYTES),
            rounds=tuple(at.round for at in held),
            marks=tuple(at.mark for at in held),
            key=shown.key,
            signer=shown.signer,
            signature=shown.signature,
        )

    def _party(
        self,
        end: Transport,
        address: str,
        roles: Mapping[str, Role],
        session: bytes,
        public: PublicRandom,
        peers: tuple[str, ...],
    ) -> Party:
        around, task = self._around, COIN_TASK if self.spec.step == COIN_STEP else self.spec.step
        return Party(
            name=address,
            roles=dict(roles),
            channel=self._channel(end, task),
            session=session,
            public_rng=public,
            secret_rng=SecretRandom(),
            clock=around.clock,
            limits=around.limits,
            progress=self._progress,
            metric=self._metric,
            cancel=around.cancel,
            reachable=peers,
            step_id=step_id(self.spec.plan_digest, self.spec.step, public),
            rows=self.spec.rows,
            columns=self.spec.columns,
        )

    def _progress(self, phase: str, done: int, total: int) -> None:
        around, now = self._around, time.monotonic()
        around.events("progress", phase=phase, done=done, total=total)
        if now - self._reported >= _TRAFFIC_SECONDS:
            self._reported = now
            around.events("traffic", traffic=traffic(self._counters))

    def _metric(self, name: str, value: float, number: int) -> None:
        self._points += 1
        if self._points <= _POINTS:
            self._around.events("metric", name=name, value=float(value), number=number)
        elif self._points == _POINTS + 1:
            _LOG.warning("only the first %d points of metrics are kept", _POINTS)

    def _toss(self, party: Party) -> Result:
        number = self.spec.job.seed
        chosen = self.spec.implementation or coin_toss.choose(Setting(party.roles), number)
        return Result({"seed": coin_toss.run(party, chosen, number)})

    def _call(self, component: Component, party: Party) -> Result:
        spec = self.spec
        inputs = gather(spec, component.inputs, self._around.memory, self._kinds)
        for port, value in inputs.items():
            _LOG.info("input %s: %s", port, _shape(value))
        parameters = self._parameters(component)
        taken = {
            port: value for port, value in inputs.items() if takes(component, port, party.role)
        }
        task = Task(spec.step, party, taken, ApprovedTables(spec.tables), self._kinds)
        check_inputs(component, task)
        try:
            if spec.standing:
                return self._serve(component, task, parameters)
            result = component.run(task, parameters)
            check_outputs(component, result)
        except Exception as error:
            known = withhold(error, component, spec.party, spec.step)
            if known is error:
                raise
            raise known from error
        return result

    def _serve(self, component: Component, task: Task, parameters: BaseModel) -> Result:
        if component.standing is None:
            raise _not_mine("standing")
        component.standing.serve(task, parameters, self._around.requests)
        return Result()

    def _parameters(self, component: Component) -> BaseModel:
        try:
            return component.parameters.model_validate(self.spec.parameters)
        except ValueError as error:
            raise _not_mine("parameters") from error

    def _public(self, seed: bytes) -> PublicRandom:
        return job_random(seed, fixed=self.spec.job.seed is not None)

    def _seed(self) -> bytes:
        path = self.spec.seed_path
        if path is None:
            raise _not_mine("seed_path")
        named = path.name if len(path.name) == 2 * SEED_BYTES else None
        seed: bytes = load("seed", path, named)
        return seed

    def _stage(
        self, component: Component | None, result: Result, staging: Staging
    ) -> dict[str, Any]:
        """Write everything that the step left beside its place; return what it is by name."""
        kinds: Mapping[str, str] = component.outputs if component else {"seed": "seed"}
        outputs: dict[str, Stored] = {}
        for name, value in result.outputs.items():
            # A role that gets no such output leaves none.
            if value is None:
                continue
            kind = concrete(kinds[name], value, self._kinds)
            kept = outputs[name] = staging.add(kind, value)
            limit = self.spec.limits.cache_bytes
            self._around.memory.put(kind, kept.digest, value, kept.size, limit, self._kinds)
            if kept.kind == "metrics":
                self._metrics(value)
        files: dict[str, Stored] = {}
        for name, data in result.files.items():
            check_file_name(name, self.spec.step)
            files[name] = staging.add("file", data)
        written: dict[str, Any] = {
            "outputs": {name: kept.to_dict() for name, kept in outputs.items()},
            "files": {n: {"digest": f.digest, "bytes": f.size} for n, f in files.items()},
        }
        if isinstance(result.report, Report):
            report = staging.add("report", result.report)
            written |= {"report_digest": report.digest, "report_bytes": report.size}
        return written

    def _metrics(self, value: Any) -> None:
        for number, (name, figure) in enumerate(_figures("", value)):
            if number == _METRICS:
                return
            self._around.events("metric", name=name, value=figure, number=0)


def _figures(name: str, value: Any) -> Any:
    """Yield the plain numbers of nested metrics under dotted names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _figures(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)


def _shape(value: Any) -> str:
    """Return the size of an input, where it has one."""
    if isinstance(value, Table):
        return f"{value.num_rows} rows, {len(value.columns)} columns"
    return type(value).__name__


def _log_end(written: Mapping[str, Any], used: Mapping[str, Any]) -> None:
    for name, kept in (written["outputs"] | written["files"]).items():
        _LOG.info("output %s: %d bytes, digest %s", name, kept["bytes"], kept["digest"])
    sent = sum(row["bytes_sent"] for row in used["traffic"])
    received = sum(row["bytes_received"] for row in used["traffic"])
    _LOG.info(
        "done in %.3f s (%.3f s of processor time): %d bytes sent, %d received",
        used["seconds"],
        used["cpu_seconds"],
        sent,
        received,
    )


def _not_mine(place: str) -> InternalError:
    return InternalError("ATL-WRK-003", "this is no task for a worker", place=place)


def _check_platform(spec: TaskSpec) -> None:
    if spec.platform and spec.platform != platform_digest():
        raise _other_code("platform")


def _other_code(place: str) -> ConflictError:
    return ConflictError(
        "ATL-WRK-013",
        "the code here is another than the parties signed",
        place=place,
        hint="submit the job again: what was approved is what runs",
    )


def execute(spec: TaskSpec, around: TaskContext) -> dict[str, Any]:
    """Run one task and return its result. Errors: whatever ended it; the peers were notified."""
    return Execution(spec, around).run()

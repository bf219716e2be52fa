"""Runs one party's share of one step: hello, component, last word, outputs, result.

On any error the peers are told code and phase, and nothing is written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from atoll.channel.api import Channel, Counters, Transport
from atoll.channel.party import Cancel, Party
from atoll.components.alignment import check_inputs
from atoll.components.api import Catalogue, Component, Result, Task
from atoll.components.kinds import declared
from atoll.core.clock import Clock, SystemClock
from atoll.core.errors import AtollError, CancelledError, InternalError, PeerError
from atoll.core.limits import Limits
from atoll.core.names import Scope
from atoll.core.random import PublicRandom, SecretRandom
from atoll.core.report import Report
from atoll.core.reveal import Disclosures
from atoll.flow.code import code_digest, component_code
from atoll.flow.events import Events, silent
from atoll.flow.outputs import check_file_name
from atoll.flow.planning import COIN_STEP
from atoll.flow.session import session_id
from atoll.flow.steps import (
    COIN_TASK,
    LAST_TASK,
    check_outputs,
    job_random,
    last_word,
    located,
    traffic,
)
from atoll.flow.work.artifacts import Staging, Stored, load
from atoll.flow.work.inputs import ApprovedTables, Memory, gather
from atoll.flow.work.measure import Use
from atoll.flow.work.messages import NONCE_BYTES, Hello
from atoll.flow.work.specification import TaskSpec
from atoll.models.kinds import concrete
from atoll.operators import coin_toss
from atoll.operators.coin_toss.api import SEED_BYTES
from atoll.table import Table

HELLO_TASK = "flow.hello"
HELLO_PHASE = "hello"
_TOSS_SOURCES = ("atoll.operators.coin_toss",)
_TRAFFIC_SECONDS = 1.0
_METRICS = 200
_POINTS = 100_000

_LOG = logging.getLogger("atoll.task")


@dataclass(frozen=True)
class Surroundings:
    """What a task runs in: how it reaches its peers, what it may run, and whom it tells."""

    transport: Transport
    catalogue: Catalogue
    events: Events = silent
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=SystemClock)
    cancel: Cancel = field(default_factory=Cancel)
    memory: Memory = field(default_factory=Memory)


class Execution:
    """The state of one task. Use ``execute``, or this to see what it used after an error."""

    def __init__(self, spec: TaskSpec, around: Surroundings) -> None:
        self.spec = spec
        self.phase = "start"
        self._around = around
        self._kinds = declared(around.catalogue)
        self._counters = Counters()
        self._disclosures = Disclosures()
        self._use = Use()
        self._told = time.monotonic()
        self._points = 0

    def run(self) -> dict[str, Any]:
        """Run the task and return its result (see ``TaskEvent``).

        Errors: whatever ended it, located; the peers have been told.
        """
        try:
            return self._run()
        except Exception as error:
            known = self._known(error)
            self._around.transport.abort(known.code, known.phase or self.phase)
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
            "step %s, attempt %d: %s %s with %s",
            spec.step,
            spec.attempt,
            component.name if component else COIN_TASK,
            component.version if component else "",
            ", ".join(sorted(spec.job.parties.keys() - {spec.party})) or "nobody",
        )
        self._enter(HELLO_PHASE)
        session = self._hello(component)
        self._enter(spec.step)
        result = self._toss(session) if component is None else self._call(component, session)
        self._enter("finish")
        staging = Staging(spec.outputs_folder, self._kinds)
        try:
            written = self._stage(component, result, staging)
            last_word(self._channel(LAST_TASK), spec.plan_digest)
            around.transport.close()
            staging.publish()
        finally:
            staging.discard()
        used = self.used()
        _log_end(written, used)
        return {**written, **used}

    def _enter(self, phase: str) -> None:
        self._around.cancel.check()
        self.phase = phase
        _LOG.info("phase %s", phase)
        self._around.events("phase", phase=phase)

    def _component(self) -> Component | None:
        """Return what the step runs, None for the coin toss. Errors: ATL-WRK-003."""
        spec = self.spec
        if spec.party not in spec.job.parties:
            raise _not_mine("party")
        if spec.step == COIN_STEP:
            return None
        step = spec.job.steps.get(spec.step)
        if step is None or step.component != spec.component:
            raise _not_mine("component")
        found = self._around.catalogue.get(spec.component)
        if found is None:
            raise _not_mine("component")
        return found

    def _channel(self, task: str) -> Channel:
        spec, around = self.spec, self._around
        return Channel(
            around.transport,
            Scope(spec.job_id, task, spec.attempt),
            around.limits,
            self._counters,
            self._disclosures,
            phase_name=self.phase,
        )

    def _hello(self, component: Component | None) -> bytes:
        """Agree with every peer on what is run and return the session id. Errors: ATL-WRK-007."""
        spec, around, channel = self.spec, self._around, self._channel(HELLO_TASK)
        mine = Hello(
            job=spec.job_id,
            plan=spec.plan_digest,
            step=spec.step,
            attempt=spec.attempt,
            component=component.name if component else COIN_TASK,
            release=component.version if component else "",
            code=component_code(component) if component else code_digest(_TOSS_SOURCES),
            nonce=SecretRandom().bytes(NONCE_BYTES),
        )
        nonces = {spec.party: mine.nonce}
        for peer in channel.transport.peers:
            channel.send(peer, "hello", mine)
        for peer in channel.transport.peers:
            said = channel.receive(peer, "hello", Hello, deadline=around.limits.connect_seconds)
            parts = mine.differing(said)
            if parts:
                raise PeerError(
                    "ATL-WRK-007",
                    f"the parties are about to run different things: {', '.join(parts)}",
                    party=peer,
                    phase=HELLO_PHASE,
                    place=parts[0],
                    hint="compare the installed versions of both parties",
                )
            nonces[peer] = said.nonce
        return session_id(spec.job.digest(), spec.step, spec.attempt, nonces)

    def _party(self, task: str, session: bytes, public: PublicRandom) -> Party:
        spec, around = self.spec, self._around
        return Party(
            name=spec.party,
            roles=dict(spec.job.parties),
            channel=self._channel(task),
            session=session,
            public_rng=public,
            secret_rng=SecretRandom(),
            clock=around.clock,
            limits=around.limits,
            progress=self._progress,
            metric=self._metric,
            cancel=around.cancel,
        )

    def _progress(self, phase: str, done: int, total: int) -> None:
        around, now = self._around, time.monotonic()
        around.events("progress", phase=phase, done=done, total=total)
        if now - self._told >= _TRAFFIC_SECONDS:
            self._told = now
            around.events("traffic", traffic=traffic(self._counters))

    def _metric(self, name: str, value: float, number: int) -> None:
        self._points += 1
        if self._points <= _POINTS:
            self._around.events("metric", name=name, value=float(value), number=number)
        elif self._points == _POINTS + 1:
            _LOG.warning("only the first %d points of metrics are kept", _POINTS)

    def _toss(self, session: bytes) -> Result:
        # Until the coins are tossed nobody may draw on shared randomness.
        party = self._party(COIN_TASK, session, PublicRandom(b""))
        number = self.spec.job.seed
        chosen = self.spec.implementation or coin_toss.choose(len(party.roles), number)
        return Result({"seed": coin_toss.run(party, chosen, number)})

    def _call(self, component: Component, session: bytes) -> Result:
        spec, around = self.spec, self._around
        inputs = gather(spec, component.inputs, around.memory, self._kinds)
        for port, value in inputs.items():
            _LOG.info("input %s: %s", port, _shape(value))
        parameters = self._parameters(component)
        party = self._party(spec.step, session, self._public())
        task = Task(spec.step, party, inputs, ApprovedTables(spec.tables), self._kinds)
        check_inputs(component, task)
        result = component.run(task, parameters)
        check_outputs(component, result)
        return result

    def _parameters(self, component: Component) -> BaseModel:
        try:
            return component.parameters.model_validate(self.spec.parameters)
        except ValueError as error:
            raise _not_mine("parameters") from error

    def _public(self) -> PublicRandom:
        path = self.spec.seed_path
        if path is None:
            raise _not_mine("seed_path")
        named = path.name if len(path.name) == 2 * SEED_BYTES else None
        return job_random(load("seed", path, named), fixed=self.spec.job.seed is not None)

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
    """Say of what size an input is, where it has one."""
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
    return InternalError("ATL-WRK-003", "this is not what a worker is told of a task", place=place)


def execute(spec: TaskSpec, around: Surroundings) -> dict[str, Any]:
    """Run one task and return its result. Errors: whatever ended it; the peers have been told."""
    return Execution(spec, around).run()

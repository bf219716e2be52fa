"""Runs a job as one party: agreement, coin toss, the steps in order, a last word, the outputs.

On any error the peers are told its code and phase, what was revealed so far goes to the ledger,
and nothing is written to the outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from atoll.channel.api import Channel, Counters, Transport
from atoll.channel.party import Cancel, Party
from atoll.components.alignment import check_inputs, takes
from atoll.components.api import Catalogue, Result, TableDeclaration, Tables, Task
from atoll.components.kinds import declared
from atoll.core.clock import Clock, SystemClock
from atoll.core.limits import Limits
from atoll.core.names import Scope, addresses, party_of
from atoll.core.random import PublicRandom, SecretRandom
from atoll.core.report import Report
from atoll.flow import agreement
from atoll.flow.agreement import Agreement, Credentials, Position
from atoll.flow.events import Events, silent
from atoll.flow.inference import Declared
from atoll.flow.ledger import Ledger
from atoll.flow.outputs import Outputs
from atoll.flow.planning import (
    AGREEMENT_STEP,
    COIN_STEP,
    check,
    declare,
    filled,
    no_registry,
    verify,
)
from atoll.flow.seats import each, joined, transports
from atoll.flow.session import session_id, step_id
from atoll.flow.steps import (
    COIN_TASK,
    LAST_TASK,
    check_outputs,
    job_random,
    last_word,
    located,
    traffic,
)
from atoll.jobs.definition import Job
from atoll.jobs.participation import Edges
from atoll.jobs.plan import Plan, TableFacts
from atoll.operators import coin_toss

PLAN_TASK = "flow.plan"

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """One party's run of a job: what it brings, what it may use, and whom it tells.

    ``label`` names the conversation on the wire and must be the same at every party; ``approve``
    decides on the plan (see ``agreement.Position``); ``wall`` is the time in seconds since 1970.
    """

    party: str
    job: Job
    catalogue: Catalogue
    transport: Transport
    credentials: Credentials
    tables: Tables
    folder: Path
    approve: Callable[[Plan], int]
    label: str = ""
    attempt: int = 0
    events: Events = silent
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=SystemClock)
    wall: Callable[[], float] = time.time
    cancel: Cancel = field(default_factory=Cancel)


@dataclass(frozen=True)
class Outcome:
    """What a run left: the plan, where the outputs are, and each step's result."""

    plan: Plan
    folder: Path
    results: Mapping[str, Result]


class Runner:
    """The state of one run. Use ``run``."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.phase = "start"
        self._counters = Counters()
        self._ledger = Ledger(run.folder)
        self._results: dict[str, Result] = {}
        self._seconds: dict[str, float] = {}
        self._tables: dict[str, TableDeclaration] = {}

    def execute(self) -> Outcome:
        """Run everything; tell the peers of a failure. Errors: whatever ended the run."""
        return self._telling(self._execute)

    def plan(self) -> Plan:
        """Make the plan and stop. Errors: whatever ended it."""
        return self._telling(self._plan)

    def _telling(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            known = located(error, self.run.party, self.phase)
            self.run.transport.abort(known.code, known.phase or self.phase)
            raise known from error

    def _plan(self) -> Plan:
        check(self.run.job, self.run.catalogue)
        self._enter(AGREEMENT_STEP)
        channel = self._channel(PLAN_TASK)
        try:
            plan, _ = agreement.prepare(self._position(), channel)
        finally:
            self._record(AGREEMENT_STEP, "", channel)
        self.run.transport.close()
        return plan

    def _execute(self) -> Outcome:
        run = self.run
        steps = check(run.job, run.catalogue)
        self._enter(AGREEMENT_STEP)
        channel = self._channel(agreement.TASK)
        try:
            agreed = agreement.agree(self._position(), channel)
        finally:
            self._record(AGREEMENT_STEP, "", channel)
        run.events("plan", digest=agreed.plan.digest(), warnings=list(agreed.plan.warnings))
        outputs = Outputs(run.folder / "runs")
        name = self._name(agreed)
        public = self._toss(agreed, name)
        parameters = filled(run.job, run.catalogue, run.party)
        for step in steps:
            self._step(step, agreed, name, public, parameters[step], outputs)
        self._enter("finish")
        last_word(self._channel(LAST_TASK), agreed.plan.digest())
        self._summarise(agreed, outputs)
        place = outputs.publish(name)
        self._ledger.append("end", {"run": name, "job": run.job.digest()})
        run.transport.close()
        run.events("finished", run=name)
        return Outcome(agreed.plan, place, self._results)

    def _enter(self, phase: str) -> None:
        self.run.cancel.check()
        self.phase = phase
        self.run.events("phase", phase=phase)

    def _position(self) -> Position:
        run = self.run
        return Position(
            run.party,
            run.job,
            run.catalogue,
            self._declared(),
            run.credentials,
            run.approve,
            self._ledger,
            run.wall,
            verify=lambda plan: self._verify(plan.tables),
        )

    def _declared(self) -> dict[str, TableFacts]:
        run = self.run
        self._tables = declare(run.job, run.catalogue, run.party, run.tables)
        # What fails here already is refused before anything is sent.
        self._verify({})
        return {step: declared.facts for step, declared in self._tables.items()}

    def _verify(self, others: Declared) -> None:
        run = self.run
        verify(run.job, run.catalogue, run.party, self._tables, no_registry, others)

    def _channel(self, task: str, end: Transport | None = None) -> Channel:
        run = self.run
        scope = Scope(run.label or run.job.name, task, run.attempt)
        return Channel(
            end or run.transport, scope, run.limits, self._counters, phase_name=self.phase
        )

    def _name(self, agreed: Agreement) -> str:
        whole = session_id(self.run.job.digest(), "run", self.run.attempt, agreed.nonces)
        return f"{self.run.job.name}-{whole.hex()[:12]}"

    def _party(
        self,
        step: str,
        task: str,
        agreed: Agreement,
        public: PublicRandom,
        seat: tuple[str, Transport] | None = None,
    ) -> Party:
        """Return what role code is given in a step, or in what every job does besides."""
        run, plan = self.run, agreed.plan
        address, end = seat or (run.party, run.transport)
        roles = run.job.first_roles
        if step in plan.seats:
            roles = addresses(plan.seats_of(step))
        return Party(
            name=address,
            roles=roles,
            channel=self._channel(task, end),
            session=session_id(run.job.digest(), task, run.attempt, agreed.nonces),
            public_rng=public,
            secret_rng=SecretRandom(),
            clock=run.clock,
            limits=run.limits,
            progress=lambda phase, done, total: run.events(
                "progress", step=step, phase=phase, done=done, total=total
            ),
            cancel=run.cancel,
            talks_to=Edges.of_plain(plan.edges.get(step)).peers(address, roles),
            step_id=step_id(plan.digest(), step, public),
        )

    def _toss(self, agreed: Agreement, name: str) -> PublicRandom:
        self._enter(COIN_STEP)
        # Until the coins are tossed nobody may draw on shared randomness.
        party = self._party(COIN_STEP, COIN_TASK, agreed, PublicRandom(b""))
        try:
            chosen = agreed.plan.implementations[COIN_STEP]
            seed = coin_toss.run(party, chosen, self.run.job.seed)
        finally:
            self._record(COIN_STEP, name, party.channel)
        return job_random(seed, fixed=self.run.job.seed is not None)

    def _step(
        self,
        step: str,
        agreed: Agreement,
        name: str,
        public: PublicRandom,
        parameters: BaseModel,
        outputs: Outputs,
    ) -> None:
        run = self.run
        self._enter(step)
        self._ledger.append("start", {"run": name, "job": run.job.digest(), "step": step})
        component = run.catalogue[run.job.steps[step].component]
        if run.party not in agreed.plan.parties_of(step):
            return
        ends = self._ends(agreed.plan, step)
        parties = {a: self._party(step, step, agreed, public, (a, ends[a])) for a in ends}

        def act(address: str) -> Result:
            party = parties[address]
            given = self._inputs(step)
            taken = {p: value for p, value in given.items() if takes(component, p, party.role)}
            task = Task(step, party, taken, run.tables, declared(run.catalogue))
            check_inputs(component, task)
            return component.run(task, parameters)

        begun = time.monotonic()
        try:
            result = joined(each(ends, act))
        finally:
            for party in parties.values():
                self._record(step, name, party.channel)
        self._seconds[step] = time.monotonic() - begun
        check_outputs(component, result)
        self._results[step] = result
        _keep(step, result, outputs)
        run.events("step", step=step, seconds=round(self._seconds[step], 3))

    def _ends(self, plan: Plan, step: str) -> dict[str, Transport]:
        """Return the transport of each seat that this party has in a step."""
        roles, edges = addresses(plan.seats_of(step)), Edges.of_plain(plan.edges.get(step))
        mine = [address for address in roles if party_of(address) == self.run.party]
        return transports(self.run.transport, mine, roles, lambda at: edges.peers(at, roles))

    def _inputs(self, step: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for port, source in self.run.job.steps[step].inputs.items():
            at, _, output = source.partition(".")
            # A role that gets no such output of the earlier step gets no such input.
            made = self._results.get(at)
            found[port] = made and made.outputs.get(output)
        return found

    def _record(self, step: str, name: str, channel: Channel) -> None:
        digest = self.run.job.digest()
        self._ledger.extend(
            [
                ("reveal", {"run": name, "job": digest, "step": step, **line})
                for line in channel.disclosures.to_list()
            ]
        )

    def _summarise(self, agreed: Agreement, outputs: Outputs) -> None:
        outputs.add_json("", "plan.json", agreed.plan.canonical())
        outputs.add_json(
            "", "run.json", {"seconds": self._seconds, "traffic": traffic(self._counters)}
        )


def _keep(step: str, result: Result, outputs: Outputs) -> None:
    for name, data in result.files.items():
        outputs.add(step, name, data)
    if isinstance(result.report, Report):
        outputs.add_json(step, "report.json", result.report.model_dump(mode="json"))


def run(run: Run) -> Outcome:
    """Run a job as one party and return what it left. Errors: whatever ended the run, located."""
    return Runner(run).execute()


def plan_only(run: Run) -> Plan:
    """Make the plan with the other parties, who do the same, and stop. Errors: as ``run``."""
    return Runner(run).plan()

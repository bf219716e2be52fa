"""A whole job in this process: planned as nodes plan it, then run task by task as workers run it.

What lies between, the job machine and its nodes, is not here; the network is memory, the time is
virtual, artifacts lie in files.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from atoll.channel import world
from atoll.channel.api import Transport
from atoll.channel.faulty import Fault, FaultyTransport, Killed
from atoll.channel.party import Party
from atoll.components.api import Catalogue, Result, TableDeclaration, Tables
from atoll.components.kinds import declared
from atoll.core.errors import AtollError, PeerError
from atoll.flow import planning
from atoll.flow.planning import AGREEMENT_STEP, COIN_STEP
from atoll.flow.policy.exposure import most_sent
from atoll.flow.work.artifacts import load
from atoll.flow.work.execute import Execution, TaskContext
from atoll.flow.work.seat_keys import KeyScope, issued
from atoll.flow.work.specification import InputArtifact, OwnTable, TaskSpec
from atoll.jobs.approval import key_fingerprint
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan
from atoll.jobs.validation import order
from atoll.models.kinds import Kinds
from atoll.table import Table, write

JOB_ID = "20260102030405-0123abcd"
Faults = Mapping[str, Fault]


@dataclass
class Outcome:
    """What one party has after a job: its plan, each step's result, what it sent others."""

    plan: Plan
    results: dict[str, Result] = field(default_factory=dict)
    reveals: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Whole:
    """What became of each party; ``messages`` counts those of parties with a fault, ``sent`` holds
    what each revealed, also in a step that failed.
    """

    results: dict[str, Outcome] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    plan: Plan | None = None

    def check(self) -> Whole:
        """Raise the first cause, if a party failed."""
        for error in sorted(self.errors.values(), key=echo):
            raise error
        return self


def echo(error: BaseException) -> bool:
    """Return whether an error only tells of another party's."""
    return getattr(error, "code", None) in {"ATL-NET-003", "ATL-NET-004"}


def node(party: str) -> Ed25519PrivateKey:
    """Return the key of a party's node, the same in each run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(party.encode()).digest())


class _Opened:
    """Tables that note what was opened."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.seen: dict[str, Table] = {}

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        found = self._tables.open(name, id_column=id_column, label=label)
        self.seen[found.digest()] = found
        return found


class Planned:
    """A job on its way: its plan, and what each party has by now."""

    def __init__(self, job: Job, tables: Mapping[str, Tables], catalogue: Catalogue) -> None:
        self.job, self.catalogue = job, catalogue
        self.errors: dict[str, BaseException] = {}
        self.opened = {party: _Opened(tables[party]) for party in job.parties if party in tables}
        self.plan = self._plan()

    def _plan(self) -> Plan | None:
        made: dict[str, dict[str, TableDeclaration]] = {}
        for party in self.job.parties:
            try:
                planning.check(self.job, self.catalogue)
                made[party] = self._declared(party)
                self._verify(party, made[party], {})
            except AtollError as error:
                self.errors[party] = error.located(party=party, phase=AGREEMENT_STEP)
        if self.errors:
            return None
        facts = {p: {step: one.facts for step, one in d.items()} for p, d in made.items()}
        prints = {name: key_fingerprint(node(name).public_key()) for name in self.job.parties}
        plan = None
        try:
            plan = planning.build(self.job, self.catalogue, facts, prints)
        except AtollError as error:
            located = error.located(phase=AGREEMENT_STEP)
            self.errors = dict.fromkeys(self.job.parties, located)
            return None
        for party in self.job.parties:
            try:
                self._verify(party, made[party], plan.tables)
            except AtollError as error:
                self.errors[party] = error.located(party=party, phase=AGREEMENT_STEP)
        return None if self.errors else plan

    def _declared(self, party: str) -> dict[str, TableDeclaration]:
        held: Any = self.opened.get(party)
        return planning.declare(self.job, self.catalogue, party, held)

    def _verify(self, party: str, made: Any, others: Any) -> None:
        lookup = planning.no_registry
        planning.verify(self.job, self.catalogue, party, made, lookup, others)


class Run:
    """The tasks of a planned job, below a folder."""

    def __init__(
        self,
        planned: Planned,
        plan: Plan,
        folder: Path,
        faults: Faults,
        liars: Mapping[str, Catalogue] | None = None,
    ) -> None:
        self.job, self.catalogue, self.plan = planned.job, planned.catalogue, plan
        self.liars = liars or {}
        self.kinds: Kinds = declared(planned.catalogue)
        self.folder, self.faults = folder, faults
        self.reported: dict[str, dict[str, dict[str, Any]]] = {p: {} for p in self.job.parties}
        self.tables: dict[str, dict[str, Path]] = {p: {} for p in self.job.parties}
        self.whole = Whole({p: Outcome(plan) for p in self.job.parties}, plan=plan)
        for party in self.job.parties:
            (folder / party).mkdir(parents=True)
        for party, opened in planned.opened.items():
            for digest, table in opened.seen.items():
                path = self.tables[party][digest] = folder / party / f"{digest}.arrow"
                write(table, path)

    def play(self) -> Whole:
        """Run all steps, until one fails."""
        for step in (COIN_STEP, *order(self.job)):
            specs = {party: self.spec(party, step) for party in self.job.parties}
            specs = {party: spec for party, spec in specs.items() if spec.mine}
            lived = self._step(specs)
            for party, reported in lived.results.items():
                self._keep(party, step, reported)
            if lived.errors:
                dead = any(isinstance(error, Killed) for error in lived.errors.values())
                done = lived.results if dead else {}
                self.whole.results = {p: self.whole.results[p] for p in done}
                self.whole.errors = lived.errors
                break
        return self.whole

    def _step(self, specs: Mapping[str, TaskSpec]) -> world.World:
        def live(party: Party) -> dict[str, Any]:
            around = TaskContext(
                transport=party.channel.transport,
                catalogue=self.liars.get(party.name, self.catalogue),
                limits=party.limits,
                clock=party.clock,
            )
            execution = Execution(specs[party.name], around)
            try:
                return execution.run()
            finally:
                lines = execution.used()["reveals"]
                kept = self.whole.sent.setdefault(party.name, [])
                kept += [{"step": specs[party.name].step, **line} for line in lines]

        roles = {party: self.job.first_roles[party] for party in specs}
        passed, faults = self.whole.messages, {}
        for party, fault in self.faults.items():
            if party in specs:
                faults[party] = [Fault(fault.kind, fault.at - passed.get(party, 0))]
        lived = world.run(roles, live, faults=faults)
        for party in faults:
            transport: Transport = lived.transports[party]
            assert isinstance(transport, FaultyTransport)
            passed[party] = passed.get(party, 0) + transport.passed
        return lived

    def _keep(self, party: str, step: str, reported: dict[str, Any]) -> None:
        self.reported[party][step] = reported
        outcome, place = self.whole.results[party], self.folder / party
        outcome.reveals += [{"step": step, **line} for line in reported["reveals"]]
        if step == COIN_STEP:
            return

        def read(kind: str, digest: str) -> Any:
            return load(kind, place / digest, digest, self.kinds)

        report = reported.get("report_digest")
        outcome.results[step] = Result(
            {n: read(kept["kind"], kept["digest"]) for n, kept in reported["outputs"].items()},
            {n: read("file", kept["digest"]) for n, kept in reported["files"].items()},
            None if report is None else read("report", report),
        )

    def spec(self, party: str, step: str) -> TaskSpec:
        """Return what a party's worker is given of a step."""
        plan, place = self.plan, self.folder / party
        whole: dict[str, Any] = {
            "job_id": JOB_ID,
            "job": self.job,
            "step": step,
            "attempt": 0,
            "party": party,
            "plan_digest": plan.digest(),
            "implementation": plan.implementations.get(step, ""),
            "outputs_folder": place,
            "seats": plan.seats.get(step, ()),
            "edges": plan.edges.get(step),
            "quorum": plan.quorum.get(step, {}),
            "rows": plan.rows.get(step, {}),
            "columns": plan.columns.get(step, {}),
            "most": most_sent(plan, step),
            "platform": plan.platform,
        }
        scope = KeyScope(JOB_ID, plan.digest(), step, 0, plan.certificates)
        keys = issued(plan, scope, party, node(party))
        whole |= {"seat_keys": keys, "certificates": plan.certificates}
        if step == COIN_STEP:
            return TaskSpec.model_validate(whole)
        own = plan.party_parameters.get(step, {}).get(party) or plan.parameters[step]
        toss = self.reported[party][COIN_STEP]["outputs"]["seed"]["digest"]
        whole |= {
            "component": self.job.steps[step].component,
            "code": plan.components[self.job.steps[step].component].code,
            "parameters": dict(own),
            "inputs": self._inputs(party, step),
            "tables": self._tables(party, step, own),
            "seed_path": place / toss,
        }
        return TaskSpec.model_validate(whole)

    def _inputs(self, party: str, step: str) -> dict[str, InputArtifact]:
        found = {}
        for port, source in self.job.steps[step].inputs.items():
            at, _, output = source.partition(".")
            kept = self.reported[party].get(at, {}).get("outputs", {}).get(output)
            if kept is not None:
                path = self.folder / party / kept["digest"]
                found[port] = InputArtifact(kind=kept["kind"], digest=kept["digest"], path=path)
        return found

    def _tables(self, party: str, step: str, own: Mapping[str, Any]) -> dict[str, OwnTable]:
        facts = self.plan.tables.get(party, {}).get(step)
        path = None if facts is None else self.tables[party].get(facts.digest)
        if facts is None or path is None:
            return {}
        named = own.get("id")
        column = named if isinstance(named, str) else "id"
        return {facts.name: OwnTable(path=path, id=column, label=facts.label, digest=facts.digest)}


def _ended(whole: Whole, job: Job) -> Whole:
    """Let a job that failed at one party end at all: nodes tell each other."""
    if not whole.errors:
        return whole
    cause = min(whole.errors.values(), key=echo)
    reported = f"the peer failed with {getattr(cause, 'code', 'unknown')}"
    for party in job.parties.keys() - whole.errors.keys() - whole.results.keys():
        whole.errors[party] = PeerError("ATL-NET-004", reported)
    return whole


def play(
    job: Job,
    tables: Mapping[str, Tables],
    catalogue: Catalogue,
    *,
    faults: Faults | None = None,
    liars: Mapping[str, Catalogue] | None = None,
) -> Whole:
    """Plan a job and run it; what parties raise is kept, each party's own.

    ``liars`` run the components of another catalogue than the one that was planned with.
    """
    planned = Planned(job, tables, catalogue)
    if planned.plan is None:
        return _ended(Whole(errors=planned.errors), job)
    with tempfile.TemporaryDirectory(prefix="whole-") as folder:
        return _ended(Run(planned, planned.plan, Path(folder), faults or {}, liars).play(), job)

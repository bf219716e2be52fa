"""Plans a generated graph as a user would, runs what is accepted, and checks what came out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from atoll.components import kinds
from atoll.components.catalogue import CATALOGUE
from atoll.components.conformance import check_facts
from atoll.core.errors import AtollError
from atoll.core.random import SecretRandom
from atoll.flow import planning
from atoll.flow.inference import infer
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan, TableFacts
from atoll.sdk import Federation, local
from atoll.sdk.federation import Outcomes
from atoll.sdk.frames import FrameTables
from atoll.sim import world
from atoll.sim.world import World
from tests.simulation.graphs.maker import Graph


@dataclass(frozen=True)
class Ending:
    """How a graph ended: refused by the plan, failed in the run, or (neither) with success.

    ``causes`` are the errors of all parties that are not the echo of another's.
    """

    graph: Graph
    job: Job | None
    refused: AtollError | None = None
    failed: AtollError | None = None
    causes: tuple[BaseException, ...] = ()

    @property
    def code(self) -> str:
        """Success, or a word and the code of what ended it."""
        if self.refused is not None:
            return f"refused {self.refused.code}"
        return "success" if self.failed is None else f"failed {self.failed.code}"

    @property
    def components(self) -> frozenset[str]:
        """The components that the job uses."""
        steps = {} if self.job is None else self.job.steps
        return frozenset(step.component for step in steps.values())


def upstream(job: Job, name: str) -> frozenset[str]:
    """Return the components of all steps that a step takes from, at once or by others."""
    sources = job.steps[name].sources()
    found = frozenset(job.steps[source].component for source in sources)
    return found.union(*(upstream(job, source) for source in sources))


def accepted(graph: Graph) -> tuple[Job | None, AtollError | None]:
    """Plan a graph without anybody talking; return the job, or why it is refused."""
    try:
        job = parse_job(graph.document)
        planning.check(job, CATALOGUE)
        declared = {party: _declared(job, graph, party) for party in job.parties}
        planning.build(job, CATALOGUE, declared, dict.fromkeys(job.parties, "key"))
    except AtollError as error:
        return None, error
    return job, None


def _declared(job: Job, graph: Graph, party: str) -> dict[str, TableFacts]:
    tables = FrameTables(graph.tables[party])
    found = planning.declare(job, CATALOGUE, party, tables)
    planning.verify(job, CATALOGUE, party, found, planning.no_registry)
    return {step: table.facts for step, table in found.items()}


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Let all secrets of a run follow from a number, so that a run can be repeated."""
    drawn: Counter[str] = Counter()

    def make() -> SecretRandom:
        # A world's threads have the names of their parties.
        party = threading.current_thread().name
        drawn[party] += 1
        return SecretRandom.seeded(f"{number}/{party}/{drawn[party]}".encode())

    with (
        mock.patch("atoll.flow.runner.SecretRandom", make),
        mock.patch("atoll.flow.agreement.SecretRandom", make),
    ):
        yield


@contextmanager
def watched() -> Iterator[list[World]]:
    """Keep the worlds of a federation: it tells of the first error alone."""
    worlds: list[World] = []
    run = world.run

    def keep(*arguments: Any, **named: Any) -> World:
        worlds.append(run(*arguments, **named))
        return worlds[-1]

    with mock.patch.object(world, "run", keep):
        yield worlds


def play(graph: Graph) -> Ending:
    """Plan a graph, run it if the plan is accepted, and check its outputs.

    Errors: AssertionError if what came out is not what the plan said.
    """
    try:
        job = parse_job(graph.document)
        planning.check(job, CATALOGUE)
    except AtollError as error:
        return Ending(graph, None, refused=error, causes=(error,))
    roles = dict(job.parties)
    with seeded(graph.number), watched() as worlds, local(roles, graph.tables) as parties:
        return _play(graph, job, parties, worlds)


def _play(graph: Graph, job: Job, parties: Federation, worlds: list[World]) -> Ending:
    try:
        plan = parties.plan(job)
    except AtollError as error:
        return Ending(graph, job, refused=error, causes=_causes(worlds[-1]))
    try:
        outcomes = parties.run(job)
    except AtollError as error:
        return Ending(graph, job, failed=error, causes=_causes(worlds[-1]))
    check(job, plan, outcomes)
    return Ending(graph, job)


def _causes(world: World) -> tuple[BaseException, ...]:
    echoes = {"ATL-NET-003", "ATL-NET-004"}
    return tuple(e for e in world.errors.values() if getattr(e, "code", "") not in echoes)


def check(job: Job, plan: Plan, outcomes: Outcomes) -> None:
    """Hold what each party has against what the plan says of it."""
    told = infer(job, CATALOGUE, planning.filled(job, CATALOGUE), plan.tables)
    for party, outcome in outcomes.items():
        assert outcome.plan == plan, f"{party} agreed to another plan than it was shown"
        owned = {name for name, owners in plan.owners.items() if party in owners}
        assert outcome.outputs.keys() == owned, f"{party} has other outputs than planned"
        for name, value in outcome.outputs.items():
            _check_output(told.terms, party, name, value)


def _check_output(terms: Mapping[str, Any], party: str, name: str, value: Any) -> None:
    step, _, output = name.partition(".")
    said = terms[step].outputs[output][party]
    assert kinds.holds(said.kind, value), f"{name} of {party} is no {said.kind}"
    check_facts(f"{name} of {party}", said, value)

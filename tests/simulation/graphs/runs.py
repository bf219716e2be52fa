"""Plans a generated graph as a user would, runs what is accepted, and checks what came out."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
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
from atoll.sdk.frames import FrameTables
from tests.simulation.graphs.maker import Graph
from tests.whole import Planned, Run, Whole, echo


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

    with mock.patch("atoll.flow.work.execute.SecretRandom", make):
        yield


def play(graph: Graph) -> Ending:
    """Plan a graph, run it if the plan is accepted, and check its outputs.

    Errors: AssertionError if what came out is not what the plan said.
    """
    try:
        job = parse_job(graph.document)
        planning.check(job, CATALOGUE)
    except AtollError as error:
        return Ending(graph, None, refused=error, causes=(error,))
    tables = {party: FrameTables(own) for party, own in graph.tables.items()}
    planned = Planned(job, tables, CATALOGUE)
    if planned.plan is None:
        causes = _causes(planned.errors)
        return Ending(graph, job, refused=first(causes), causes=causes)
    with seeded(graph.number), tempfile.TemporaryDirectory() as folder:
        lived = Run(planned, planned.plan, Path(folder), {}).play()
        causes = _causes(lived.errors)
        if lived.errors:
            return Ending(graph, job, failed=first(causes), causes=causes)
        check(job, planned.plan, lived)
    return Ending(graph, job)


def first(causes: tuple[BaseException, ...]) -> AtollError:
    """Return the first of several causes; one that has no code is raised."""
    if not isinstance(causes[0], AtollError):
        raise causes[0]
    return causes[0]


def _causes(errors: Mapping[str, BaseException]) -> tuple[BaseException, ...]:
    return tuple(error for error in errors.values() if not echo(error))


def check(job: Job, plan: Plan, lived: Whole) -> None:
    """Hold what each party has against what the plan says of it."""
    reported = infer(job, CATALOGUE, planning.filled(job, CATALOGUE), plan.tables)
    for party, outcome in lived.results.items():
        outputs = {
            f"{step}.{name}": value
            for step, result in outcome.results.items()
            for name, value in result.outputs.items()
        }
        owned = {name for name, owners in plan.owners.items() if party in owners}
        assert outputs.keys() == owned, f"{party} has other outputs than planned"
        for name, value in outputs.items():
            _check_output(reported.terms, party, name, value)


def _check_output(terms: Mapping[str, Any], party: str, name: str, value: Any) -> None:
    step, _, output = name.partition(".")
    planned = terms[step].outputs[output][party]
    assert kinds.holds(planned.kind, value), f"{name} of {party} is no {planned.kind}"
    check_facts(f"{name} of {party}", planned, value)

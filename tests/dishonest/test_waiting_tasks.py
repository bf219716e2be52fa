"""A partner whose steps begin and then send nothing, beside whole honest nodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import pyarrow as pa
import pytest

from atoll.components.api import Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import NetworkError
from atoll.flow.node.jobs.worker_shares import WorkerLimits
from atoll.flow.node.settings import WorkersSection
from atoll.jobs.definition import parse_job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.states import ENDED
from atoll.sdk import Pipeline, local
from atoll.sdk.calls.jobs import plain
from atoll.sim.nodes import LocalNode
from tests.dishonest.lying import lying
from tests.dishonest.test_whole_nodes import waiting
from tests.e2e.nodes import until

LIAR, HONEST, THIRD = "bank", "shop", "post"
WORKERS, STEPS = 8, 4
LIMITS = WorkerLimits.of(WorkersSection(maximum=WORKERS))


class Nodes:
    """Three nodes, of which the liar's intersections with the honest one wait until ``go``."""

    def __init__(self, nodes: dict[str, LocalNode]) -> None:
        self.nodes, self.go = nodes, Event()
        pool: Any = nodes[LIAR].pool
        pool._catalogue = lambda: lying({"psi": self._waits})
        nodes[HONEST].place.shares.limits = LIMITS
        # So many workers the honest node has, whatever its tasks are allowed.
        workers: Any = nodes[HONEST].pool
        workers._most = WORKERS

    def _waits(self, task: Task, parameters: Any) -> Result:
        assert self.go.wait(60.0)
        raise NetworkError("ATL-NET-001", "the connection broke, it says")

    def submit(self, by: str, partner: str, steps: dict[str, Any]) -> str:
        parties = {by: "guest", partner: "host"}
        job = parse_job({"name": "any", "parties": parties, "steps": steps})
        node = self.nodes[by]
        options = {"reuse": False, "retries": 0}
        name = str(node.services.jobs.submit(job, options, node.owner(), None, (), "")["id"])
        asked = self.nodes[partner]
        if "table" not in steps:
            until(lambda: waiting(asked, name))
            digest = str(asked.services.jobs.plan_of(name)["digest"])
            asked.services.jobs.approve(name, digest, asked.owner())
        return name

    def waits(self, job: str, most: int) -> bool:
        """Return whether all intersections of a job run, as it seems, and so many hold workers."""
        try:
            steps = self.nodes[HONEST].services.jobs.get(job)["steps"]
        except NotFoundError:
            return False
        states = [steps[name]["own"].get("state") for name in matches("")]
        held = len(self.nodes[HONEST].place.shares._held)
        return states == ["running"] * STEPS and held == most

    def ended(self, *jobs: str) -> bool:
        services = self.nodes[HONEST].services.jobs
        return all(services.get(job)["state"] in ENDED for job in jobs)

    def own(self) -> str:
        """Let the honest node run a job of its own with the third; return how it ends."""
        reader = {"component": "reader", "parameters": {"tables": tables(HONEST, THIRD)}}
        steps = {"read": reader, "match": {"component": "psi", "inputs": {"table": "read.table"}}}
        name = self.submit(HONEST, THIRD, steps)
        jobs = self.nodes[HONEST].services.jobs
        until(lambda: jobs.get(name)["state"] in ENDED)
        return str(jobs.get(name)["state"])


def tables(*parties: str) -> dict[str, str]:
    return dict.fromkeys(parties, "people")


def matches(source: str) -> dict[str, Any]:
    step = {"component": "psi", "inputs": {"table": f"{source}.table"}}
    return {f"m{at}": step for at in range(STEPS)}


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    ids = [f"r{at}" for at in range(20)]
    columns = {"id": ids, "y": [float(at % 2) for at in range(20)]}
    held = {party: {"people": pa.table(columns)} for party in (LIAR, HONEST, THIRD)}
    roles: Any = {LIAR: "guest", HONEST: "host", THIRD: "host"}
    p = Pipeline("first", guest=LIAR, host=[HONEST, THIRD])
    p.psi(p.reader(tables=tables(LIAR, HONEST, THIRD)))
    with local(roles, held, catalogue=CATALOGUE) as federation:
        federation._driver(parse_job(plain(p)))
        made = Nodes(federation._opened())
        yield made
        made.go.set()


def test_steps_that_wait_leave_workers_to_own_jobs(nodes: Nodes) -> None:
    """Lie: two jobs whose steps begin and are sent nothing, approved by a person or made up, which
    needs no approval. Gain before: all eight workers for ten minutes an attempt; each own job
    failed by ATL-WRK-002. Rule: half of the workers for a partner, one of two for what is made up.
    """
    reader = {"component": "reader", "parameters": {"tables": tables(LIAR, HONEST)}}
    synthetic = {"table": {"component": "synthetic"}, **matches("table")}
    for steps, most in ((synthetic, 1), ({"read": reader, **matches("read")}, WORKERS // 2)):
        first, second = (nodes.submit(LIAR, HONEST, steps) for _ in range(2))
        until(partial(nodes.waits, first, most))
        assert nodes.own() == "success"
        assert nodes.waits(first, most)
        nodes.go.set()
        until(partial(nodes.ended, first, second))
        nodes.go.clear()

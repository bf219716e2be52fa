"""A lying initiator beside a whole honest node: its ledger, its approvals and its caps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from atoll.components.api import Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import NetworkError
from atoll.flow.policy.grants import Caps
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.states import ENDED
from atoll.sdk import Pipeline, local
from atoll.sdk.calls.jobs import plain
from atoll.sim.nodes import LocalNode
from tests.dishonest.lying import lying
from tests.e2e.nodes import until
from tests.flow.policy.books import usage

LIAR, HONEST = "bank", "shop"
ROWS, RETRIES, RUNS = 60, 10, 3
Pair = tuple[Job, dict[str, LocalNode]]


def denies(task: Task, parameters: Any) -> Result:
    """Run the honest intersection to its end, keep what it gave, and say that it broke off."""
    CATALOGUE["psi"].run(task, parameters)
    raise NetworkError("ATL-NET-001", "the connection broke, it says")


@pytest.fixture
def pair() -> Iterator[Pair]:
    ids = [f"r{at}" for at in range(ROWS)]
    y = [float(at % 2) for at in range(ROWS)]
    tables = {
        LIAR: {"people": pa.table({"id": ids, "b": [float(at) for at in range(ROWS)], "y": y})},
        HONEST: {"people": pa.table({"id": ids, "s": [float(at) for at in range(ROWS)]})},
    }
    p = Pipeline("again", guest=LIAR, host=[HONEST])
    p.psi(p.reader(tables={LIAR: "people", HONEST: "people"}))
    job = parse_job(plain(p))
    with local({LIAR: "guest", HONEST: "host"}, tables, catalogue=CATALOGUE) as federation:
        federation._driver(job)
        nodes = federation._opened()
        pool: Any = nodes[LIAR].pool
        pool._catalogue = lambda: lying({"psi": denies})
        nodes[LIAR].decider._runs = 99
        yield job, nodes


def waiting(node: LocalNode, job: str) -> bool:
    """Return whether a job waits for a person of a node."""
    try:
        return bool(node.services.jobs.get(job)["state"] == "awaiting approval")
    except NotFoundError:
        return False


def played(pair: Pair) -> tuple[str, dict[str, Any]]:
    """Let the liar submit; return what the honest node shows of the job at its end."""
    job, nodes = pair
    liar, honest = nodes[LIAR], nodes[HONEST]
    options = {"reuse": False, "retries": RETRIES, "tags": ["monthly"]}
    made = liar.services.jobs.submit(job, options, liar.owner(), None, (), "")
    name = str(made["id"])
    until(lambda: waiting(honest, name))
    digest = str(honest.services.jobs.plan_of(name)["digest"])
    honest.services.jobs.approve(name, digest, honest.owner())
    until(lambda: liar.services.jobs.get(name)["state"] in ENDED)
    until(lambda: honest.services.jobs.get(name)["state"] in ENDED)
    return name, dict(honest.services.jobs.get(name))


def intersections(nodes: dict[str, LocalNode], job: str) -> int:
    """Return how many attempts of the intersection the honest node sent its tags in."""
    lines = [line for line in nodes[HONEST].services.ledger.entries() if line["kind"] == "reveal"]
    return len({line["attempt"] for line in lines if line["run"] == job and line["step"] == "psi"})


def test_an_intersection_that_is_denied_again_and_again(pair: Pair) -> None:
    """Lie: eleven intersections on one approval. Each takes a run, all are charged: ATL-POL-014."""
    name, shown = played(pair)
    assert (shown["state"], shown["code"], shown["party"]) == ("failed", "ATL-POL-014", HONEST)
    assert shown["spent_runs"] == RUNS - 1
    gained = intersections(pair[1], name)
    assert gained == RUNS
    assert usage(pair[1][HONEST].policies.ledger, "people", LIAR).psi_runs >= gained


def test_tags_of_a_partner_choose_none_of_the_jobs_here(pair: Pair) -> None:
    """Lie: a tag by which the honest party's programs find their own jobs. It stays the liar's."""
    name, shown = played(pair)
    theirs = pair[1][LIAR].services.jobs.get(name)
    assert (shown["tags"], theirs["tags"]) == ([], ["monthly"])
    found = pair[1][HONEST].services.jobs.list(
        state=None, name=None, party=None, tag="monthly", limit=50, after=None
    )
    assert not found.rows


def test_a_cap_without_a_grant_ends_it_earlier(pair: Pair) -> None:
    """Lie: as before, of a job that no grant covers. The table's cap of two: ATL-POL-005."""
    honest = pair[1][HONEST]
    honest.policies.grants.cap(honest.owner(), "people", "*", Caps(psi_runs=2))
    name, shown = played(pair)
    assert (shown["state"], shown["code"]) == ("failed", "ATL-POL-005")
    assert intersections(pair[1], name) == 2
    assert usage(honest.policies.ledger, "people", LIAR).psi_runs == 2

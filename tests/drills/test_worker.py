"""A worker is killed during each step: the step is tried again, and the job succeeds."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal

import pytest

from atoll.flow.planning import COIN_STEP
from atoll.jobs.definition import Job
from atoll.sdk import Client
from tests.drills.acts import Pair
from tests.drills.checks import ENDED
from tests.e2e.nodes import training_job, until

STEPS = (COIN_STEP, "read", "match", "boost", "score", "judge")
# The scores lie at the bank alone, so nobody else judges them.
PLACES = [(step, victim) for step in STEPS for victim in ("bank", "shop")]
PLACES.remove(("judge", "shop"))
TRIES = 40
LOOKS = 20


def busy_workers(client: Client, job: str, step: str) -> list[int]:
    """Return the workers that are at a step."""
    workers = client.status()["workers"]
    return [w["pid"] for w in workers if w["job"] == job and w["step"] == step]


def kill_at_step(two: Pair, victim: str, step: str, graph: Job) -> bool:
    """Run a job and kill the worker of a step; say whether one was caught at it."""
    with two[victim].client() as client:
        # Some steps take milliseconds: one open connection, and one question over and over.
        job = two.submit(graph)
        caught: list[int] = []
        for count in itertools.count():
            caught = busy_workers(client, job, step)
            if caught:
                break
            if count % LOOKS == 0:
                newest = client.jobs.list(state="success", limit=1).items
                if newest and newest[0].id == job:
                    break
        for pid in caught:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    two.well(job)
    with two["bank"].client() as bank:
        return bool(bank.jobs.get(job).view.steps[step].attempt > 1)


def killed(two: Pair, victim: str, step: str) -> None:
    graph = training_job("bank", "shop", trees=8)
    assert any(kill_at_step(two, victim, step, graph) for _ in range(TRIES))


def test_a_killed_worker_costs_an_attempt(two: Pair) -> None:
    killed(two, "shop", "boost")


@pytest.mark.drill
@pytest.mark.parametrize(("step", "victim"), PLACES)
def test_a_worker_is_killed_at_each_step(two: Pair, victim: str, step: str) -> None:
    killed(two, victim, step)


@pytest.mark.drill
def test_a_worker_that_always_dies_ends_the_job_at_both(two: Pair) -> None:
    """Not for ever: no one knows what lost attempts revealed, so each further one takes a run."""
    job = two.submit(training_job("bank", "shop", trees=400))

    def kill_again() -> bool:
        with two["shop"].client() as client:
            for pid in busy_workers(client, job, "boost"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            listed = client.jobs.list().items
        return any(one.id == job and one.state in ENDED for one in listed)

    until(kill_again)
    two.well(job, success=False)
    with two["bank"].client() as bank:
        assert bank.jobs.get(job).view.code == "ATL-POL-014"

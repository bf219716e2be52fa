"""A worker is killed during each step: the step is tried again, and the job succeeds."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from atoll.flow.planning import COIN_STEP
from atoll.jobs.definition import Job
from tests.drills.acts import Pair
from tests.drills.checks import ENDED
from tests.e2e.nodes import TestNode, training_job, until

STEPS = (COIN_STEP, "read", "match", "boost", "score", "judge")
TRIES = 6


def busy_workers(node: TestNode, job: str, step: str) -> list[int]:
    """Return the workers that are at a step."""
    with node.client() as client:
        workers = client.status()["workers"]
    return [w["pid"] for w in workers if w["job"] == job and w["step"] == step]


def kill_at_step(two: Pair, victim: str, step: str, graph: Job) -> bool:
    """Run a job and kill the worker of a step; say whether one was caught at it."""
    job = two.submit(graph)
    caught: list[int] = []

    def caught_or_over() -> bool:
        caught.extend(busy_workers(two[victim], job, step))
        for pid in caught:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with two[victim].client() as client:
            # The victim may not know of the job yet.
            states = [one.state for one in client.jobs.list().items if one.id == job]
        return bool(caught) or states[:1] in [[state] for state in ENDED]

    until(caught_or_over)
    two.well(job)
    with two["bank"].client() as bank:
        return bool(bank.jobs.get(job).view.steps[step].attempt > 1)


def killed(two: Pair, victim: str, step: str) -> None:
    graph = training_job("bank", "shop", trees=8)
    assert any(kill_at_step(two, victim, step, graph) for _ in range(TRIES))


def test_a_killed_worker_costs_an_attempt(two: Pair) -> None:
    killed(two, "shop", "boost")


@pytest.mark.drill
@pytest.mark.parametrize("victim", ["bank", "shop"])
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_is_killed_at_each_step(two: Pair, victim: str, step: str) -> None:
    killed(two, victim, step)


@pytest.mark.drill
def test_a_worker_that_always_dies_ends_the_job_at_both(two: Pair) -> None:
    """Not for ever: after five lost attempts the job fails with its code on both sides."""
    job = two.submit(training_job("bank", "shop", trees=400))

    def kill_again() -> bool:
        for pid in busy_workers(two["shop"], job, "boost"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with two["shop"].client() as client:
            listed = client.jobs.list().items
        return any(one.id == job and one.state in ENDED for one in listed)

    until(kill_again)
    two.well(job, success=False)
    with two["bank"].client() as bank:
        assert bank.jobs.get(job).view.code == "ATL-FLW-010"

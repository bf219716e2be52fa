"""Orderly ends, double starts and old locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from atoll.cli.node_process import command
from atoll.core.processes import start_time
from tests.drills.acts import Pair
from tests.drills.checks import nothing_runs
from tests.e2e.nodes import TestNode, training_job, until

DRAIN_SECONDS = 30.0


def node_process(node: TestNode, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a node's process in the foreground until it ends by itself."""
    arguments = [*command(node.folder), *flags]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("who", ["shop", pytest.param("bank", marks=pytest.mark.drill)])
def test_a_node_that_is_told_to_stop_goes_on_after_its_start(two: Pair, who: str) -> None:
    job = two.submit(training_job("bank", "shop", trees=40))
    with two["bank"].client() as bank:
        until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
    pid, started = two[who].folder.running(), time.monotonic()
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    until(lambda: two[who].folder.running() is None, DRAIN_SECONDS)
    assert time.monotonic() - started < DRAIN_SECONDS
    nothing_runs(two[who])
    two.start(who)
    two.well(job)


def test_a_second_node_in_a_folder_is_refused(two: Pair) -> None:
    before = two["shop"].folder.running()
    done = node_process(two["shop"])
    assert (done.returncode, "ATL-NOD-001" in done.stderr) == (5, True)
    assert two["shop"].folder.running() == before
    with two["shop"].client() as shop:
        assert shop.status()["ready"]


@pytest.mark.parametrize("owner", ["another", pytest.param("dead", marks=pytest.mark.drill)])
def test_the_lock_of_a_dead_node_is_taken_over(two: Pair, owner: str) -> None:
    """Also where its process number belongs to somebody else by now."""
    two["shop"].kill()
    lock = two["shop"].folder.run / "node.lock"
    mark = json.loads(lock.read_text())
    assert start_time(mark["pid"]) is None
    if owner == "another":
        lock.write_text(json.dumps(mark | {"pid": os.getpid()}))
    assert two["shop"].folder.running() is None
    two.start("shop")
    two.still_works()

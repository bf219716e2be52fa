"""Orderly ends, double starts, old locks, ports that are taken, folders that cannot be written."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow.node.folder import start_time
from tests.drills.acts import Pair
from tests.drills.checks import nothing_runs
from tests.drills.disks import read_only
from tests.e2e import nodes
from tests.e2e.nodes import TestNode, training_job, until

DRAIN_SECONDS = 30.0


def node_process(node: TestNode, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a node's process in the foreground until it ends by itself."""
    command = [sys.executable, "-m", "atoll.flow.node", str(node.folder.root), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("who", ["shop", pytest.param("bank", marks=pytest.mark.drill)])
def test_a_node_that_is_told_to_stop_goes_on_after_its_start(two: Pair, who: str) -> None:
    job = two.submit(training_job("bank", "shop", trees=40))
    with two["bank"].client() as bank:
        until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
    pid, begun = two[who].folder.running(), time.monotonic()
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    until(lambda: two[who].folder.running() is None, DRAIN_SECONDS)
    assert time.monotonic() - begun < DRAIN_SECONDS
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


@pytest.mark.parametrize("owner", ["dead", "another"])
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


def anywhere(node: TestNode) -> tuple[str, str]:
    """Return flags for ports that are free."""
    return "--set=http.port=0", f"--set=gateway.listen=127.0.0.1:{node.port}"


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def idle(tmp_path: Path) -> TestNode:
    """A node that was never started."""
    return nodes.make(tmp_path, "bank")["bank"]


@pytest.mark.parametrize(
    ("key", "code"), [("gateway.listen", "ATL-NET-024"), ("http.port", "ATL-API-016")]
)
def test_a_port_that_is_taken(idle: TestNode, key: str, code: str) -> None:
    with taken_port() as port:
        value = f"127.0.0.1:{port}" if key == "gateway.listen" else str(port)
        with pytest.raises(AtollError, match=code):
            idle.start(**{key: value})
    nothing_runs(idle)
    idle.start().close()
    idle.stop()


def test_a_folder_that_cannot_be_written(idle: TestNode) -> None:
    idle.start().close()
    idle.stop()
    with read_only(idle.folder.root):
        done = node_process(idle, *anywhere(idle))
        assert (done.returncode, "ATL-NOD-002" in done.stderr) == (10, True), done.stderr
    idle.start().close()
    idle.stop()


def test_a_database_that_cannot_be_written(idle: TestNode) -> None:
    idle.start().close()
    idle.stop()
    with read_only(idle.folder.database):
        done = node_process(idle, *anywhere(idle))
        assert (done.returncode, "ATL-STO-005" in done.stderr) == (10, True), done.stderr
    idle.start().close()
    idle.stop()

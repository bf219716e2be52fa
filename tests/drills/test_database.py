"""The database is locked by somebody else, or its server starts anew, while a job runs."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.drills.acts import Pair
from tests.e2e import nodes
from tests.e2e.nodes import TestNode, fill, training_job, until
from tests.flow.store.servers import MissingServer, Server, postgres

SHORT, LONG = 3.0, 15.0


@contextmanager
def locked(node: TestNode) -> Iterator[None]:
    """Hold the writer's lock of a node's database."""
    with closing(sqlite3.connect(node.folder.database, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def lock_during(two: Pair, who: str, seconds: float) -> str:
    """Lock a node's database for some seconds of a job's long step; return the job."""
    job = two.submit(training_job("bank", "shop", trees=30))
    with two["bank"].client() as bank:
        until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
    with locked(two[who]):
        time.sleep(seconds)
    return job


def test_a_lock_of_seconds_goes_unnoticed(two: Pair) -> None:
    job = lock_during(two, "shop", SHORT)
    two.well(job)


@pytest.mark.drill
@pytest.mark.parametrize("who", ["bank", "shop"])
def test_a_long_lock_is_waited_out(two: Pair, who: str) -> None:
    """Longer than the writer tries: the node goes on once it can write."""
    job = lock_during(two, who, LONG)
    two.well(job)


@pytest.mark.drill
@pytest.mark.parametrize("who", ["bank", "shop"])
def test_a_job_that_comes_during_a_lock_waits(two: Pair, who: str) -> None:
    with locked(two["shop"]):
        job = two.submit()
        time.sleep(SHORT)
    two.well(job)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        with postgres(durable=True) as made:
            yield made
    except MissingServer as missing:
        pytest.skip(f"needs a server: {missing} is not installed")


@pytest.mark.drill
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "crash"])
def test_a_database_server_starts_anew_while_a_job_runs(
    server: Server, tmp_path: Path, how: signal.Signals
) -> None:
    made = nodes.make(tmp_path, "bank", "shop")
    made["shop"].settings["database.url"] = server.create(f"shop{int(how)}")
    for node in made.values():
        node.settings["jobs.peer_seconds"] = "60"
    two = Pair(made)
    try:
        two.start()
        fill(made, tmp_path)
        job = two.submit(training_job("bank", "shop", trees=400))
        with made["bank"].client() as bank:
            until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
        server.stop(how)
        time.sleep(SHORT)
        server.start()
        two.well(job)
        two.still_works()
    finally:
        for node in made.values():
            node.stop()

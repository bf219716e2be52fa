"""A full disk, under the workers' outputs and under the whole node.

Real disks need the right to mount; without it a bound on the size of files takes their place, at
which writes fail in the same places.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.drills.acts import Pair
from tests.drills.checks import check, same_end
from tests.drills.disks import bounded_files, full, may_mount, small_disk, unbounded_files
from tests.e2e import nodes
from tests.e2e.nodes import TestNode, fill, training_job, until

MIB = 1 << 20
SHORT = 3.0
NO_BYTES = 64
FEW_BYTES = 4096
POLL_SECONDS = 0.02
WAYS = ["disk", "bound"] if may_mount() else ["bound"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes; the shop's folder, and in it the jobs' folder, have small disks of their own."""
    root: Path = tmp_path_factory.mktemp("disk")
    shop = root / "shop"
    shop.mkdir(mode=0o700)
    with ExitStack() as stack:
        stack.enter_context(small_disk(shop, 32 * MIB))
        made = nodes.make(root, "bank", "shop")
        made["shop"].folder.make()
        stack.enter_context(small_disk(made["shop"].folder.jobs, 4 * MIB))
        for node in made.values():
            node.settings["jobs.peer_seconds"] = "60"
            stack.callback(node.stop)
        pair = Pair(made)
        pair.start()
        fill(made, root)
        yield pair


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[str, Pair]:
    """Name each way to be out of room, with the nodes for it."""
    nodes_for_it: Pair = request.getfixturevalue("small" if request.param == "disk" else "two")
    return request.param, nodes_for_it


@contextmanager
def bounded_workers(node: TestNode) -> Iterator[None]:
    """Bound the files of all workers of a node, of those to come as well."""
    over = threading.Event()

    def bound() -> None:
        with ExitStack() as stack:
            known: set[int] = set()
            while not over.wait(POLL_SECONDS):
                for worker in set(node.workers()) - known:
                    known.add(worker)
                    stack.enter_context(suppress(ProcessLookupError))
                    stack.enter_context(bounded_files(worker, NO_BYTES))

    thread = threading.Thread(target=bound)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def no_room_for_outputs(how: str, pair: Pair) -> Iterator[None]:
    shop = pair["shop"]
    with ExitStack() as stack:
        if how == "disk":
            stack.enter_context(full(shop.folder.jobs))
        else:
            with shop.client() as client:
                until(lambda: any(w["state"] == "warm" for w in client.status()["workers"]))
            stack.enter_context(bounded_workers(shop))
        yield


@contextmanager
def no_room_for_the_node(how: str, pair: Pair) -> Iterator[None]:
    folder = pair["shop"].folder
    pid = folder.running()
    assert pid is not None
    with full(folder.root) if how == "disk" else bounded_files(pid, FEW_BYTES):
        yield
    for worker in pair["shop"].workers():
        # Those that were started meanwhile have the bound, too.
        unbounded_files(worker)


@pytest.mark.drill
def test_no_room_for_outputs_fails_the_job_with_its_code(way: tuple[str, Pair]) -> None:
    how, pair = way
    with no_room_for_outputs(how, pair):
        job = pair.submit()
        assert same_end(pair.made, job) == ("failed", "ATL-WRK-009")
        with pair["bank"].client() as bank:
            assert bank.jobs.get(job).view.party == "shop"
    check(pair.made, job, success=False)
    pair.still_works()


@pytest.mark.drill
def test_a_node_without_room_goes_on_once_there_is_some(way: tuple[str, Pair]) -> None:
    how, pair = way
    job = pair.submit(training_job("bank", "shop", trees=20))
    with pair["bank"].client() as bank:
        until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
    with no_room_for_the_node(how, pair):
        time.sleep(SHORT)
    # Outputs that came meanwhile could not be kept.
    assert same_end(pair.made, job) in (("success", ""), ("failed", "ATL-STO-004"))
    check(pair.made, job, success=False)
    pair.still_works()

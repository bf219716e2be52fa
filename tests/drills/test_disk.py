"""A full disk: under the workers' outputs, under the whole node, and of one file's size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.acts import Pair
from tests.drills.checks import check, same_end
from tests.drills.disks import bounded_files, full, may_mount, small_disk
from tests.e2e import nodes
from tests.e2e.nodes import fill, training_job, until

MIB = 1 << 20
SHORT = 3.0
needs_mounts = pytest.mark.skipif(
    not may_mount(), reason="needs the right to mount: test_a_bound_on_files covers it"
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes; the shop's folder, and in it the jobs' folder, have small disks of their own."""
    root: Path = tmp_path_factory.mktemp("disk")
    shop = root / "shop"
    shop.mkdir(mode=0o700)
    with small_disk(shop, 32 * MIB):
        made = nodes.make(root, "bank", "shop")
        made["shop"].folder.make()
        with small_disk(made["shop"].folder.jobs, 4 * MIB):
            for node in made.values():
                node.settings["jobs.peer_seconds"] = "60"
            two = Pair(made)
            try:
                two.start()
                fill(made, root)
                yield two
            finally:
                for node in made.values():
                    node.stop()


def running(two: Pair) -> str:
    job = two.submit(training_job("bank", "shop", trees=20))
    with two["bank"].client() as bank:
        until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
    return job


@pytest.mark.drill
@needs_mounts
def test_no_room_for_outputs_fails_the_job_with_its_code(small: Pair) -> None:
    with full(small["shop"].folder.jobs):
        job = small.submit()
        state, code = same_end(small.made, job)
        assert (state, code) == ("failed", "ATL-WRK-009")
        with small["bank"].client() as bank:
            assert bank.jobs.get(job).view.party == "shop"
    check(small.made, job, success=False)
    small.still_works()


@pytest.mark.drill
@needs_mounts
def test_a_node_without_room_for_its_database_goes_on_once_there_is_some(small: Pair) -> None:
    job = running(small)
    with full(small["shop"].folder.root):
        time.sleep(SHORT)
    # Outputs that came meanwhile could not be kept.
    assert same_end(small.made, job) in (("success", ""), ("failed", "ATL-STO-004"))
    check(small.made, job, success=False)
    small.still_works()


@pytest.mark.drill
def test_a_bound_on_files(two: Pair) -> None:
    """Where nobody may mount: writes beyond a size fail as they do on a full disk."""
    pid = two["shop"].folder.running()
    assert pid is not None
    job = running(two)
    with bounded_files(pid, 4096):
        time.sleep(SHORT)
    two.well(job)
    two.still_works()

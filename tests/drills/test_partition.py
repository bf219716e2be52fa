"""The line between two nodes: held for a while, for good, in one direction, and cut.

The settings are shortened: a partner is lost after 8 seconds instead of 60, a worker's peer after 3
instead of 30, so that 1.5 seconds stand for about ten.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atoll.channel.identity import export_ca, trust
from tests.drills.acts import Pair
from tests.drills.checks import PEER_LOST, check, same_end
from tests.drills.proxy import BACK, FORTH, Link, Links, links
from tests.e2e import nodes
from tests.e2e.nodes import fill, training_job, until

SHORT = 1.5


@dataclass
class Line:
    """Two nodes and what lies between them."""

    two: Pair
    links: Links
    to_shop: Link
    to_bank: Link

    def hold(self, *ways: str) -> None:
        """Hold back what goes from the bank (``forth``) or to it (``back``), or both."""
        for way in ways or (FORTH, BACK):
            other = BACK if way == FORTH else FORTH
            self.links.hold(self.to_shop, way)
            self.links.hold(self.to_bank, other)

    def started(self, **options: Any) -> str:
        """Submit a job that takes some seconds, and wait until its long step runs."""
        job = self.two.submit(training_job("bank", "shop", trees=60), **options)
        with self.two["bank"].client() as bank:
            until(lambda: bank.jobs.get(job).view.steps["boost"].state == "running")
        return job

    def attempts(self, job: str) -> int:
        """Return how often the long step was tried."""
        with self.two["bank"].client() as bank:
            return int(bank.jobs.get(job).view.steps["boost"].attempt)


@pytest.fixture(scope="module")
def line_made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    root: Path = tmp_path_factory.mktemp("line")
    made = nodes.make(root, "bank", "shop")
    with links() as between:
        to = {name: between.add(f"127.0.0.1:{node.port}") for name, node in made.items()}
        for one, other in (("bank", "shop"), ("shop", "bank")):
            ca = export_ca(made[other].folder.root)
            trust(made[one].folder.root, other, ca, to[other].address, replace=True)
        two = Pair(made)
        try:
            two.start()
            fill(made, root)
            yield Line(two, between, to["shop"], to["bank"])
        finally:
            for node in made.values():
                node.stop()


@pytest.fixture
def line(line_made: Line) -> Iterator[Line]:
    line_made.two.start()
    yield line_made
    line_made.links.release()


def test_a_short_partition_goes_unnoticed(line: Line) -> None:
    job = line.started()
    line.hold()
    time.sleep(SHORT)
    line.links.release()
    check(line.two.made, job)
    assert line.attempts(job) == 1


@pytest.mark.drill
def test_a_cut_line_is_joined_again(line: Line) -> None:
    job = line.started()
    line.links.cut()
    check(line.two.made, job)


@pytest.mark.drill
@pytest.mark.parametrize("ways", [(), (FORTH,), (BACK,)])
def test_a_partition_for_good_ends_the_job_at_both(line: Line, ways: tuple[str, ...]) -> None:
    job = line.started()
    line.hold(*ways)
    state, code = same_end(line.two.made, job, 40.0)
    assert (state, code) != ("success", "")
    line.links.release()
    check(line.two.made, job, success=False)
    line.two.still_works()


@pytest.mark.drill
def test_a_partition_during_the_agreement_is_waited_for(line: Line) -> None:
    line.hold()
    job = line.two.submit()
    time.sleep(SHORT)
    line.links.release()
    check(line.two.made, job)


@pytest.mark.drill
def test_a_lost_partner_is_named(line: Line) -> None:
    job = line.started(retries=0)
    line.hold()
    same_end(line.two.made, job, 40.0)
    with line.two["bank"].client() as bank:
        view = bank.jobs.get(job).view
    assert view.party == "shop"
    assert view.code in (PEER_LOST, "ATL-NET-001", "ATL-NET-002")
    line.links.release()
    check(line.two.made, job, success=False)

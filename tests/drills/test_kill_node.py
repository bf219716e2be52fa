"""Either node is killed at every state change of a job, and both at once."""

from __future__ import annotations

import itertools

import pytest

from atoll.flow.policy.ledger import DatabaseLedger
from tests.drills.acts import Pair
from tests.drills.checks import JOB_SECONDS, stored
from tests.e2e.nodes import training_job, until

PARTIES = ["bank", "shop"]
MOMENTS = ["before", "after"]
MOST = 80
FEW = [("bank", "after", 4), ("shop", "before", 6)]


def kill_at(two: Pair, victim: str, moment: str, count: int) -> bool:
    """Run a job in which a node dies at its commit ``count``; say whether it came to that."""
    two.die_at(victim, moment, count)
    job, died = two.submit_surely()
    died = died or two.dead_or_done(victim, job)
    two.spare(victim)
    two.start(victim)
    two.well(job)
    return died


@pytest.mark.parametrize(("victim", "moment", "count"), FEW)
def test_a_node_is_killed_in_the_middle(two: Pair, victim: str, moment: str, count: int) -> None:
    assert kill_at(two, victim, moment, count)


@pytest.mark.parametrize("victim", PARTIES)
def test_what_a_job_leaves_is_finished_by_a_node_killed_at_its_end(two: Pair, victim: str) -> None:
    two.die_at(victim, "after", "end")
    job = two.submit(training_job("bank", "shop", trees=2))
    until(lambda: two[victim].folder.running() is None, JOB_SECONDS)
    left = two[victim].folder.jobs / job / "outputs"
    assert list(left.iterdir()), "the node came further than it should"
    two.spare(victim)
    two.start(victim)
    two.well(job)
    with two[victim].client() as client:
        assert client.models.get(f"{job}.boost", 1).stage == "candidate"
    with stored(two[victim]) as database:
        assert DatabaseLedger(database, victim).open_jobs() == []


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("victim", PARTIES)
def test_a_node_is_killed_at_every_commit(two: Pair, victim: str, moment: str) -> None:
    died = 0
    for count in itertools.count(1):
        assert count < MOST
        if not kill_at(two, victim, moment, count):
            break
        died += 1
    assert died >= 10


def kill_both(two: Pair, count: int) -> None:
    """Kill the bank at a commit, the shop with it, and start the shop first."""
    two.die_at("bank", "after", count)
    job, died = two.submit_surely()
    died = died or two.dead_or_done("bank", job)
    two["shop"].kill()
    two.spare("bank")
    two.start("shop")
    two.start("bank")
    two.well(job)
    assert died


def test_both_nodes_are_killed(two: Pair) -> None:
    kill_both(two, 10)


@pytest.mark.drill
@pytest.mark.parametrize("count", [2, 4, 7, 13, 16])
def test_both_nodes_are_killed_at_some_commits(two: Pair, count: int) -> None:
    kill_both(two, count)

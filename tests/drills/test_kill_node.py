"""Either node is killed at every state change of a job, and both at once."""

from __future__ import annotations

import itertools

import pytest

from tests.drills.acts import Pair

PARTIES = ["bank", "shop"]
MOMENTS = ["before", "after"]
MOST = 80
FEW = [("bank", "after", 4), ("shop", "before", 6)]


def kill_at(two: Pair, victim: str, moment: str, count: int) -> bool:
    """Run a job in which a node dies at its commit ``count``; say whether it came to that."""
    two.die_at(victim, moment, count)
    job, died = two.submit_surely(key=f"{victim} {moment} {count}")
    died = died or two.dead_or_done(victim, job)
    two.spare(victim)
    two.start(victim)
    two.well(job)
    return died


@pytest.mark.parametrize(("victim", "moment", "count"), FEW)
def test_a_node_is_killed_in_the_middle(two: Pair, victim: str, moment: str, count: int) -> None:
    assert kill_at(two, victim, moment, count)


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

"""Five hundred histories of nodes, jobs and faults; those that once failed have names below."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.flow.world import play

SEEDS = int(os.environ.get("ATOLL_SEEDS", "500"))
GROUP = 50


@pytest.mark.parametrize("group", range(max(1, SEEDS // GROUP)))
def test_every_history_ends_well(group: int) -> None:
    ends: Counter[str] = Counter()
    for seed in range(group * GROUP, min((group + 1) * GROUP, SEEDS)):
        world = play(seed)
        for node in world.nodes.values():
            ends.update(r.end.state for r in node.records.values() if r.end is not None)
    assert ends["success"] > 0
    assert len(ends) > 2, "the histories are too tame to mean anything"

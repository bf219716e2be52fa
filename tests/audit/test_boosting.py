from __future__ import annotations

import numpy as np

from atoll.audit.boosting import measure, observe
from atoll.learning.vertical.boosting.parameters import BoostingParameters

RNG = np.random.default_rng(11)
ROWS = 150
GUEST, HOST = RNG.normal(size=(ROWS, 2)), RNG.normal(size=(ROWS, 3))
LABEL = (GUEST[:, 0] + HOST[:, 0] + HOST[:, 1] > 0).astype(np.float64)


def test_the_view_is_what_the_truth_gives() -> None:
    seen = observe(GUEST, HOST, LABEL, BoostingParameters(trees=2, bins=8, implementation="ideal"))
    assert len(seen.trees) == 2
    for tree, link in zip(seen.trees, seen.links, strict=True):
        for node in tree.nodes:
            left = seen.truth[link[node.candidates]][:, node.rows]
            assert np.array_equal(left @ tree.g[node.rows], node.g)
            assert np.array_equal(left @ tree.h[node.rows], node.h)


def test_more_trees_give_more_away_and_noise_less() -> None:
    def bits(trees: int, noise: float) -> tuple[float, float]:
        found = measure(GUEST, HOST, LABEL, trees, 10, noise, iterations=200)
        return found.bits, found.guessing

    few, many, noisy = bits(2, 0.0), bits(25, 0.0), bits(25, 4.0)
    assert few[0] < many[0]
    assert many[0] > many[1] + 0.1
    assert noisy[0] < many[0]

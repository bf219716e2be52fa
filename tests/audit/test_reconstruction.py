from __future__ import annotations

import numpy as np

from atoll.audit.reconstruction import Bools, Ints, NodeView, TreeView, attack, guessed_links

ROWS, CUTS = 60, 12


def views(trees: int, seed: int) -> tuple[list[TreeView], Bools, list[Ints]]:
    """Simulate what a guest sees of random cuts, permuted anew for each tree."""
    rng = np.random.default_rng(seed)
    found: list[TreeView] = []
    links: list[Ints] = []
    truth = rng.random((CUTS, ROWS)) < rng.uniform(0.2, 0.8, (CUTS, 1))
    margin = np.zeros(ROWS)
    for _ in range(trees):
        share = 1.0 / (1.0 + np.exp(-margin))
        g = np.rint((share - 0.5) * 4096 + rng.normal(0, 400, ROWS)).astype(np.int64)
        h = np.rint(share * (1 - share) * 4096).astype(np.int64)
        order = rng.permutation(CUTS)
        half = np.sort(rng.choice(ROWS, ROWS // 2, replace=False))
        tree = TreeView(g, h, CUTS)
        for rows in (np.arange(ROWS), half):
            left = truth[order][:, rows]
            tree.nodes.append(NodeView(rows, np.arange(CUTS), left @ g[rows], left @ h[rows]))
        found.append(tree)
        links.append(order)
        margin += rng.normal(0, 1.0, ROWS)
    return found, truth, links


def test_many_trees_give_the_columns_away() -> None:
    seen, truth, links = views(30, 1)
    success = attack(seen, truth, links, linking="known")
    assert success.bits > 0.97
    assert success.guessing < 0.85


def test_one_tree_gives_little_away() -> None:
    seen, truth, links = views(1, 2)
    success = attack(seen, truth, links, linking="known")
    assert success.bits < success.guessing + 0.1


def test_guessed_links_are_one_to_one_and_mostly_right() -> None:
    seen, truth, links = views(4, 4)
    for link in guessed_links(seen):
        assert len(np.unique(link)) == CUTS
    assert attack(seen, truth, links).linked > 2 / CUTS


def test_noise_on_the_sums_protects() -> None:
    seen, truth, links = views(30, 5)
    clear = attack(seen, truth, links, linking="known").bits
    rng = np.random.default_rng(6)
    for tree in seen:
        for at, node in enumerate(tree.nodes):
            noise = np.rint(rng.normal(0, 40_000, (2, len(node.g)))).astype(np.int64)
            tree.nodes[at] = NodeView(
                node.rows, node.candidates, node.g + noise[0], node.h + noise[1]
            )
    assert attack(seen, truth, links, linking="known").bits < clear - 0.15

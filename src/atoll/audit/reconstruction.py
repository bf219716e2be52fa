"""Reconstruction of a host's binned columns from the sums that the guest sees in boosting.

For each node the guest knows the rows in it, their g and h, and for each cut that the host sends
the sums of g and h over the rows on its left side. With x in {0, 1}^rows for "left of the cut",
each node gives two linear equations: g·x and h·x over the node's rows. Boosting changes g and h
with every tree, so the equations of many trees determine x. The bins are shuffled again for each
tree; the attack first finds out which cut of a tree is which of the first tree.

Source: the observation of SecureBoost (Cheng et al. 2021, section 7) that bin sums leak, carried
out as box-constrained least squares (FISTA: Beck and Teboulle 2009), then alternating projections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NodeView:
    """A node's rows (positions), the cuts sent (candidates of this tree) and their sums."""

    rows: Ints
    candidates: Ints
    g: Ints
    h: Ints


@dataclass
class TreeView:
    """A tree's integer g and h of all rows, int64[rows] (0 where not sampled), and its nodes.

    The root comes first; ``candidates`` is the number of candidate cuts.
    """

    g: Ints
    h: Ints
    candidates: int
    nodes: list[NodeView] = field(default_factory=list)


@dataclass(frozen=True)
class Success:
    """How well an attack did: shares of the bits of all (cut, row) pairs, between 0 and 1.

    ``guessing`` is what naming each cut's more frequent side would give; ``linked`` the share of
    candidates of later trees that were assigned to the right cut.
    """

    bits: float
    guessing: float
    linked: float


def guessed_links(trees: Sequence[TreeView], scale: float = 1.0) -> list[Ints]:
    """Return, for each tree, the cut of the first tree that each candidate is guessed to be.

    Tree by tree: solve with the links so far, predict each cut's root sums, and give each candidate
    to the cut whose prediction is nearest, closest pairs first. What an attacker can really do.
    """
    first = np.arange(_candidates(trees[0]), dtype=np.int64)
    links = [first]
    for done in range(1, len(trees)):
        estimate = solve(trees[:done], links, len(first), iterations=60)
        links.append(_nearest(trees[done], estimate, scale))
    return links


def _candidates(tree: TreeView) -> int:
    # The root's message lists all candidates, so the attacker knows how many candidates there are.
    return tree.candidates


def _nearest(tree: TreeView, estimate: Floats, scale: float) -> Ints:
    root = tree.nodes[0]
    spread = max(float(np.abs(tree.g).mean()), 1.0), max(float(np.abs(tree.h).mean()), 1.0)
    g, h = (estimate @ tree.g) / spread[0], (estimate @ tree.h) / spread[1]
    distance = (root.g[:, None] / spread[0] - g) ** 2 + (root.h[:, None] / spread[1] - h) ** 2
    link = np.full(_candidates(tree), -1, dtype=np.int64)
    taken = np.zeros(len(estimate), dtype=np.bool_)
    for pair in np.argsort(distance, axis=None, kind="stable"):
        at, cut = divmod(int(pair), len(estimate))
        if link[root.candidates[at]] < 0 and not taken[cut]:
            link[root.candidates[at]], taken[cut] = cut, True
    return link


def equations(
    trees: Sequence[TreeView], links: Sequence[Ints], cuts: int
) -> tuple[Floats, Floats, Bools]:
    """Return the equations A float64[m, rows], values float64[m, cuts] and which of them exist.

    Each row of A has unit length, so that all trees weigh alike.
    """
    left, right, known = [], [], []
    for tree, link in zip(trees, links, strict=True):
        for node in tree.nodes:
            cut = link[node.candidates]
            sure = cut >= 0
            for weights, sums in ((tree.g, node.g), (tree.h, node.h)):
                row = np.zeros(len(weights))
                row[node.rows] = weights[node.rows]
                length = float(np.linalg.norm(row))
                if length == 0.0:
                    continue
                value, there = np.zeros(cuts), np.zeros(cuts, dtype=np.bool_)
                value[cut[sure]], there[cut[sure]] = sums[sure] / length, True
                left.append(row / length)
                right.append(value)
                known.append(there)
    return np.array(left), np.array(right), np.array(known)


def solve(
    trees: Sequence[TreeView], links: Sequence[Ints], cuts: int, *, iterations: int = 400
) -> Floats:
    """Return the guess x float64[cuts, rows] in [0, 1] of which rows lie left of each cut.

    Accelerated projected gradient on the squared error, from each cut's average.
    """
    matrix, values, known = equations(trees, links, cuts)
    step = 1.0 / max(float(np.linalg.norm(matrix, 2)) ** 2, 1e-12)
    count = values[1] / np.where(known[1], max(float(matrix[1].sum()), 1e-12), 1.0)
    x = np.repeat(np.clip(count, 0.0, 1.0)[:, None], matrix.shape[1], axis=1)
    ahead, momentum = x, 1.0
    for _ in range(iterations):
        residual = np.where(known.T, ahead @ matrix.T - values.T, 0.0)
        new = np.clip(ahead - step * (residual @ matrix), 0.0, 1.0)
        grown = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        ahead = new + (momentum - 1.0) / grown * (new - x)
        x, momentum = new, grown
    return x


def refine(
    trees: Sequence[TreeView],
    links: Sequence[Ints],
    x: Floats,
    *,
    noise: float = 0.0,
    rounds: int = 40,
) -> Floats:
    """Project the guess onto the solutions of its equations and onto [0, 1] in turn.

    The equations are exact integers, so that with enough trees this finds the bits themselves,
    where gradient steps stay stuck in ill-conditioned directions. ``noise`` is the standard
    deviation that the attacker knows of, in units of g; directions that it drowns are left alone.
    """
    matrix, values, known = equations(trees, links, len(x))
    groups: dict[bytes, list[int]] = {}
    for cut in range(len(x)):
        groups.setdefault(known[:, cut].tobytes(), []).append(cut)
    found = x.copy()
    length = float(np.linalg.norm(trees[0].g))
    floor = max(1e-9, 2.0 * noise / max(length, 1e-12))
    for cuts in groups.values():
        there = known[:, cuts[0]]
        if not there.any():
            continue
        left, size, right = np.linalg.svd(matrix[there], full_matrices=False)
        keep = size > floor * (size[0] if noise == 0.0 else 1.0)
        inverse = (right[keep].T / size[keep]) @ left[:, keep].T
        target = values[there][:, cuts].T
        guess = found[cuts]
        for _ in range(rounds):
            guess = np.clip(guess + (target - guess @ matrix[there].T) @ inverse.T, 0.0, 1.0)
        found[cuts] = guess
    return found


def attack(
    trees: Sequence[TreeView],
    truth: Bools,
    true_links: Sequence[Ints],
    *,
    linking: Literal["guessed", "known"] = "guessed",
    noise: float = 0.0,
    iterations: int = 200,
) -> Success:
    """Run the attack and compare with ``truth``, bool[cuts, rows] of one host's cuts.

    ``true_links[t][candidate]`` is the cut of each candidate of tree t. With ``linking="known"``
    the attacker is given them: its best case. ``noise`` is what the hosts added, in units of g.
    Only cuts that the first tree's root revealed are counted.
    """
    cuts = len(truth)
    sent = trees[0].nodes[0].candidates
    if linking == "known":
        links: list[Ints] = list(true_links)
        names = true_links[0][sent]
    else:
        links, names = guessed_links(trees), sent
    x = refine(trees, links, solve(trees, links, cuts, iterations=iterations), noise=noise)
    actual = truth[true_links[0][sent]]
    guess = _round(x[names], actual.sum(axis=1))
    share = actual.mean(axis=1)
    return Success(
        bits=float((guess == actual).mean()),
        guessing=float(np.maximum(share, 1.0 - share).mean()),
        linked=1.0 if linking == "known" else _linked(trees, links, true_links),
    )


def _round(x: Floats, counts: Ints) -> Bools:
    # The first tree's h is the same for all rows, so the attacker knows each cut's count.
    order = np.argsort(-x, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(x.shape[1])[None, :], axis=1)
    return np.asarray(rank < counts[:, None])


def _linked(trees: Sequence[TreeView], links: Sequence[Ints], true_links: Sequence[Ints]) -> float:
    hits = []
    for tree, link, true in zip(trees[1:], links[1:], true_links[1:], strict=True):
        sent = tree.nodes[0].candidates
        found = link[sent]
        hits.append((found >= 0) & (true_links[0][np.maximum(found, 0)] == true[sent]))
    return float(np.concatenate(hits).mean()) if hits else 1.0

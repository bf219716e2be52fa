"""What a guest reads with weights at random, of cuts of one column, which contain each other.

The sets of rows between two neighbouring cuts are disjoint and small, so each is found by meeting
in the middle: all sums of a few rows of one half of the rows against those of the other half. One
sum then shows the side of more rows than its search has bits, as most rows lie on the same side of
it as of its neighbour. Sums are compared for equality alone, as points of a group can be; in place
of these stand integers of 64 bits, and steps are counted, one for each point that is made.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.audit.chosen_weights import LyingGuest, candidate_truth, play
from atoll.learning.vertical.boosting.parameters import BoostingParameters

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_SEED = 30
_TRIES = 6


@dataclass(frozen=True)
class NestedCuts:
    """What such a guest read of one column in one tree.

    ``rows`` had weights in g or h; of ``placed`` it learned between which two of the ``cuts`` they
    lie, ``wrong`` of these wrongly. ``sums`` were opened, and took ``steps`` each.
    """

    rows: int
    placed: int
    wrong: int
    cuts: int
    sums: int
    steps: int

    @property
    def rows_per_sum(self) -> float:
        """Of how many rows one sum showed the side of its cut."""
        return self.placed * self.cuts / self.sums


@dataclass
class _Search:
    """Finds which rows, of some with known weights, have a sum; ``steps`` counts what it took."""

    weights: npt.NDArray[np.uint64]
    budget: int
    steps: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(_SEED))

    def place(self, gaps: npt.NDArray[np.uint64]) -> Ints:
        """Return for each row in which gap it lies, by the gaps' sums; -1 where it is not found."""
        found = np.full(len(self.weights), -1, dtype=np.int64)
        open_gaps = list(range(len(gaps)))
        for _ in range(_TRIES):
            pool = self.rng.permutation(np.flatnonzero(found < 0))
            if not len(pool) or not open_gaps:
                break
            halves = pool[: len(pool) // 2], pool[len(pool) // 2 :]
            left, right = (self._subsets(half) for half in halves)
            order = np.argsort(left[1])
            known = left[1][order]
            self.steps += len(known)
            for gap in open_gaps.copy():
                wanted = gaps[gap] - right[1]
                self.steps += len(wanted)
                at = np.searchsorted(known, wanted)
                at[at == len(known)] = 0
                hits = np.flatnonzero(known[at] == wanted)
                if not len(hits):
                    continue
                rows = (left[0][order[at[hits[0]]]], right[0][hits[0]])
                for part in rows:
                    found[part[part >= 0]] = gap
                open_gaps.remove(gap)
        return found

    def _subsets(self, rows: Ints) -> tuple[Ints, npt.NDArray[np.uint64]]:
        """Return all sets of so many of these rows as the budget allows (-1: none), and sums."""
        most = 0
        while most < len(rows) and _ways(len(rows), most + 1) <= self.budget // 2:
            most += 1
        members = np.full((_ways(len(rows), most), max(most, 1)), -1, dtype=np.int64)
        begin = 1
        for size in range(1, most + 1):
            chosen = itertools.chain.from_iterable(itertools.combinations(rows.tolist(), size))
            block = np.fromiter(chosen, dtype=np.int64).reshape(-1, size)
            members[begin : begin + len(block), :size] = block
            begin += len(block)
        values = np.append(self.weights, np.uint64(0))
        return members, values[members].sum(axis=1, dtype=np.uint64)


def _ways(rows: int, most: int) -> int:
    return sum(math.comb(rows, size) for size in range(most + 1))


class _Random(LyingGuest):
    """Sends weights at random for some rows in g, and for others in h."""

    each = 0

    def weights(self, tree: int) -> list[Ints]:
        """Return g and h."""
        rng = np.random.default_rng(_SEED)
        whole = rng.integers(-(2**62), 2**62, size=(2, self._rows))
        order = rng.permutation(self._rows)
        self.chosen = order[: self.each], order[self.each : 2 * self.each]
        for values, rows in zip(whole, self.chosen, strict=True):
            values[np.setdiff1d(order, rows)] = 0
        self.sent = whole
        return list(whole)


def attack(column: Floats, parameters: BoostingParameters, rows: int, budget: int) -> NestedCuts:
    """Play such a guest against a host with float64[rows] of one column, and count what it reads.

    ``rows`` get weights in g and as many in h; ``budget`` is the most points that a search keeps.
    It is given which cut is which: its best case. Errors: ATL-SET-001 outside tests and simulation.
    """
    host = column[:, np.newaxis]
    liar: Any = play(host, parameters, functools.partial(_with_rows, rows))
    ((_, _, cuts, *sums),) = liar.found
    truth, orders = candidate_truth(host, parameters)
    left = truth[np.sort(orders[0][cuts])]
    ascending = np.argsort(orders[0][cuts])
    placed = wrong = steps = 0
    for values, weights, chosen in zip(sums, liar.sent, liar.chosen, strict=True):
        whole = np.concatenate(([0], values[ascending], [weights.sum()])).astype(np.uint64)
        search = _Search(weights[chosen].astype(np.uint64), budget)
        found = search.place(np.diff(whole))
        known = found >= 0
        true = (~left[:, chosen]).sum(axis=0)
        placed += int(known.sum())
        wrong += int((found[known] != true[known]).sum())
        steps += search.steps
    return NestedCuts(2 * rows, placed, wrong, len(cuts), liar.sums, steps // liar.sums)


def _with_rows(rows: int, *given: Any, **named: Any) -> _Random:
    liar = _Random(*given, **named)
    liar.each = rows
    return liar

"""Optimal binning: joins or splits initial bins by how well they separate two classes.

Works on counts of initial bins alone, int64[bins, 2] of class 0 and class 1, whoever counted them.
Neighbours are joined, the pair of the least score first, the leftmost of equals:

- ``chi_square`` (ChiMerge): the χ² statistic of the pair's counts; a pair without one class, whose
  statistic is not defined, comes first (Kerber, 1992);
- ``iv``: the information value that is lost, of shares as FATE takes them (``WoeRule``);
- ``gini``: the rise of the Gini impurity 1 − Σp², weighted by rows; FATE does not weight it.

First, if bins must be mixed, those of one class are joined until none has a neighbour to join: two
such bins if there are, then one with any neighbour. Then likewise those of too few rows. Then pairs
are joined until there are few enough. No bin is joined beyond the greatest share of rows.

``ks`` splits: the bin of most rows is cut where the Kolmogorov–Smirnov distance of its classes is
greatest among the cuts that leave enough rows on both sides, and both classes if bins must be
mixed. FATE looks at the bins in another order (halves after halves), and tries the cut of the
greatest distance alone, then the middle.

Many initial bins of few rows tie. FATE joins what its heap happens to have first, so its bins are
others than these there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.learning.features import woe
from atoll.learning.features.woe import Convention, WoeRule

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_IV = WoeRule(convention="fate")
# Shares of rows are products of doubles: 0.07 · 100 is a little more than 7.
_SLACK = 1e-9


class OptimalParameters(BaseModel):
    """How initial bins become fewer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["chi_square", "iv", "gini", "ks"] = Field(
        default="iv", description="what bins are joined by; ks: what they are split by"
    )
    most_bins: int = Field(default=10, ge=2, le=254, description="bins at most")
    least_share: float = Field(default=0.05, ge=0, le=0.5, description="least share of rows")
    most_share: float = Field(default=1.0, gt=0, le=1, description="greatest share when joined")
    mixed: bool = Field(default=True, description="whether each bin has rows of both classes")
    convention: Convention = Field(
        default="exact", description="exact, or as FATE computes it, to compare with it"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.least_share > self.most_share:
            raise ValueError("the least share of rows is above the greatest")
        if math.ceil(1 / self.most_share - _SLACK) > self.most_bins:
            raise ValueError("so few bins cannot hold all rows at such a greatest share")
        return self


@dataclass(frozen=True)
class Merged:
    """The final bins: the first initial bin of each, int64[final], and their counts [final, 2].

    ``unmixed`` and ``small`` are how many could not be given both classes, or enough rows.
    """

    starts: Ints
    counts: Ints
    unmixed: int
    small: int


def optimal(counts: Ints, parameters: OptimalParameters) -> Merged:
    """Return the final bins of int64[bins, 2] initial counts. Errors: ATL-FEA-001."""
    woe.check(counts)
    least = math.ceil(parameters.least_share * int(counts.sum()) - _SLACK)
    by = _split if parameters.method == "ks" else _join
    starts = by(counts, parameters, least)
    held = np.add.reduceat(counts, starts, axis=0)
    unmixed, small = _unmixed(held).sum(), (held.sum(axis=1) < least).sum()
    return Merged(starts, held, int(unmixed), int(small))


def _unmixed(held: Ints) -> Bools:
    found: Bools = (held == 0).any(axis=1)
    return found


def _join(counts: Ints, parameters: OptimalParameters, least: int) -> Ints:
    """Return the first initial bin of each final one."""
    bins = _Bins(counts, parameters)

    def small(held: Ints) -> Bools:
        return np.asarray(held.sum(axis=1) < least)

    for wrong in (_unmixed, small) if parameters.mixed else (small,):
        for of_pair in (np.logical_and, np.logical_or):
            while (found := wrong(bins.held)).any() and bins.join(of_pair(found[:-1], found[1:])):
                pass
    while len(bins.held) > parameters.most_bins and bins.join(np.True_):
        pass
    return bins.starts


class _Bins:
    """Bins that are joined one pair at a time."""

    def __init__(self, counts: Ints, parameters: OptimalParameters) -> None:
        self.held, self.starts = counts, np.arange(len(counts))
        self._score = _score(parameters, counts.sum(axis=0))
        self._most = math.floor(parameters.most_share * int(counts.sum()) + _SLACK)
        self._scores = self._of(counts)

    def join(self, wanted: Bools | np.bool_) -> bool:
        """Join the pair of the least score among those of bool[bins - 1]; False: there is none."""
        found = np.where(wanted, self._scores, np.inf)
        if not len(found) or np.isposinf(found[at := int(np.argmin(found))]):
            return False
        both = self.held[at : at + 1] + self.held[at + 1]
        self.held = np.concatenate([self.held[:at], both, self.held[at + 2 :]])
        self.starts = np.delete(self.starts, at + 1)
        first = max(at - 1, 0)
        new = self._of(self.held[first : at + 2])
        self._scores = np.concatenate([self._scores[:first], new, self._scores[at + 2 :]])
        return True

    def _of(self, held: Ints) -> Floats:
        """Return the scores of neighbours, infinite where they are too many rows together."""
        if len(held) < 2:
            return np.empty(0)
        left, right = held[:-1], held[1:]
        return np.where((left + right).sum(axis=1) > self._most, np.inf, self._score(left, right))


def _score(parameters: OptimalParameters, totals: Ints) -> Callable[[Ints, Ints], Floats]:
    """Return the score of pairs, float64[pairs] of two int64[pairs, 2]."""
    if parameters.method == "chi_square":
        return _chi_square
    weighted = parameters.convention == "exact"

    def of_bins(held: Ints) -> Floats:
        if parameters.method == "iv":
            return -woe.parts(held, _IV, totals)
        return _gini(held, weighted=weighted)

    return lambda left, right: of_bins(left + right) - of_bins(left) - of_bins(right)


def _chi_square(left: Ints, right: Ints) -> Floats:
    both = left + right
    defined = ~_unmixed(both)
    every = np.where(defined[:, np.newaxis], both, 1).astype(np.float64)
    share = left.sum(axis=1, keepdims=True) / every.sum(axis=1, keepdims=True)
    away = np.square(left - share * every)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (away / (share * every) + away / ((1 - share) * every)).sum(axis=1)
    # An empty bin differs from nothing.
    found = np.where((left.sum(axis=1) == 0) | (right.sum(axis=1) == 0), 0.0, found)
    return np.where(defined, found, -np.inf)


def _gini(held: Ints, *, weighted: bool) -> Floats:
    """Return 1 − Σp², times the rows if weighted; 0 for an empty bin, float64[bins]."""
    rows = np.maximum(held.sum(axis=1), 1).astype(np.float64)
    impurity = 2 * (held[:, 0] / rows) * (held[:, 1] / rows)
    return np.asarray(impurity * rows if weighted else impurity)


def _split(counts: Ints, parameters: OptimalParameters, least: int) -> Ints:
    """Return the first initial bin of each final one."""
    before = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(counts, axis=0)])
    rows = before.sum(axis=1)
    fate = parameters.convention == "fate"
    waiting, starts = [(0, len(counts))], [0]
    while waiting and len(starts) < parameters.most_bins:
        begin, end = waiting.pop(0)
        at = _cut(before[begin : end + 1] - before[begin], parameters, least)
        if at is None:
            continue
        at += begin
        starts.append(at)
        halves = [(begin, at), (at, end)]
        waiting += sorted(halves, key=lambda of: rows[of[0]] - rows[of[1]])
        if not fate:
            waiting.sort(key=lambda of: rows[of[0]] - rows[of[1]])
    if fate and len(starts) == 1 and len(counts) > 1:
        starts.append(len(counts) // 2)
    return np.array(sorted(starts), dtype=np.int64)


def _cut(before: Ints, parameters: OptimalParameters, least: int) -> int | None:
    """Return how many bins are left of the best cut; None: there is none.

    ``before`` int64[bins + 1, 2] are the rows of each class left of each bin, and all of them.
    """
    every = before[-1]
    if not every.all():
        return None
    left, right = before[1:], every - before[1:]
    allowed = (left.sum(axis=1) >= least) & (right.sum(axis=1) >= least) & (right.sum(axis=1) > 0)
    mixed = ~(_unmixed(left) | _unmixed(right))
    distance = np.abs(left / every @ np.array([1.0, -1.0]))
    if parameters.convention == "fate":
        best, middle = int(np.argmax(distance)), len(left) // 2
        at = best if distance[best] > 0 and allowed[best] else middle
        at = min(at, len(left) - 1)
        return at + 1 if allowed[at] and (mixed[at] or not parameters.mixed) else None
    if parameters.mixed:
        allowed &= mixed
    found = np.where(allowed, distance, 0.0)
    at = int(np.argmax(found))
    return at + 1 if found[at] > 0 else None

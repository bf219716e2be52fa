"""Checks of random sources with one stated rate of false alarms, and the sizes that follow from it.

A right source fails a check with a chance of at most ``ALPHA``, however many cells, bits or points
the check looks at: it shares ``ALPHA`` among them. ``binomial``, ``columns`` and ``distribution``
rest on inequalities that hold for every size (Chernoff, Dvoretzky-Kiefer-Wolfowitz with Massart's
constant); ``chi_square`` on the limit, and asks for cells that are large enough.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

ALPHA = 1e-6
# At least so many are expected in each cell of a chi-square.
CELL = 50

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class NotSo(AssertionError):
    """What was drawn does not follow the stated distribution."""


# -- sizes ----------------------------------------------------------------------------------------


def band(draws: int, alpha: float = ALPHA) -> float:
    """Return how far an empirical distribution function may lie from the true one."""
    return math.sqrt(math.log(2 / alpha) / (2 * draws))


def draws_for(difference: float, alpha: float = ALPHA) -> int:
    """Return how many draws find a distribution function, or a chance, that is off by so much.

    Missed with a chance of at most ``alpha``: twice the band must fit into the difference.
    """
    return math.ceil(2 * math.log(2 / alpha) / difference**2)


def draws_for_cells(least: float) -> int:
    """Return how many draws a chi-square needs whose least likely cell has this chance."""
    return math.ceil(CELL / least)


# -- checks ---------------------------------------------------------------------------------------


def binomial(count: int, trials: int, chance: float, alpha: float = ALPHA) -> None:
    """Refuse a count of events of this chance each. Errors: NotSo."""
    share = count / trials
    information = _entropy(share, chance) + _entropy(1 - share, 1 - chance)
    if trials * information > math.log(2 / alpha):
        raise NotSo(f"{count} of {trials} is not {chance:.6g} of them")


def columns(bits: npt.NDArray[Any], alpha: float = ALPHA) -> None:
    """Refuse bits [draws, columns] if any column is not even, or all together. Errors: NotSo."""
    draws, width = bits.shape
    for count in bits.sum(axis=0, dtype=np.int64).tolist():
        binomial(count, draws, 0.5, alpha / (2 * width))
    binomial(int(bits.sum(dtype=np.int64)), bits.size, 0.5, alpha / 2)


def chi_square(counts: npt.ArrayLike, chances: npt.ArrayLike, alpha: float = ALPHA) -> None:
    """Refuse counts that do not follow the chances, which sum to one. Errors: NotSo."""
    seen, shares = np.asarray(counts, dtype=np.float64), np.asarray(chances, dtype=np.float64)
    if not math.isclose(shares.sum(), 1.0, abs_tol=1e-9):
        raise ValueError("the chances do not sum to one")
    expected = seen.sum() * shares
    if expected.min() < CELL:
        raise ValueError(f"a cell expects {expected.min():.1f}, fewer than {CELL}")
    found = float((((seen - expected) ** 2) / expected).sum())
    chance = upper_tail(found, len(seen) - 1)
    # Both ends: counts that fit too well are not random either.
    if not alpha / 2 <= chance <= 1 - alpha / 2:
        raise NotSo(f"chi-square {found:.1f} with {len(seen) - 1} degrees: p = {chance:.3g}")


def distribution(drawn: npt.ArrayLike, points: Floats, below: Floats, alpha: float = ALPHA) -> None:
    """Refuse draws by their distribution function at ascending points (Kolmogorov-Smirnov).

    ``below[k]`` is the chance of a draw up to ``points[k]``; continuous or not. Errors: NotSo.
    """
    held = np.sort(np.asarray(drawn, dtype=np.float64))
    share = np.searchsorted(held, points, side="right") / len(held)
    found, allowed = float(np.abs(share - below).max()), band(len(held), alpha)
    if found > allowed:
        raise NotSo(f"the distribution function is off by {found:.4f}, beyond {allowed:.4f}")


def permutations(orders: Ints, alpha: float = ALPHA) -> None:
    """Refuse permutations [draws, n] if some value is too often at some place. Errors: NotSo."""
    draws, size = orders.shape
    for place in range(size):
        for count in np.bincount(orders[:, place], minlength=size).tolist():
            binomial(count, draws, 1 / size, alpha / size**2)


def unrelated(one: npt.ArrayLike, other: npt.ArrayLike, alpha: float = ALPHA) -> None:
    """Refuse two orders of many rows if the one tells of the other (Spearman). Errors: NotSo."""
    found = float(np.corrcoef(np.asarray(one), np.asarray(other))[0, 1])
    # Of independent orders nearly normal, with a deviation of 1 / sqrt(n - 1).
    allowed = NormalDist().inv_cdf(1 - alpha / 2) / math.sqrt(np.size(one) - 1)
    if abs(found) > allowed:
        raise NotSo(f"the orders are correlated: {found:.3f}, beyond {allowed:.3f}")


# -- figures --------------------------------------------------------------------------------------


def gaussian_chances(sigma: float, reach: int) -> tuple[Ints, Floats]:
    """Return the integers up to ``reach`` and their chances under a discrete Gaussian."""
    values = np.arange(-reach, reach + 1)
    weights = np.exp(-(values.astype(np.float64) ** 2) / (2.0 * sigma * sigma))
    return values, weights / weights.sum()


def upper_tail(value: float, freedom: int) -> float:
    """Return the chance that a chi-square of so many degrees is larger: Q(freedom/2, value/2).

    Source: Abramowitz and Stegun 6.5.29 (series) and 6.5.31 (continued fraction).
    """
    a, x = freedom / 2, value / 2
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        at = a
        while term > total * 1e-16:
            at += 1
            term *= x / at
            total += term
        return 1 - front * total
    return front * _fraction(a, x)


def _fraction(a: float, x: float) -> float:
    """Return 1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- …))) by Lentz's method."""
    b = x + 1 - a
    c, d = 1e300, 1 / b
    total = d
    for k in range(1, 10_000):
        step = k * (a - k)
        b += 2
        d = 1 / (step * d + b)
        c = b + step / c
        total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return total


def _entropy(share: float, chance: float) -> float:
    return share * math.log(share / chance) if share else 0.0

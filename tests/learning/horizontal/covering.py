"""Covering sets: few rows in which all pairs of choices that can stand together do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

Row = tuple[str, ...]
Pair = tuple[int, str, int, str]


def pairs(row: Row) -> set[Pair]:
    """Return the pairs of choices, with the numbers of their factors, that a row has."""
    return {
        (one, row[one], other, row[other])
        for one, other in itertools.combinations(range(len(row)), 2)
    }


def pairs_of(rows: Iterable[Row]) -> set[Pair]:
    """Return all pairs that occur in rows."""
    return set().union(*map(pairs, rows))


def covering(factors: Sequence[Sequence[str]], allowed: Callable[[Row], bool]) -> list[Row]:
    """Return allowed rows that have all pairs which any allowed row has, each chosen greedily."""
    left = [row for row in itertools.product(*factors) if allowed(row)]
    missing, chosen = pairs_of(left), list[Row]()
    while missing:
        best = max(left, key=lambda row: len(pairs(row) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen

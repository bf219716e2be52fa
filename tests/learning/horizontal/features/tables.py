"""A seeded table with the columns that go wrong: heavy tails, atoms, offsets, missing values."""

from __future__ import annotations

from typing import Any

import numpy as np

from atoll.learning.horizontal.local import ClientRows
from tests.learning.horizontal.pooled import parts

Table = np.ndarray[Any, Any]
SIZES = [500, 0, 1, 1700]
COLUMNS = ("normal", "tail", "digits", "zeros", "offset", "gaps", "same", "none", "negative")


def table(rows: int = 4000, seed: int = 0) -> Table:
    g = np.random.default_rng(seed)
    found = np.empty((rows, len(COLUMNS)))
    found[:, 0] = g.normal(size=rows)
    found[:, 1] = np.exp(4 * g.normal(size=rows))
    found[:, 2] = g.integers(0, 10, rows)
    found[:, 3] = np.where(g.random(rows) < 0.7, 0, g.gamma(2, 30, rows))
    found[:, 4] = 1e9 + g.normal(size=rows)
    found[:, 5] = np.where(g.random(rows) < 0.2, np.nan, g.normal(3, 0.1, rows))
    found[:, 6] = 0.1
    found[:, 7] = np.nan
    found[:, 8] = -np.exp(g.normal(size=rows))
    return found


def labels(values: Table, seed: int = 1) -> Table:
    g = np.random.default_rng(seed)
    score = values[:, 0] + 0.2 * values[:, 2 % values.shape[1]] + g.normal(size=len(values))
    score = np.nan_to_num(score)
    return (score > np.median(score)).astype(np.float64)


def clients(values: Table) -> list[ClientRows]:
    """Five clients of very different sizes, in order of the first column: nothing is alike."""
    order = np.argsort(values[:, 0], kind="stable")
    return parts(values[order], labels(values)[order], SIZES)

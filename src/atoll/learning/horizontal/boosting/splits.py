"""The aggregator's choice of splits from summed histograms, by XGBoost's gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, PeerError
from atoll.learning.vertical.boosting.cuts import CandidateTable, candidates
from atoll.learning.vertical.boosting.gain import Objective

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Node:
    """Sums of a node: g and h as whole numbers of the grid, and rows."""

    g: int
    h: int
    rows: int


@dataclass(frozen=True)
class Choice:
    """A node's best split, with the sums of both sides; ``column`` -1: it stays a leaf."""

    column: int
    cut: int
    missing_left: bool
    gain: float
    whole: Node
    left: Node
    right: Node


def on_grid(sums: Floats, bits: int) -> Ints:
    """Return sums in units of 2^-bits as int64, same shape.

    Errors: ATL-HOR-108 for sums between two units.
    """
    units = sums * 2.0**bits
    whole = np.rint(units)
    if not np.array_equal(units, whole) or np.abs(whole).max(initial=0) > 2.0**53:
        raise _inexact(bits)
    return whole.astype(np.int64)


def require_consistent(sums: Ints, bits: int) -> None:
    """Refuse a level's sums whose columns do not add up alike: int64[3, live, columns, width].

    Errors: ATL-HOR-101 rows that contradict each other, ATL-HOR-108 gradients that do.
    """
    whole = sums.sum(axis=3)
    differ = (whole != whole[:, :, :1]).any(axis=(1, 2))
    if differ[2] or sums[2].min(initial=0) < 0:
        raise PeerError("ATL-HOR-101", "the clients' sums of a level contradict each other")
    # Rounding by a coarser grid shows in nothing else: its multiples are multiples of ours.
    if differ[:2].any():
        raise _inexact(bits)


def _inexact(bits: int) -> DataError:
    return DataError(
        "ATL-HOR-108",
        f"the clients' sums are not exact to 2^-{bits}",
        hint="sum in the ring of 64 bits, or lower scale_bits",
    )


def best_splits(sums: Ints, value_bins: Ints, objective: Objective, leaf_rows: int) -> list[Choice]:
    """Return the best split of each live node, of equal ones the first in order of columns.

    ``sums`` int64[3, live, columns, width]: g, h, rows; ``value_bins`` int64[columns].
    """
    width = sums.shape[3]
    missing = np.asarray(sums[2, :, :, width - 1].sum(axis=0) > 0)
    table = CandidateTable.of(candidates(value_bins, missing, width))
    whole = sums[:, :, 0].sum(axis=2)
    left = np.cumsum(sums, axis=3)[:, :, table.columns, table.cuts]
    left += np.where(table.missing_left, sums[:, :, table.columns, width - 1], 0)
    return [
        _best(left[:, n], whole[:, n], table, objective, leaf_rows) for n in range(len(whole.T))
    ]


def _best(
    left: Ints, whole: Ints, table: CandidateTable, objective: Objective, leaf_rows: int
) -> Choice:
    g, h, rows = (int(value) for value in whole)
    node = Node(g, h, rows)
    nothing = Choice(-1, 0, False, 0.0, node, node, node)
    if not len(table) or not objective.splittable(h, rows, leaf_rows):
        return nothing
    gains = objective.gains(left[0], left[1], g, h)
    gains[np.minimum(left[2], rows - left[2]) < leaf_rows] = -np.inf
    best = int(np.argmax(gains))
    if gains[best] == -np.inf:
        return nothing
    column, cut, missing_left = table.meaning(best)
    on_left = Node(*(int(value) for value in left[:, best]))
    on_right = Node(g - on_left.g, h - on_left.h, rows - on_left.rows)
    return Choice(column, cut, missing_left, float(gains[best]), node, on_left, on_right)

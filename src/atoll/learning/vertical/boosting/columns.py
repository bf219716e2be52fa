"""The guest's own columns: exact integer histograms of its sums, and the cuts they offer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.learning.vertical.boosting.cuts import CandidateTable, candidates

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Totals:
    """A node's exact sums over its summed rows: g, h, rows, and rows with label 1."""

    g: int
    h: int
    rows: int
    ones: int

    def minus(self, other: Totals) -> Totals:
        """Return the difference."""
        return Totals(
            self.g - other.g, self.h - other.h, self.rows - other.rows, self.ones - other.ones
        )


@dataclass(frozen=True)
class Values:
    """What is summed, each int64[n] over the rows of a tree's sample: g, h and the label."""

    g: Ints
    h: Ints
    ones: Ints

    def total(self, rows: Rows) -> Totals:
        """Return the sums over some rows."""
        return Totals(
            int(self.g[rows].sum()),
            int(self.h[rows].sum()),
            len(rows),
            int(self.ones[rows].sum()),
        )


@dataclass(frozen=True)
class LeafRules:
    """What both sides of a split must have: rows, and rows of each class."""

    rows: int
    each_class: int

    def admits(self, left: Totals, right: Totals) -> bool:
        """Return whether both sides have enough."""
        return all(
            side.rows >= self.rows
            and side.ones >= self.each_class
            and side.rows - side.ones >= self.each_class
            for side in (left, right)
        )


class OwnColumns:
    """The guest's binned columns within one tree.

    ``codes`` is uint8[columns, n] over the tree's sample, of the sampled columns only.
    """

    def __init__(
        self, codes: Codes, value_bins: Ints, has_missing: Bools, width: int, count_ones: bool
    ) -> None:
        self.codes = codes
        self.width = width
        self.table = CandidateTable.of(candidates(value_bins, has_missing, width))
        self._weights = 4 if count_ones else 3

    def histogram(self, rows: Rows, values: Values) -> Ints:
        """Return int64[4, columns, width]: g, h, rows and ones per bin, exact below 2^53."""
        everyone = len(rows) == self.codes.shape[1]
        pick = slice(None) if everyone else rows
        g, h, ones = (v[pick].astype(np.float64) for v in (values.g, values.h, values.ones))
        whole = np.zeros((4, len(self.codes), self.width), dtype=np.int64)
        for index, column in enumerate(self.codes):
            bins = column[pick].astype(np.intp)
            whole[0, index] = np.bincount(bins, g, self.width).astype(np.int64)
            whole[1, index] = np.bincount(bins, h, self.width).astype(np.int64)
            whole[2, index] = np.bincount(bins, minlength=self.width)
            if self._weights == 4:
                whole[3, index] = np.bincount(bins, ones, self.width).astype(np.int64)
        return whole

    def offers(self, histogram: Ints, total: Totals, rules: LeafRules) -> tuple[Ints, Ints, Bools]:
        """Return (g, h) left of each candidate, and whether both sides have enough rows."""
        table = self.table
        left = np.cumsum(histogram, axis=2)[:, table.columns, table.cuts]
        left += np.where(table.missing_left, histogram[:, table.columns, self.width - 1], 0)
        rows, ones = left[2], left[3]
        least, each = rules.rows, rules.each_class
        fits = (rows >= least) & (total.rows - rows >= least)
        if each:
            zeros, all_zeros = rows - ones, total.rows - total.ones
            fits &= (ones >= each) & (total.ones - ones >= each)
            fits &= (zeros >= each) & (all_zeros - zeros >= each)
        return left[0], left[1], fits

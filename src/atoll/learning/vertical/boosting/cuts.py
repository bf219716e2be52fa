"""Which cuts a host sends of a node: the rule of k rows.

The guest learns a node's sums, and by subtraction those of its sibling. So a cut leaves only if in
both of them its left side, its right side and the gap to the last cut sent of that column are each
empty or at least k rows, and if it reveals something new in one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sent:
    """Cuts of a node that leave, bool[columns, width - 1] each.

    ``cut[j, c]`` has bins 0…c of column j on the left; ``missing_left[j, c]`` the missing rows,
    too.
    """

    cut: Bools
    missing_left: Bools


def candidates(value_bins: npt.NDArray[np.int64], has_missing: Bools, width: int) -> Sent:
    """Return every cut that columns with these numbers of value bins can have.

    A column with missing rows has one more cut, all values against the missing ones, and each of
    its cuts may also have the missing rows on the left.
    """
    at = np.arange(width - 1)[np.newaxis, :]
    inner = at < (value_bins - 1)[:, np.newaxis]
    last = (at == (value_bins - 1)[:, np.newaxis]) & has_missing[:, np.newaxis]
    return Sent(inner | last, inner & has_missing[:, np.newaxis])


def allowed(counts: Counts, parent: Sent, k: int) -> Sent:
    """Return the cuts of ``parent`` that may leave of a node, lowest bin first.

    ``counts`` is int64[m, columns, width]: rows per bin of the node (m = 1: a root) or of the node
    and the sibling that is derived from it (m = 2). Missing rows go right; where they are none or
    at least k in both, and some, cuts with the missing rows on the left are sent too, and then the
    rows right of a cut without the missing ones obey the rule as well, since both together reveal
    them apart.
    """
    width = counts.shape[2]
    values = counts[:, :, : width - 1]
    missing = counts[:, :, width - 1]
    left = np.cumsum(values, axis=2)
    present = left[:, :, -1]
    missing_left = _big(missing, k) & missing.any(axis=0) & parent.missing_left.any(axis=1)
    cut = np.zeros_like(parent.cut)
    last = np.zeros_like(missing)
    for c in range(width - 1):
        here, right = left[:, :, c], present - left[:, :, c]
        gap = here - last
        fits = parent.cut[:, c] & _big(here, k) & _big(right + missing, k) & _big(gap, k)
        fits &= here.any(axis=0) & (right + missing).any(axis=0) & gap.any(axis=0)
        fits &= _big(right, k) | ~missing_left
        cut[:, c] = fits
        last = np.where(fits, here, last)
    some_right = (present[:, :, np.newaxis] - left).any(axis=0)
    return Sent(cut, cut & parent.missing_left & missing_left[:, np.newaxis] & some_right)


def _big(rows: Counts, k: int) -> Bools:
    """Return per column whether each of int64[m, columns] is none or at least k."""
    fits: Bools = ((rows == 0) | (rows >= k)).all(axis=0)
    return fits


@dataclass(frozen=True)
class CandidateTable:
    """A tree's candidate cuts in secret order: what the guest calls candidate s is ``order[s]``.

    ``columns``, ``cuts`` and ``missing_left`` are those of a host in the order (column, cut,
    missing left), one entry each; ``order`` is a permutation of them.
    """

    columns: npt.NDArray[np.int64]
    cuts: npt.NDArray[np.int64]
    missing_left: Bools
    order: npt.NDArray[np.int64]

    @classmethod
    def of(cls, every: Sent, order: npt.NDArray[np.int64] | None = None) -> CandidateTable:
        """List the candidates; ``order`` permutes them (None: as they are)."""
        columns, cuts, missing_left = np.nonzero(np.stack([every.cut, every.missing_left], axis=2))
        if order is None:
            order = np.arange(len(columns))
        return cls(columns, cuts, missing_left.astype(np.bool_), order)

    def __len__(self) -> int:
        return len(self.columns)

    def candidates(self, sent: Sent) -> npt.NDArray[np.int64]:
        """Return the numbers of the candidates that were sent, ascending."""
        chosen = np.where(
            self.missing_left,
            sent.missing_left[self.columns, self.cuts],
            sent.cut[self.columns, self.cuts],
        )
        return np.flatnonzero(chosen[self.order])

    def meaning(self, candidate: int) -> tuple[int, int, bool]:
        """Return (column, cut, missing left) of a candidate."""
        at = int(self.order[candidate])
        return int(self.columns[at]), int(self.cuts[at]), bool(self.missing_left[at])


def count_bins(
    codes: npt.NDArray[np.uint8], rows: npt.NDArray[np.uint32], width: int
) -> npt.NDArray[np.int64]:
    """Return int64[columns, width]: rows per bin, from uint8[columns, n] codes of some rows."""
    counts = np.empty((codes.shape[0], width), dtype=np.int64)
    everyone = len(rows) == codes.shape[1]
    for index, column in enumerate(codes):
        counts[index] = np.bincount(column if everyone else column[rows], minlength=width)
    return counts


def goes_left(
    column: npt.NDArray[np.uint8], cut: int, missing_left: bool, missing: int
) -> npt.NDArray[np.bool_]:
    """Return which rows of a column of codes go left at a cut."""
    left = column <= cut
    return left | (column == missing) if missing_left else left

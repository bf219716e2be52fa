"""Quantile bins: each column of numbers as small codes, ordered like its values.

A value lies in bin c if exactly c thresholds are at most the value, so a row is in bins 0…c if and
only if its value is below threshold c. The last code of all columns means missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]
MOST_BINS = 254
_ROUNDS = 8


@dataclass(frozen=True)
class Binning:
    """The thresholds of each column, ascending, and the common number of codes.

    ``width`` is the number of value bins at most, plus one for missing; ``width - 1`` is the code
    of a missing value.
    """

    thresholds: tuple[Floats, ...]
    width: int

    @property
    def missing(self) -> int:
        """The code of a missing value."""
        return self.width - 1

    @property
    def value_bins(self) -> npt.NDArray[np.int64]:
        """The number of value bins of each column, int64[columns]."""
        return np.array([len(t) + 1 for t in self.thresholds], dtype=np.int64)

    def encode(self, features: Floats) -> Codes:
        """Return uint8[rows, columns] codes of float64[rows, columns]. Errors: ATL-BIN-001, 002."""
        _check(features, len(self.thresholds))
        codes = np.empty(features.shape, dtype=np.uint8)
        for index, thresholds in enumerate(self.thresholds):
            column = np.ascontiguousarray(features[:, index])
            code = np.searchsorted(thresholds, column, side="right").astype(np.uint8)
            code[np.isnan(column)] = self.missing
            codes[:, index] = code
        return codes


def fit(features: Floats, bins: int) -> Binning:
    """Choose at most ``bins`` value bins a column with rows spread as evenly as values allow.

    Equal values always share a bin; a value that alone fills a bin or more gets one of its own and
    the others share the rest. Errors: ATL-BIN-001 infinite values, ATL-BIN-002 another shape.
    """
    if not 2 <= bins <= MOST_BINS:
        raise UserError("ATL-BIN-002", f"the number of bins must lie between 2 and {MOST_BINS}")
    _check(features, None)
    return Binning(
        tuple(_thresholds(features[:, index], bins) for index in range(features.shape[1])), bins + 1
    )


def _check(features: Floats, columns: int | None) -> None:
    if features.ndim != 2 or features.dtype != np.float64:
        raise UserError("ATL-BIN-002", "features must be float64[rows, columns]")
    if columns is not None and features.shape[1] != columns:
        raise UserError("ATL-BIN-002", f"these bins belong to {columns} columns")
    infinite = np.isinf(features)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise DataError(
            "ATL-BIN-001",
            "a feature is infinite",
            place=f"row {row}, column number {column}",
            hint="use an empty field for missing values",
        )


def _thresholds(column: Floats, bins: int) -> Floats:
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    if len(values) < 2:
        return np.empty(0)
    starts = bin_starts(counts, bins)
    return between(values[starts - 1], values[starts])


def bin_starts(counts: npt.NDArray[np.int64], bins: int) -> npt.NDArray[np.int64]:
    """Return which of the ascending values begin a bin, but the first: int64[at most bins - 1].

    ``counts`` int64[values] are the rows of each value, at least one.
    """
    if len(counts) <= bins:
        return np.arange(1, len(counts))
    # Values heavier than a bin count as one bin, so that they do not use up the others' bins.
    weight = counts.astype(np.float64)
    step = weight.sum() / bins
    for _ in range(_ROUNDS):
        weight = np.minimum(counts, step)
        step = weight.sum() / bins
    group = np.minimum(((np.cumsum(weight) - weight / 2) / step).astype(np.int64), bins - 1)
    return np.flatnonzero(np.diff(group)) + 1


def between(low: Floats, high: Floats) -> Floats:
    """Return thresholds t with low < t <= high: the middle, where doubles have room for one."""
    # Where the difference leaves the range of doubles, the middle does not fit.
    with np.errstate(over="ignore"):
        middle = low + (high - low) / 2
    fits = (low < middle) & (middle <= high)
    return np.where(fits, middle, high)

"""Population stability index (PSI): how far the rows of two tables lie apart, from counts by bin.

PSI = sum of (a − e) · ln(a / e) over bins, where e and a are a bin's shares of the expected and of
the actual rows. That is the information value of "which table a row is of", so never below 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.learning.features import woe
from atoll.learning.features.woe import Convention, WoeRule

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FATE_ZERO = 1e-6


def parts(
    expected: Ints, actual: Ints, *, smoothing: float = 0.5, convention: Convention = "exact"
) -> Floats:
    """Return what each bin adds to the index, float64[..., bins] of two int64[..., bins].

    "exact": shares as in ``WoeRule``, (count + smoothing) / (all + smoothing · filled bins), so a
    bin that fills or empties counts by how many rows that is. "fate": count / all, and 1e-6 in
    place of a share of 0. Errors: ATL-FEA-001.
    """
    counts = np.stack([expected, actual], axis=-1)
    if convention == "exact":
        return woe.parts(counts, WoeRule(smoothing))
    woe.check(counts)
    shares = counts / np.maximum(counts.sum(axis=-2, keepdims=True), 1)
    shares = np.where(shares == 0, FATE_ZERO, shares)
    first, second = shares[..., 0], shares[..., 1]
    return np.asarray((second - first) * np.log(second / first), dtype=np.float64)


def stability_index(
    expected: Ints, actual: Ints, *, smoothing: float = 0.5, convention: Convention = "exact"
) -> Floats:
    """Return the sum of ``parts`` over bins, float64[...]. Errors: ATL-FEA-001."""
    found = parts(expected, actual, smoothing=smoothing, convention=convention)
    return np.asarray(found.sum(axis=-1), dtype=np.float64)

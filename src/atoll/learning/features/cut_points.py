"""Cut points of FATE's binning, and as thresholds of ours.

FATE's bins are closed on the right: a value equal to a point is in the bin that ends there, and
what is above the last point, in the last bin. Ours (``features.binning``) are closed on the left.
Beyond 1/error rows FATE's sketch is off by ranks that depend on the order of rows; these are not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from atoll.learning.features.binning import Binning

Floats = npt.NDArray[np.float64]


def quantile_points(column: Floats, bins: int) -> Floats:
    """Return the values of rank ceil(p·n), p = 1/bins, 2/bins, …, 1, of float64[rows].

    Missing values (NaN) do not count; equal points are one, so at most ``bins``, in order.
    p is a product in double precision, as in FATE: 3 · 0.2 · 10 has rank 7.
    """
    values = np.sort(column[~np.isnan(column)])
    if not len(values):
        return values
    shares = [step * (1.0 / bins) for step in range(1, bins)]
    ranks = [min(math.ceil(share * len(values)), len(values)) for share in shares]
    return np.unique(values[np.array([*ranks, len(values)]) - 1])


def width_points(column: Floats, bins: int) -> Floats:
    """Return least + k·(greatest − least)/bins for k = 1 … bins − 1, then the greatest value.

    Missing values (NaN) do not count; the points of a column of one value are all that value.
    """
    values = column[~np.isnan(column)]
    if not len(values):
        return values
    # Halves, as the difference of two large values may leave the range of doubles.
    low, high = values.min() / 2, values.max() / 2
    inner = low + np.arange(1, bins) * ((high - low) / bins)
    return np.append(inner, high) * 2


def thresholds(points: Floats) -> Floats:
    """Return ascending points as thresholds, of which exactly c are at most a value of bin c.

    The next double above each point but the last, so rows get FATE's bins.
    """
    found: Floats = np.unique(np.nextafter(points[:-1], np.inf))
    return found


def binning(points: list[Floats], bins: int) -> Binning:
    """Return the bins of columns that have these points, at most ``bins`` a column."""
    return Binning(tuple(thresholds(of) for of in points), bins + 1)

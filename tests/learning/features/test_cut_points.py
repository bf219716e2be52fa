"""FATE's cut points: its printed numbers, and its bins through ours."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.learning.features.cut_points import binning, quantile_points, thresholds, width_points

MOST = float(np.finfo(np.float64).max)


def test_fates_printed_quantiles() -> None:
    values = np.array([1, 1, 1, 1, 2, 3, 4, 5, 5, 10.0])
    assert quantile_points(values, 5).tolist() == [1, 4, 5, 10]
    assert quantile_points(np.append(values, np.nan), 5).tolist() == [1, 4, 5, 10]
    # 3 · 0.2 is above 0.6 in doubles, so the rank of ten values is 7.
    assert quantile_points(np.arange(10.0), 5).tolist() == [1, 3, 6, 7, 9]
    assert quantile_points(np.array([np.nan]), 5).tolist() == []


def test_fates_printed_widths() -> None:
    found = width_points(np.array([-1.726901, np.nan, 0.0, 4.094189]), 10)
    printed = [-1.144792, -0.562683, 0.019426, 0.601535, 1.183644]
    printed += [1.765753, 2.347862, 2.929971, 3.51208, 4.094189]
    assert found == pytest.approx(printed, abs=1e-6)
    assert width_points(np.array([2.0, 2.0]), 3).tolist() == [2, 2, 2]
    assert np.isfinite(width_points(np.array([-MOST, MOST]), 4)).all()


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=60), st.integers(2, 20))
def test_points_are_order_statistics_and_bins_are_closed_on_the_right(
    values: list[float], bins: int
) -> None:
    column, ordered = np.array(values), sorted(values)
    points = quantile_points(column, bins)
    shares = [*(step * (1 / bins) for step in range(1, bins)), 1.0]
    ranks = [min(math.ceil(share * len(values)), len(values)) for share in shares]
    assert set(points.tolist()) == {ordered[rank - 1] for rank in ranks}
    codes = binning([points], bins).encode(column[:, np.newaxis])[:, 0]
    expected = [int(np.argmax(value <= points)) for value in values]
    assert codes.tolist() == expected
    beyond = np.searchsorted(thresholds(points), np.inf, side="right")
    assert beyond == len(points) - 1

"""Bins: even, in order, exact at the thresholds, and honest about what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from atoll.core.errors import AtollError
from atoll.learning.features.binning import MOST_BINS, fit

VALUES = st.one_of(
    st.floats(-1e300, 1e300, allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, np.nan, 5e-324, 1.0000000000000002]),
)


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 60), st.integers(1, 3)), elements=VALUES),
    st.integers(2, MOST_BINS),
)
def test_codes_follow_the_values(
    features: np.ndarray[tuple[int, int], np.dtype[np.float64]], bins: int
) -> None:
    binning = fit(features, bins)
    codes = binning.encode(features)
    assert binning.width == bins + 1
    for index, thresholds in enumerate(binning.thresholds):
        column, code = features[:, index], codes[:, index]
        missing = np.isnan(column)
        assert (code[missing] == binning.missing).all()
        assert len(thresholds) < bins
        assert (np.diff(thresholds) > 0).all()
        for cut, threshold in enumerate(thresholds):
            np.testing.assert_array_equal(column < threshold, (code <= cut) & ~missing)
            assert 0 < (code[~missing] <= cut).sum() < (~missing).sum()
        if len(np.unique(column[~missing])) <= bins:
            assert len(np.unique(code[~missing])) == len(np.unique(column[~missing]))


def test_bins_are_even_and_heavy_values_do_not_use_them_up() -> None:
    rng = np.random.default_rng(0)
    even = fit(rng.normal(size=(10_000, 1)), 32)
    column = rng.normal(size=(10_000, 1))
    counts = np.bincount(even.encode(column)[:, 0], minlength=33)[:32]
    assert counts.min() > 200
    assert counts.max() < 450
    column[rng.random(10_000) < 0.7] = 0.0
    heavy = fit(column, 32)
    assert len(heavy.thresholds[0]) >= 29


def test_infinite_values_and_other_shapes_are_refused() -> None:
    features = np.zeros((4, 2))
    features[2, 1] = np.inf
    with pytest.raises(AtollError, match=r"ATL-BIN-001.*row 2, column number 1"):
        fit(features, 8)
    for wrong, bins in ((np.zeros(3), 8), (np.zeros((3, 2), dtype=np.float32), 8)):
        with pytest.raises(AtollError, match="ATL-BIN-002"):
            fit(wrong, bins)  # type: ignore[arg-type]
    for bins in (1, MOST_BINS + 1):
        with pytest.raises(AtollError, match="ATL-BIN-002"):
            fit(np.zeros((3, 2)), bins)
    with pytest.raises(AtollError, match="ATL-BIN-002"):
        fit(np.zeros((3, 2)), 8).encode(np.zeros((3, 1)))


def test_values_at_both_ends_of_the_doubles_are_told_apart() -> None:
    features = np.array([[-1.7e308], [1.7e308], [-1.7e308]])
    assert fit(features, 2).encode(features)[:, 0].tolist() == [0, 1, 0]

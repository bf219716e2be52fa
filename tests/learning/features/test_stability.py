"""The stability index: FATE's worked number, zero shares, and its symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import UserError
from atoll.learning.features.stability import parts, stability_index

rows = st.lists(st.integers(0, 99), min_size=4, max_size=4).map(np.array)


def test_worked_numbers() -> None:
    expected, actual = np.array([20, 80]), np.array([30, 70])
    for found in (
        parts(expected, actual, smoothing=0),
        parts(expected, actual, convention="fate"),
    ):
        assert found[0] == pytest.approx(0.0405465, abs=1e-7)
        assert found[1] == pytest.approx(0.1 * np.log(8 / 7))
    whole = stability_index(expected, actual, convention="fate")
    assert whole == pytest.approx(0.0405465 + 0.1 * np.log(8 / 7), abs=1e-7)


def test_a_bin_that_empties() -> None:
    expected, actual = np.array([5, 5]), np.array([0, 10])
    fate = parts(expected, actual, convention="fate")
    assert fate[0] == pytest.approx((1e-6 - 0.5) * np.log(1e-6 / 0.5))
    exact = parts(expected, actual)
    assert exact[0] == pytest.approx((0.5 / 11 - 0.5) * np.log(0.5 / 11 / 0.5))
    # A bin that is empty in both says nothing.
    more = stability_index(np.append(expected, 0), np.append(actual, 0))
    assert more == pytest.approx(exact.sum())


@given(rows, rows)
def test_the_index_is_symmetric_and_zero_for_the_same_shares(
    expected: np.typing.NDArray[np.int64], actual: np.typing.NDArray[np.int64]
) -> None:
    found = stability_index(expected, actual)
    assert found >= 0
    assert found == pytest.approx(stability_index(actual, expected))
    assert stability_index(expected, expected) == 0
    if expected.sum():
        same = stability_index(expected, expected * 3, convention="fate")
        assert same == pytest.approx(0, abs=1e-12)


def test_columns_stand_side_by_side() -> None:
    expected, actual = np.array([[20, 80], [5, 5]]), np.array([[30, 70], [0, 10]])
    found = stability_index(expected, actual)
    assert found.shape == (2,)
    for column in range(2):
        assert found[column] == stability_index(expected[column], actual[column])
    with pytest.raises(UserError, match="ATL-FEA-001"):
        stability_index(expected, -actual)

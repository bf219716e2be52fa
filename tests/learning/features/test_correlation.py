"""Correlation against NumPy; inflation against regressions and FATE's worked number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import DataError, UserError
from atoll.learning.features.correlation import inflation, pearson

Floats = npt.NDArray[np.float64]


def drawn(seed: int, columns: int, rows: int = 40) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, columns))


@given(st.integers(0, 1000), st.sampled_from([1e-200, 1.0, 1e200]))
def test_correlations_are_those_of_numpy(seed: int, unit: float) -> None:
    features = drawn(seed, 4)
    found = pearson(features * unit)
    assert found == pytest.approx(np.corrcoef(features, rowvar=False), abs=1e-12)
    assert np.abs(found).max() <= 1


def test_equal_values_have_no_correlation() -> None:
    features = np.column_stack([np.full(7, 0.1), np.arange(7.0), -2 * np.arange(7.0)])
    found = pearson(features)
    assert np.isnan(found[0]).all()
    assert np.isnan(found[:, 0]).all()
    assert found[1:, 1:] == pytest.approx(np.array([[1, -1], [-1, 1]]))
    assert np.isnan(pearson(np.empty((0, 2)))).all()


def test_missing_values_are_refused_by_place() -> None:
    with pytest.raises(DataError, match=r"ATL-FEA-002.*row 1, column number 0"):
        pearson(np.array([[1.0, 2.0], [np.nan, 3.0]]))


def explained(features: Floats, column: int) -> float:
    """Return R² of a regression of one column on the others."""
    others = np.column_stack([np.delete(features, column, axis=1), np.ones(len(features))])
    rest = features[:, column] - others @ np.linalg.lstsq(others, features[:, column])[0]
    return float(1 - rest.var() / features[:, column].var())


@given(st.integers(0, 1000), st.integers(2, 6))
def test_inflation_is_that_of_regressions(seed: int, columns: int) -> None:
    features = drawn(seed, columns)
    features[:, 0] += features[:, 1]
    matrix = pearson(features)
    regressed = [1 / (1 - explained(features, column)) for column in range(columns)]
    assert inflation(matrix) == pytest.approx(regressed)
    assert inflation(matrix) == pytest.approx(np.diagonal(np.linalg.inv(matrix)))
    assert inflation(matrix, "fate") == pytest.approx(regressed)


def test_columns_that_determine_each_other() -> None:
    share = np.sqrt(1 - 1 / 6.738176)
    matrix = np.array([[1, 1, share], [1, 1, share], [share, share, 1]])
    assert inflation(matrix, "fate") == pytest.approx([6.478141, 6.478141, 6.738176], abs=1e-5)
    found = inflation(matrix)
    assert np.isinf(found[:2]).all()
    assert found[2] == pytest.approx(6.738176)


def test_a_sum_of_columns_and_one_aside() -> None:
    features = drawn(7, 4)
    features[:, 2] = features[:, 0] - 3 * features[:, 1]
    found = inflation(pearson(features))
    assert np.isinf(found[:3]).all()
    apart = pearson(features[:, [0, 1, 3]])
    assert found[3] == pytest.approx(np.linalg.inv(apart)[2, 2])


def test_columns_of_equal_values_are_left_out() -> None:
    features = drawn(3, 3)
    features[:, 1] = 5
    found = inflation(pearson(features))
    assert np.isnan(found[1])
    assert found[[0, 2]] == pytest.approx(inflation(pearson(features[:, [0, 2]])))
    assert np.isnan(inflation(np.full((2, 2), np.nan))).all()
    assert inflation(np.ones((1, 1)), "fate") == [1]


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 3)), np.array([[1.0, 0.5], [0.4, 1.0]]), np.eye(2) * 2]
)
def test_what_is_no_matrix_of_correlations_is_refused(wrong: Floats) -> None:
    with pytest.raises(UserError, match="ATL-FEA-003"):
        inflation(wrong)

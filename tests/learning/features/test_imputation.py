"""Imputation against pandas and FATE's worked numbers; bounds of outliers; empty columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import DataError, UserError
from atoll.learning.features.imputation import Filling, ImputationParameters, fit, fit_column
from atoll.models.imputation import FilledColumn
from atoll.table import Table

NAN = float("nan")


def after(values: list[float], new: list[float] | None = None, **parameters: Any) -> list[float]:
    """Return new values (the same, if none are given) filled as these were fitted."""
    column = fitted(values, **parameters)
    found: list[float] = column.of(np.array(values if new is None else new)).tolist()
    return found


def fitted(values: list[float], **parameters: Any) -> FilledColumn:
    return fit_column("x", np.array(values), ImputationParameters(**parameters))


def test_fates_worked_number() -> None:
    assert after([1, 2, 1, NAN]) == [1, 2, 1, 1.3333333333333333]
    assert after([1, NAN], method="constant", constant=-5) == [1, -5]


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0, NAN]), min_size=1, max_size=30))
def test_statistics_are_those_of_pandas(values: list[float]) -> None:
    series = pd.Series(values)
    expected = {
        "mean": series.mean(),
        "median": series.median(),
        "minimum": series.min(),
        "maximum": series.max(),
        "most_frequent": next(iter(series.mode()), NAN),
        "none": NAN,
    }
    for method, value in expected.items():
        found = after(values, [NAN, 7.0], method=method)
        assert found == pytest.approx([value, 7.0], nan_ok=True)


def test_numbers_that_stand_for_missing_values() -> None:
    assert after([1, -999, 3, NAN], missing=[-999]) == [1, 2, 3, 2]
    assert after([1, 3], [-999, 0], missing=[-999], method="minimum") == [1, 0]
    # They are gone before outliers are looked for.
    assert fitted([1, 2, 3, -999], missing=[-999], bounds="quantile", lower=0).lower == 1


def test_outliers_become_the_bound_or_are_filled() -> None:
    values = [0.0, 1.0, 2.0, 3.0, 100.0]
    cut = fitted(values, bounds="value", lower=0.5, upper=4)
    assert cut.of(np.array([*values, NAN])).tolist() == [0.5, 1, 2, 3, 4, 2.1]
    gone = fitted(values, bounds="value", upper=4, outliers="fill")
    assert gone.of(np.array(values)).tolist() == [0, 1, 2, 3, 1.5]
    # Quartiles 1 and 3, fences at -2 and 6.
    fences = fitted(values, bounds="iqr", method="median")
    assert (fences.lower, fences.upper) == (-2, 6)
    share = fitted(values, bounds="quantile", lower=0.125, upper=0.75)
    assert (share.lower, share.upper) == (0.5, 3)
    wide = fitted([-1.0, 1.0], bounds="deviation", times=2)
    assert (wide.lower, wide.upper) == pytest.approx((-2 * np.sqrt(2), 2 * np.sqrt(2)))
    assert after(values, [50.0, -1.0], bounds="iqr") == [6, -1]


@given(
    st.lists(st.floats(-1e300, 1e300) | st.just(NAN), min_size=1, max_size=30),
    st.sampled_from(["iqr", "deviation", "quantile"]),
    st.sampled_from(["clip", "fill"]),
)
def test_all_is_filled_within_the_bounds(values: list[float], bounds: str, outliers: str) -> None:
    ends = {"lower": 0.1, "upper": 0.9} if bounds == "quantile" else {}
    column = fitted(values, bounds=bounds, outliers=outliers, method="median", **ends)
    found = column.of(np.array(values))
    if column.value is None:
        assert np.isnan(found).all()
        return
    assert np.isfinite(found).all()
    assert (found >= (-np.inf if column.lower is None else column.lower)).all()
    assert (found <= (np.inf if column.upper is None else column.upper)).all()


def test_columns_without_values_stay_missing_but_for_a_constant() -> None:
    for bounds in ("none", "iqr", "deviation"):
        assert np.isnan(after([NAN, NAN], bounds=bounds)).all()
    assert after([NAN], method="constant", constant=2) == [2]
    assert np.isnan(after([5.0], missing=[5])).all()


def test_infinite_values_are_refused() -> None:
    with pytest.raises(DataError, match="ATL-CMP-020"):
        after([1.0, float("inf")])
    with pytest.raises(DataError, match="ATL-CMP-020"):
        after([1.0, float("-inf")], method="none", bounds="iqr")


def test_each_column_has_its_own_filling_and_only_features_are_filled() -> None:
    table = Table.from_columns(
        pa.array(["a", "b", "c"]),
        {"x": pa.array([1, None, 3]), "z": pa.array([1.0, 1.0, None]), "y": pa.array([0, 1, 0])},
        label="y",
    )
    own = {"z": Filling(method="constant", constant=9)}
    part = fit(table, "bank", ImputationParameters(by_column=own))
    assert [(line.name, line.value) for line in part.filled] == [("x", 2), ("z", 9)]
    assert fit(table, "bank", ImputationParameters(columns=("z",))).columns == ("z",)
    for name in ("y", "id", "nothing"):
        with pytest.raises(UserError, match="ATL-TAB-002"):
            fit(table, "bank", ImputationParameters(columns=(name,)))
        with pytest.raises(UserError, match="ATL-TAB-002"):
            fit(table, "bank", ImputationParameters(by_column={name: Filling(method="none")}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "constant"},
        {"constant": 1.0},
        {"by_column": {"x": {"method": "mean", "constant": 1.0}}},
        {"bounds": "quantile"},
        {"bounds": "quantile", "upper": 80.0},
        {"bounds": "value", "lower": 2.0, "upper": 1.0},
        {"bounds": "iqr", "lower": 1.0},
        {"bounds": "iqr", "times": 0},
        {"missing": [NAN]},
        {"method": "other"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ImputationParameters(**wrong)

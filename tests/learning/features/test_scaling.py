"""Scaling against NumPy, FATE's worked numbers, and columns that are hard to scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import DataError, UserError
from atoll.learning.features.own_columns import Bounds
from atoll.learning.features.scaling import ScaleParameters, fit, fit_column
from atoll.models.scaling import scaled
from atoll.table import Table

SMALL = [1.0, 2.0, 3.0, 4.0, 10.0]
NAN = float("nan")


def after(values: list[float], new: list[float] | None = None, **parameters: Any) -> list[float]:
    """Return new values (the same, if none are given) scaled as these were fitted."""
    column = fit_column("x", np.array(values), ScaleParameters(**parameters))
    found: list[float] = scaled(column, np.array(values if new is None else new)).tolist()
    return found


def test_fates_worked_numbers() -> None:
    known = [-0.9486833, -0.63245553, -0.31622777, 0.0, 1.8973666]
    for convention in ("exact", "fate"):
        assert after(SMALL, convention=convention) == pytest.approx(known, abs=1e-8)
        ninths = [0.0, 1 / 9, 2 / 9, 3 / 9, 1.0]
        assert after(SMALL, method="min-max", convention=convention) == pytest.approx(ninths)
        bounded = after(SMALL, method="min-max", upper=3.0, convention=convention)
        assert bounded == [0.0, 0.5, 1.0, 1.0, 1.0]
    capped = ScaleParameters(
        method="min-max", bounds="quantile", lower=0.2, upper=0.8, convention="fate"
    )
    found = fit_column("x", np.array(SMALL), capped)
    assert (found.lower, found.upper) == (2.0, 4.0)


def test_what_is_sound_and_what_is_fates() -> None:
    # New rows keep their distance; FATE cuts them to what was seen, in standard too.
    assert after(SMALL, [19.0], method="min-max") == [2.0]
    assert after(SMALL, [19.0], method="min-max", convention="fate") == [1.0]
    seen = after(SMALL, [10.0], convention="fate")
    assert after(SMALL, [1e6], convention="fate") == seen
    # A column of small numbers is a column like any other; FATE takes it for constant.
    tiny = [value * 1e-6 for value in SMALL]
    assert after(tiny) == pytest.approx(after(SMALL))
    assert max(np.abs(after(tiny, convention="fate"))) < 1e-5
    # Quantiles lie between values; FATE's are values.
    cut = ScaleParameters(bounds="quantile", lower=0.2, upper=0.8)
    found = fit_column("x", np.array(SMALL), cut)
    assert (found.lower, found.upper) == pytest.approx((1.8, 5.2))


def test_missing_constant_and_empty_columns() -> None:
    assert after([5.0, NAN, 5.0]) == pytest.approx([0.0, NAN, 0.0], nan_ok=True)
    assert after([0.1] * 7) == [0.0] * 7
    assert after([5.0, 5.0], [6.0], method="min-max") == [1.0]
    assert after([NAN, NAN], [1.5]) == [1.5]
    found = after([1.0, NAN, 3.0])
    assert np.isnan(found[1])
    assert [found[0], found[2]] == [-1.0, 1.0]


def test_mean_and_deviation_are_left_out_where_they_are_not_wanted() -> None:
    assert after(SMALL, with_std=False) == [value - 4.0 for value in SMALL]
    assert after(SMALL, with_mean=False) == pytest.approx(list(np.array(SMALL) / np.sqrt(10)))
    assert after(SMALL, with_mean=False, with_std=False) == SMALL


@given(
    st.lists(st.floats(-1e150, 1e150), min_size=2, max_size=50),
    st.sampled_from([1.0, 1e150, 1e-150]),
)
def test_scaled_values_have_mean_nought_and_deviation_one(values: list[float], unit: float) -> None:
    column = np.array(values) * unit
    found = np.array(after(column.tolist()))
    assert np.isfinite(found).all()
    if np.ptp(column) > 1e-9 * np.abs(column).max() > 1e-290:
        assert abs(found.mean()) < 1e-6
        assert found.std() == pytest.approx(1.0, rel=1e-6)
    ranged = np.array(after(column.tolist(), method="min-max"))
    assert ranged.min() == 0.0
    assert ranged.max() == (1.0 if np.ptp(column) else 0.0)


def test_values_too_far_apart_are_refused_by_name() -> None:
    far = [-1.7e308, 1.7e308]
    with pytest.raises(DataError, match=r"ATL-CMP-070.*'x'"):
        after(far, method="min-max")
    with pytest.raises(DataError, match="ATL-CMP-070"):
        after([1.7e308, 1.6e308])
    assert after(far, method="min-max", lower=-1.0, upper=1.0) == [0.0, 1.0]
    with pytest.raises(DataError, match=r"ATL-CMP-071.*'x'") as caught:
        after([0.0, 1e-300], [1e300], method="min-max")
    assert "1e300" not in str(caught.value)


def test_each_column_has_its_own_bounds_and_only_features_are_scaled() -> None:
    table = Table.from_columns(
        pa.array(["a", "b", "c"]),
        {"x": pa.array([1, 2, 30]), "z": pa.array([1.0, 2.0, 3.0]), "y": pa.array([0, 1, 0])},
        label="y",
    )
    own = {"z": Bounds(lower=2.0)}
    chosen = ScaleParameters(method="min-max", upper=2.0, by_column=own, columns=("z", "x"))
    part = fit(table, "bank", chosen)
    assert part.columns == ("x", "z")
    assert [(line.lower, line.upper) for line in part.scaled] == [(None, 2.0), (2.0, None)]
    assert [(line.offset, line.divisor) for line in part.scaled] == [(1.0, 1.0), (2.0, 1.0)]
    for name in ("y", "id", "nothing"):
        with pytest.raises(UserError, match="ATL-TAB-002"):
            fit(table, "bank", ScaleParameters(columns=(name,)))
        with pytest.raises(UserError, match="ATL-TAB-002"):
            fit(table, "bank", ScaleParameters(by_column={name: Bounds(lower=0.0)}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"lower": 2.0, "upper": 1.0},
        {"by_column": {"x": {"lower": 2.0, "upper": 1.0}}},
        {"bounds": "quantile", "upper": 80.0},
        {"bounds": "quantile", "by_column": {"x": {"lower": -0.1}}},
        {"lower": NAN},
        {"method": "other"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ScaleParameters(**wrong)

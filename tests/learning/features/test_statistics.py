from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atoll.core.errors import AtollError
from atoll.learning.features.statistics import (
    StatisticsParameters,
    describe_column,
    describe_table,
)
from atoll.table import Table

DEFAULT = StatisticsParameters()
Floats = npt.NDArray[np.float64]


def column(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


finite = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(finite | st.none(), min_size=1, max_size=60), st.booleans())
def test_figures_agree_with_pandas(values: list[float | None], unbiased: bool) -> None:
    data = np.array([np.nan if value is None else value for value in values])
    series = pd.Series(data)
    found = describe_column(data, StatisticsParameters(unbiased=unbiased))
    assert found.count == series.count()
    assert found.missing == series.isna().sum()
    assert found.distinct == series.nunique()
    if not found.count:
        assert found.mean is None
        return
    size = float(series.abs().max())
    assert found.minimum == series.min()
    assert found.maximum == series.max()
    assert found.median == pytest.approx(series.median(), rel=1e-12, abs=1e-12 * size)
    assert found.mean == pytest.approx(series.mean(), rel=1e-9, abs=1e-12 * size)
    for share in DEFAULT.quantiles:
        expected = series.quantile(share)
        assert found.quantiles[f"{share:g}"] == pytest.approx(expected, abs=1e-12 * size)
    # pandas squares the values as they are, so those of tiny numbers vanish there.
    unit = series / size if size > 0 else series
    if found.count > 1:
        assert found.std == pytest.approx(size * unit.std(), rel=1e-7, abs=1e-12 * size)
    spread = 0.0 if found.constant else float(unit.std())
    if unbiased and found.count > 3 and spread > 1e-3:
        assert found.skewness == pytest.approx(unit.skew(), rel=1e-6, abs=1e-6)
        assert found.kurtosis == pytest.approx(unit.kurt(), rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=40), st.integers(-6, 6))
def test_a_shift_moves_the_place_and_keeps_the_shape(values: list[int], power: int) -> None:
    data = np.array(values, dtype=np.float64)
    one = describe_column(data, DEFAULT)
    other = describe_column(data * 4.0**power + 2.0**20, DEFAULT)
    assert other.constant == one.constant
    assert other.distinct == one.distinct
    if one.constant or one.std is None:
        return
    assert other.std == pytest.approx(one.std * 4.0**power, rel=1e-6)
    assert other.skewness == pytest.approx(one.skewness, rel=1e-5, abs=1e-6)


def test_a_normal_column_has_the_shape_of_one() -> None:
    data = np.random.default_rng(1).normal(3, 2, 200_000)
    found = describe_column(data, StatisticsParameters(ddof=0))
    assert found.mean == pytest.approx(3, abs=0.02)
    assert found.std == pytest.approx(2, abs=0.02)
    assert found.skewness == pytest.approx(0, abs=0.03)
    assert found.kurtosis == pytest.approx(0, abs=0.06)
    assert found.distinct == 1000
    assert found.distinct_limited


@pytest.mark.parametrize(
    "values",
    [
        column(1e308, -1e308, 1e308),
        column(1.7e308, 1.7e308, -1.7e308),
        column(5e-324, 0.0, 1e-323),
        column(1e-200, 2e-200, 4e-200),
        column(1e200, 2e200, 4e200),
        column(np.nan),
        column(7.0),
        column(-0.0, 0.0),
        np.full(5, 0.1),
        np.full(7, 1e300),
        column(1.0, np.nextafter(1.0, 2.0)),
        column(1e16, 1e16 + 2),
        np.empty(0),
    ],
    ids=str,
)
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("ddof", [0, 1])
def test_degenerate_columns_give_finite_figures_or_none(
    values: Floats, unbiased: bool, ddof: int
) -> None:
    found = describe_column(values, StatisticsParameters(unbiased=unbiased, ddof=ddof))
    json.dumps(found.to_dict(), allow_nan=False)
    if found.mean is not None and found.minimum is not None and found.maximum is not None:
        assert found.minimum <= found.mean <= found.maximum


def test_scaling_keeps_the_digits_of_large_and_small_columns() -> None:
    plain = describe_column(column(1.0, 2.0, 4.0), DEFAULT)
    for scale in (1e200, 1e-200):
        found = describe_column(column(1.0, 2.0, 4.0) * scale, DEFAULT)
        assert found.std == pytest.approx((plain.std or 0) * scale)
        assert found.skewness == pytest.approx(plain.skewness)


def test_constant_columns_have_no_shape() -> None:
    found = describe_column(np.full(9, 0.1), DEFAULT)
    assert found.constant
    assert (found.mean, found.std, found.skewness, found.kurtosis) == (0.1, 0.0, None, None)
    assert describe_column(column(3.0), DEFAULT).std is None


def test_infinite_values_are_refused_without_saying_them() -> None:
    with pytest.raises(AtollError) as caught:
        describe_column(column(1.0, np.inf), DEFAULT)
    assert caught.value.code == "ATL-CMP-020"


def table(**columns: Any) -> Table:
    rows = len(next(iter(columns.values())))
    ids = pa.array([f"r{at}" for at in range(rows)])
    made = {name: pa.array(values) for name, values in columns.items()}
    return Table.from_columns(ids, made, label="y" if "y" in columns else None)


def test_tables_of_many_partitions_and_types_are_described() -> None:
    whole = table(a=[1, 2, None, 4], b=[1.5, None, None, 2.5], y=[0, 1, 0, 1]).repartition(3)
    found = describe_table(whole, DEFAULT)
    assert list(found) == ["a", "b"]
    assert (found["a"].count, found["a"].missing, found["b"].missing) == (3, 1, 2)
    assert found["a"].mean == pytest.approx(7 / 3)
    assert list(describe_table(whole, StatisticsParameters(label=True))) == ["a", "b", "y"]
    assert list(describe_table(whole, StatisticsParameters(columns=("b",)))) == ["b"]
    assert describe_table(table(y=[0, 1]), DEFAULT) == {}


@pytest.mark.parametrize(("name", "code"), [("c", "ATL-TAB-002"), ("id", "ATL-CMP-021")])
def test_unknown_columns_and_ids_are_refused(name: str, code: str) -> None:
    with pytest.raises(AtollError) as caught:
        describe_table(table(a=[1, 2]), StatisticsParameters(columns=(name,)))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "wrong",
    [{"quantiles": [1.5]}, {"quantiles": [float("nan")]}, {"ddof": 2}, {"distinct_limit": 0}],
)
def test_parameters_are_bounded(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StatisticsParameters.model_validate(wrong)

"""Statistics, scaling and imputation by sums equal those of the pooled rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from atoll.core.errors import AtollError
from atoll.learning.features.statistics import StatisticsParameters, describe_column
from atoll.learning.horizontal.features import (
    Imputation,
    Moments,
    MostFrequent,
    Sketch,
    by_constant,
    by_mean,
    by_median,
    scaling,
)
from atoll.models.scaling import scaled
from tests.learning.horizontal.features.tables import COLUMNS, clients, table
from tests.learning.horizontal.pooled import RingClients, clients_of, failing_from, outcome


def _close(found: np.ndarray, expected: np.ndarray, values: np.ndarray, order: int) -> None:
    """Equal to the rounding of doubles at the size of the values."""
    with np.errstate(all="ignore"):
        eps = np.abs(np.nan_to_num(values)).max(axis=0) / np.nan_to_num(values.std(axis=0), nan=1)
    tolerance = 1e-10 + 1e-14 * np.nan_to_num(eps, nan=0, posinf=0) * order
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    at = ~np.isnan(expected)
    off = np.abs(found[at] - expected[at])
    assert (off <= tolerance[at] * np.maximum(np.abs(expected[at]), 1)).all()


def test_statistics_equal_the_pooled_computation() -> None:
    values = table()
    step = Moments()
    found = step.result(outcome(step, clients(values)))
    pooled = [describe_column(c, StatisticsParameters(ddof=0)) for c in values.T]
    assert found.count.tolist() == [line.count for line in pooled]
    assert found.missing.tolist() == [line.missing for line in pooled]
    for name, order in (("mean", 1), ("skewness", 3), ("kurtosis", 4)):
        expected = np.array([getattr(line, name) for line in pooled], dtype=float)
        _close(getattr(found, name), expected, values, order)
    expected = np.array([line.std for line in pooled], dtype=float)
    _close(found.deviation, expected, values, 2)
    _close(found.spread(1), pd.DataFrame(values).std().to_numpy(), values, 2)
    for index, line in enumerate(pooled):
        if line.minimum is not None and line.maximum is not None:
            assert found.low[index] <= line.minimum <= line.maximum <= found.high[index]


def test_statistics_pass_a_ring_within_its_grid() -> None:
    values = table()
    data, step = clients(values), Moments()
    plain = step.result(outcome(step, data))
    ringed = step.result(outcome(step, data, clients=RingClients(clients_of(step, data), 8000)))
    assert np.array_equal(plain.count, ringed.count)
    # 2^62 / (5 clients · 8000) = 2^46 units of the half range, at most 1e9 · 2^-17 here.
    assert np.nanmax(np.abs(plain.mean - ringed.mean)) < 1e-6
    relative = np.abs(plain.deviation - ringed.deviation) / np.maximum(plain.deviation, 1e-9)
    assert np.nanmax(relative[[0, 1, 2, 3, 5, 8]]) < 1e-6


def test_the_statistics_are_those_of_the_clients_of_the_last_round() -> None:
    values = table()
    data, step = clients(values), Moments()
    broken, count = failing_from(step, data, 3, 4)
    found = step.result(outcome(step, data, clients=broken, callbacks=(count,)))
    rest = np.concatenate([part.rows for i, part in enumerate(data) if i != 3])
    assert np.array_equal(found.count, (~np.isnan(rest)).sum(axis=0))
    _close(found.mean, pd.DataFrame(rest).mean().to_numpy(), rest, 1)
    _close(found.deviation, pd.DataFrame(rest).std(ddof=0).to_numpy(), rest, 2)


def test_public_bounds_spare_the_search() -> None:
    values = table()[:, :1]
    step = Moments()
    state = step.begin(1, np.array([-10.0]), np.array([10.0]))
    state = outcome(step, clients(values), state=state)
    assert state.round == 2
    assert step.result(state).mean == pytest.approx(values.mean(), abs=1e-13)


@pytest.mark.parametrize(
    ("method", "theirs", "error"),
    [("standard", StandardScaler(), 1e-6), ("min-max", MinMaxScaler(), 1e-4)],
)
def test_scaled_columns_equal_those_of_scikit_learn(
    method: Literal["standard", "min-max"], theirs: StandardScaler, error: float
) -> None:
    values = table()[:, [0, 1, 2, 3, 5, 8]]
    step = Moments()
    names = tuple("abcdef")
    part = scaling("bank", names, step.result(outcome(step, clients(values))), method)
    assert part.columns == names
    ours = np.stack([scaled(c, values[:, i]) for i, c in enumerate(part.scaled)], axis=1)
    expected = theirs.fit_transform(values)
    assert np.nanmax(np.abs(ours - expected)) < error
    assert np.array_equal(np.isnan(ours), np.isnan(expected))


def test_columns_without_spread_or_values_are_only_moved() -> None:
    step = Moments()
    described = step.result(outcome(step, clients(table()[:, [6, 7]])))
    for method in ("standard", "min-max"):
        part = scaling("bank", ("same", "none"), described, method)
        assert all(np.isfinite([c.offset, c.divisor]).all() for c in part.scaled)
    assert scaling("bank", ("same", "none"), described).scaled[0].divisor == 1


def test_missing_values_are_replaced_as_scikit_learn_does() -> None:
    values = np.delete(table(), COLUMNS.index("none"), axis=1)
    values[::7] = np.nan
    values[1::3, 0] = 0.25
    data = clients(np.nan_to_num(values, nan=-1.5))
    for part in data:
        part.rows[part.rows == -1.5] = np.nan
    rows = np.concatenate([part.rows for part in data])
    moments, sketch, frequent = Moments(), Sketch(cells=4096, tolerance=0), MostFrequent()
    cells = sketch.result(outcome(sketch, data))
    found: dict[str, tuple[Imputation, float]] = {
        "mean": (by_mean(moments.result(outcome(moments, data))), 1e-9),
        "median": (by_median(cells), 0),
    }
    for name, (by, error) in found.items():
        expected = SimpleImputer(strategy=name).fit(rows).statistics_
        allowed = cells.quantile(np.array([0.5]))[1][:, 0] if name == "median" else 0
        assert (np.abs(by.values - expected) <= error * np.abs(expected) + allowed).all()
        assert not np.isnan(by.apply(rows)).any()
    # Only where a value repeats is there a most frequent one.
    at = [0, 2, 3, 6]
    ours = frequent.result(outcome(frequent, data)).values[at]
    theirs = SimpleImputer(strategy="most_frequent").fit(rows).statistics_[at]
    assert np.array_equal(ours, theirs)
    assert (by_constant(8, 7).apply(rows)[np.isnan(rows)] == 7).all()


def test_too_early_and_other_columns_are_refused() -> None:
    step = Moments()
    with pytest.raises(AtollError, match="ATL-HOR-102"):
        step.result(step.begin(2))
    with pytest.raises(AtollError, match="ATL-BIN-002"):
        by_constant(2, 1).apply(np.zeros((3, 3)))

"""Histograms that are refined find quantiles, bins and extremes of the pooled rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.learning.features import binning
from atoll.learning.horizontal.features import Cells, Sketch
from atoll.learning.horizontal.features.ordered import (
    TOP,
    at_ends,
    doubles,
    equal_mass,
    initial_edges,
    keys,
)
from atoll.learning.horizontal.local import ClientRows
from tests.learning.horizontal.features.tables import COLUMNS, clients, table
from tests.learning.horizontal.pooled import RingClients, clients_of, failing_from, outcome, parts

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=30))
def test_keys_keep_the_order_and_come_back(values: list[float]) -> None:
    found = keys(np.array(values))
    assert np.array_equal(doubles(found), np.array(values))
    assert np.array_equal(np.argsort(found, kind="stable"), np.argsort(values, kind="stable"))
    assert np.abs(found).max() < TOP


@given(st.integers(16, 200), st.lists(st.integers(0, 50), min_size=2, max_size=200), st.data())
@settings(max_examples=60, deadline=None)
def test_refined_edges_ascend_and_enclose_what_was_counted(
    count: int, held: list[int], data: st.DataObject
) -> None:
    edges = initial_edges(count)
    assert len(edges) == count
    assert (edges[1:] > edges[:-1]).all()
    counts = np.resize(np.array(held, dtype=float), count + 1)
    refine = data.draw(st.sampled_from([equal_mass, at_ends]))
    after = refine(edges, counts)
    assert len(after) == count
    assert (after[1:] >= after[:-1]).all()
    assert np.isfinite(after).all()
    filled = np.flatnonzero(counts)
    if len(filled):
        whole = np.concatenate([[-np.finfo(float).max], edges, [np.finfo(float).max]])
        assert after[0] <= whole[filled[0]]
        assert after[-1] >= whole[filled[-1] + 1]


def _pooled_cells(values: np.ndarray, found: Cells) -> np.ndarray:
    counted = []
    for column, bounds in zip(values.T, found.bounds, strict=True):
        cell = np.searchsorted(bounds[1:-1], column[~np.isnan(column)], side="right")
        counted.append(np.bincount(cell, minlength=found.counts.shape[1]))
    return np.stack(counted)


def test_counts_and_missing_values_are_those_of_the_pooled_rows() -> None:
    values = table()
    step = Sketch()
    found = step.result(outcome(step, clients(values)))
    assert np.array_equal(found.counts, _pooled_cells(values, found))
    assert np.array_equal(found.missing, np.isnan(values).sum(axis=0))


def test_quantiles_are_within_their_stated_error() -> None:
    values, shares = table(), np.array([0, 0.01, 0.25, 0.5, 0.9, 0.999, 1])
    step = Sketch(cells=2048)
    estimate, error = step.result(outcome(step, clients(values))).quantile(shares)
    for index, name in enumerate(COLUMNS):
        column = values[~np.isnan(values[:, index]), index]
        if not len(column):
            assert np.isnan(estimate[index]).all()
            continue
        exact = np.quantile(column, shares)
        assert (np.abs(estimate[index] - exact) <= error[index] + 1e-9 * np.abs(exact)).all(), name
        inner = np.subtract(*np.quantile(column, [0.95, 0.05])) or 1
        assert (error[index][2:5] < 0.02 * inner).all(), name


@pytest.mark.parametrize("bins", [2, 8, 32, 254])
def test_bins_hold_as_many_rows_as_those_of_the_pooled_rows(bins: int) -> None:
    values = table()
    step = Sketch()
    found = step.result(outcome(step, clients(values))).binning(bins)
    pooled = binning.fit(values, bins)
    ours, theirs = found.encode(values), pooled.encode(values)
    for index, name in enumerate(COLUMNS):
        if name in {"digits", "same", "none"}:
            assert np.array_equal(ours[:, index], theirs[:, index]), name
        # Elsewhere by at most a cell's rows on either side.
        far = np.array([np.bincount(c[:, index], minlength=bins + 1) for c in (ours, theirs)])
        assert np.abs(np.cumsum(far[0]) - np.cumsum(far[1])).max() <= 0.02 * len(values) + 2, name


def test_the_ends_are_found_to_the_last_bit() -> None:
    values = table()
    step = Sketch(focus="ends", rounds=10, resolution=0)
    found = step.result(outcome(step, clients(values)))
    for index in range(len(COLUMNS)):
        column = values[~np.isnan(values[:, index]), index]
        for bracket, exact in ((found.least, column.min), (found.greatest, column.max)):
            if len(column):
                low, high = bracket[0][index], bracket[1][index]
                assert low <= exact() <= high
                assert high <= np.nextafter(exact(), np.inf)


def test_public_bounds_begin_the_search() -> None:
    values = np.random.default_rng(3).uniform(2, 5, (900, 1))
    step = Sketch(cells=16, rounds=1)
    data = parts(values, np.zeros(900), [300, 300])
    state = step.begin(1, np.array([2.0]), np.array([5.0]))
    found = step.result(outcome(step, data, state=state))
    assert np.allclose(found.bounds[0, 1:-1], np.linspace(2, 5, 15))
    assert np.array_equal(found.counts, _pooled_cells(values, found))


def test_a_client_that_fails_takes_its_rows_out_of_the_result() -> None:
    values = table()
    data, step = clients(values), Sketch()
    broken, count = failing_from(step, data, 0, 1)
    state = outcome(step, data, clients=broken, callbacks=(count,))
    found = step.result(state)
    rest = np.concatenate([part.rows for part in data[1:]])
    assert np.array_equal(found.counts, _pooled_cells(rest, found))


def test_a_sketch_resumes_and_passes_a_ring_to_the_same_bits() -> None:
    values = table()
    data, step = clients(values), Sketch(rounds=5, tolerance=0)
    whole = outcome(step, data)
    half = outcome(Sketch(rounds=2, tolerance=0), data)
    resumed = outcome(step, data, state=half)
    ringed = outcome(step, data, clients=RingClients(clients_of(step, data), 4000))
    backwards = outcome(step, data[::-1], clients=clients_of(step, data[::-1], threads=3))
    for other in (resumed, ringed, backwards):
        assert other.round == whole.round
        assert all(np.array_equal(other.vectors[n], whole.vectors[n]) for n in whole.vectors)


def test_what_does_not_fit_is_refused() -> None:
    step = Sketch(cells=16)
    with pytest.raises(AtollError, match="ATL-HOR-102"):
        step.result(step.begin(2))
    with pytest.raises(AtollError, match="ATL-HOR-105"):
        Sketch(cells=1 << 16).begin(1 << 16)
    data = [
        ClientRows(np.full((3, 1), np.inf), np.zeros(3)),
        ClientRows(np.ones((3, 1)), np.zeros(3)),
    ]
    clients = clients_of(step, data)
    both = np.arange(2)
    assert clients.ask(0, step.message(step.begin(1)), both).failures == {0: "ATL-BIN-001"}
    assert set(clients.ask(0, step.message(step.begin(2)), both).failures.values()) == {
        "ATL-BIN-001",
        "ATL-HOR-100",
    }
    falling = {"edges": np.arange(15.0)[::-1]}
    assert clients.ask(0, falling, both).failures[1] == "ATL-HOR-100"

"""Weight of evidence and information value by sums are those of the pooled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from atoll.core.errors import AtollError
from atoll.learning.features import binning
from atoll.learning.horizontal.features import BinCounts, MostFrequent
from atoll.learning.horizontal.features.counted import from_vector, to_vector
from atoll.learning.horizontal.local import ClientRows
from tests.learning.horizontal.features.tables import clients, table
from tests.learning.horizontal.pooled import RingClients, clients_of, failing_from, outcome


def _pooled(data: list[ClientRows]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.concatenate([part.rows for part in data])
    return rows, np.concatenate([part.targets for part in data])


@pytest.mark.parametrize("method", ["quantile", "width"])
@pytest.mark.parametrize("smoothing", [0.5, 1.0])
def test_evidence_equals_that_of_the_pooled_rows(method: str, smoothing: float) -> None:
    data = clients(table())
    step = BinCounts(method=method, bins=8)  # type: ignore[arg-type]
    found = step.result(outcome(step, data))
    rows, label = _pooled(data)
    codes = found.binning.encode(rows)
    for index in range(rows.shape[1]):
        counts = pd.crosstab(codes[:, index], label).reindex(columns=[0, 1], fill_value=0)
        assert np.array_equal(found.counts[index, counts.index], counts.to_numpy())
        assert found.counts[index].sum() == len(rows)
        raised = counts + smoothing
        shares = raised / raised.sum()
        woe = np.log(shares[1] / shares[0])
        assert np.allclose(found.woe(smoothing)[index, counts.index], woe, rtol=0, atol=1e-12)
        iv = ((shares[1] - shares[0]) * woe).sum()
        assert found.iv(smoothing)[index] == pytest.approx(iv, abs=1e-12)
        assert found.iv(smoothing)[index] >= 0
        applied = found.apply(rows, smoothing)[:, index]
        assert np.allclose(applied, woe.loc[codes[:, index]], rtol=0, atol=1e-12)


def test_bins_of_equal_width_lie_between_the_ends() -> None:
    values = np.random.default_rng(0).uniform(10, 20, (3000, 1))
    data = clients(np.repeat(values, 3, axis=1))
    step = BinCounts(method="width", bins=5)
    thresholds = step.result(outcome(step, data)).binning.thresholds[0]
    expected = np.linspace(values.min(), values.max(), 6)[1:-1]
    assert np.allclose(thresholds, expected, atol=1e-4)


def test_given_bins_take_one_round_and_a_ring_gives_the_same_counts() -> None:
    data = clients(table())
    given = binning.fit(_pooled(data)[0], 12)
    step = BinCounts(bins=12)
    states = [
        outcome(step, data, state=step.begin_with(given), clients=by)
        for by in (None, RingClients(clients_of(step, data), 4000))
    ]
    assert [state.round for state in states] == [1, 1]
    plain, ringed = (step.result(state).counts for state in states)
    assert np.array_equal(plain, ringed)
    for one, two in zip(step.result(states[0]).binning.thresholds, given.thresholds, strict=True):
        assert np.array_equal(one, two)


def test_a_class_without_rows_stays_finite_only_with_smoothing() -> None:
    rows = np.repeat(np.arange(4.0), 50)[:, np.newaxis]
    data = [ClientRows(rows[:100], np.zeros(100)), ClientRows(rows[100:], np.ones(100))]
    step = BinCounts(bins=4)
    found = step.result(outcome(step, data))
    assert np.isfinite(found.woe()).all()
    assert np.isinf(found.woe(0)[0, :4]).all()
    # ln(((0 + ½) / (100 + 2)) / ((50 + ½) / (100 + 2))), with four filled bins.
    assert found.woe()[0, 0] == pytest.approx(np.log(0.5 / 50.5))


def test_a_client_that_fails_in_the_last_round_is_left_out_of_the_counts() -> None:
    data, step = clients(table()), BinCounts()
    full = outcome(step, data).round
    broken, count = failing_from(step, data, 4, full - 1)
    found = step.result(outcome(step, data, clients=broken, callbacks=(count,)))
    assert found.counts[0].sum() == sum(len(part) for part in data[:4])


def test_other_labels_are_refused_at_their_owner() -> None:
    data = clients(table())
    data[0].targets[0] = 2
    step = BinCounts()
    asked = clients_of(step, data)
    message = step.message(step.begin_with(binning.fit(table(), 10)))
    assert asked.ask(0, message, np.arange(5)).failures == {0: "ATL-HOR-020"}
    falling = {"thresholds": -message["thresholds"]}
    failures = asked.ask(0, falling, np.arange(5)).failures
    assert set(failures.values()) == {"ATL-HOR-100"}


def test_bins_survive_their_vector() -> None:
    given = binning.fit(table(), 20)
    back = from_vector(to_vector(given), len(given.thresholds))
    assert back.width == given.width
    for one, two in zip(back.thresholds, given.thresholds, strict=True):
        assert np.array_equal(one, two)


def test_results_are_refused_before_their_last_round() -> None:
    for step in (BinCounts(), MostFrequent()):
        with pytest.raises(AtollError, match="ATL-HOR-102"):
            step.result(step.begin(2))

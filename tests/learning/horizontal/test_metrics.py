"""Figures by client, and how they spread; quantiles out of sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from atoll.core.errors import AtollError
from atoll.core.report import Report
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.personal import Ditto
from atoll.learning.horizontal.fairness import fairness_report
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.metrics import (
    LEVELS,
    ClientMetrics,
    LossHistogram,
    measure_client,
    measure_clients,
    personal,
)
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Bernoulli, Gaussian, Softmax
from atoll.learning.horizontal.sums import Update, total
from tests.learning.horizontal.tasks import blobs, simulated, trained

MODEL = Linear(12, Softmax(5))
SOFT = LocalTraining(learning_rate=0.1, epochs=3, batch_size=10)


def _metrics(loss: list[float], rows: list[float] | None = None) -> ClientMetrics:
    count = len(loss)
    nothing = np.full(count, math.nan)
    weights = np.ones(count) if rows is None else np.array(rows)
    return ClientMetrics(np.arange(count), weights, np.array(loss), nothing, nothing)


@pytest.mark.parametrize("model", [Linear(4, Bernoulli()), Linear(4, Softmax(2))], ids=["1", "2"])
def test_a_clients_figures_are_those_of_scikit_learn(model: Linear) -> None:
    generator = np.random.default_rng(1)
    weights = generator.normal(size=model.layout.size)
    data = ClientRows(generator.normal(size=(80, 4)), generator.integers(0, 2, 80))
    rows, loss, accuracy, auc = measure_client(model, weights, data)
    scores = model.predict(weights, data.rows)
    ones = scores[:, -1]
    assert rows == 80
    assert loss == pytest.approx(log_loss(data.targets, ones))
    assert accuracy == accuracy_score(data.targets, ones >= 0.5)
    assert auc == pytest.approx(roc_auc_score(data.targets, ones))


def test_what_is_undefined_is_not_a_number() -> None:
    model, generator = Linear(4, Bernoulli()), np.random.default_rng(1)
    weights, values = np.zeros(model.layout.size), generator.normal(size=(5, 4))
    one_class = measure_client(model, weights, ClientRows(values, np.ones(5)))
    assert math.isnan(one_class[3])
    assert one_class[2] == 1
    empty = measure_client(model, weights, ClientRows(values[:0], np.ones(0)))
    assert empty[0] == 0
    assert all(math.isnan(value) for value in empty[1:])
    line = Linear(4, Gaussian())
    numbers = measure_client(line, np.zeros(5), ClientRows(values, np.ones(5)))
    assert numbers[1] == 0.5
    assert math.isnan(numbers[2])


def test_the_spread_is_over_clients_and_the_mean_over_rows() -> None:
    loss = [float(n) for n in range(1, 21)]
    spread = _metrics([*loss, math.nan], [*[1.0] * 19, 100.0, 0.0]).spread("loss")
    assert spread.clients == 20
    assert spread.even_mean == 10.5
    assert spread.mean == pytest.approx((sum(loss[:19]) + 2000) / 119)
    assert spread.variance == pytest.approx(np.var(loss))
    assert spread.worst == 19.5
    assert spread.quantiles == tuple(np.quantile(loss, LEVELS))
    values = np.array(loss)
    accuracy = ClientMetrics(np.arange(20), np.ones(20), values, values, values)
    assert accuracy.spread("accuracy").worst == 1.5
    assert math.isnan(_metrics([math.nan]).spread("loss").mean)


def test_clients_are_measured_with_the_weights_that_they_use() -> None:
    data = blobs(8, 800, 0.2)
    algorithm = Ditto(local=SOFT, own=SOFT, strength=0.01)
    clients = simulated(algorithm, MODEL, data)
    state = trained(algorithm, MODEL, data, 8, clients=clients)
    own, common = (
        measure_clients(MODEL, weights, data.__getitem__, range(8), threads)
        for weights, threads in (
            (personal(algorithm, state, clients.kept), 1),
            (lambda number: state.weights, 3),
        )
    )
    assert own.numbers.tolist() == list(range(8))
    assert own.spread("loss").even_mean < common.spread("loss").even_mean
    unknown = personal(algorithm, state, {})(3)
    assert np.array_equal(unknown, state.weights)
    again = measure_clients(MODEL, lambda n: state.weights, data.__getitem__, range(8))
    assert np.array_equal(again.loss, common.loss)
    plain = personal(FedAvg(local=SOFT), state, clients.kept)(3)
    assert np.array_equal(plain, state.weights)


@given(st.lists(st.floats(-1, 11), min_size=1, max_size=200), st.integers(2, 50))
@settings(max_examples=100, deadline=None)
def test_quantiles_of_summed_counts_are_off_by_less_than_a_bin(
    values: list[float], bins: int
) -> None:
    histogram = LossHistogram(np.linspace(0, 10, bins + 1))
    summed = total(Update({}, histogram.numbers(value)) for value in values)
    assert summed is not None
    counts = histogram.counts(summed.numbers)
    assert counts.sum() == len(values)
    inside = np.clip(values, 0, 10)
    found = histogram.quantiles(counts)
    exact = np.quantile(inside, LEVELS, method="inverted_cdf")
    assert np.abs(np.array(found) - exact).max() <= 10 / bins + 1e-9


def test_edges_must_ascend() -> None:
    for edges in ([1.0], [1.0, 1.0], [2.0, 1.0]):
        with pytest.raises(AtollError, match="ATL-HOR-047"):
            LossHistogram(np.array(edges))


def test_the_report_compares_models_and_can_be_stored() -> None:
    models = {"even": _metrics([1.0] * 10), "uneven": _metrics([0.1] * 9 + [9.1])}
    report = fairness_report(models)
    again = Report.model_validate_json(report.model_dump_json())
    assert again == report
    table, curves, *bars = report.panels
    assert table.kind == "table"
    variance = table.columns.index("variance")
    assert [row[variance] for row in table.rows] == [0, pytest.approx(7.29)]
    assert curves.kind == "line"
    assert [series.y[-1] for series in curves.series] == [1, 9.1]
    assert all(bar.kind == "bar" and sum(bar.values) == 10 for bar in bars)
    missing = fairness_report({"m": _metrics([1.0])}, "auc")
    assert missing.panels[-1].kind == "text"
    assert None in missing.panels[0].rows[0]  # type: ignore[union-attr]

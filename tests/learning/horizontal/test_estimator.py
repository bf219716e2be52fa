"""scikit-learn estimators in the loop: the arrays that they get alone, shapes that cannot mix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor

from atoll.core.errors import AtollError
from atoll.learning.horizontal import partition
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.partial_fit import PartialFit
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.estimator import EstimatorModel
from atoll.learning.horizontal.training import Round
from tests.learning.horizontal.tasks import blobs, mean_loss, simulated, trained

WHOLE = PartialFit(local=LocalTraining(batch_size=None))
CLASSES = tuple(range(5))
ESTIMATORS: dict[str, Any] = {
    "log loss": SGDClassifier(loss="log_loss", shuffle=False),
    "hinge": SGDClassifier(shuffle=False, learning_rate="constant", eta0=0.01),
    "perceptron": Perceptron(shuffle=False),
    "network": MLPClassifier(
        (16,), solver="sgd", learning_rate_init=0.1, random_state=1, shuffle=False
    ),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_client_gets_what_the_estimator_gets_alone(name: str) -> None:
    """Three rounds of one client are three calls of ``partial_fit``, the rate's counter included.

    A network's momentum alone begins afresh, so it is turned off.
    """
    estimator = ESTIMATORS[name]
    if name == "network":
        estimator = estimator.set_params(momentum=0.0)
    (data,) = blobs(1, 60, 1.0)
    model = EstimatorModel(estimator, 12, CLASSES)
    state = trained(WHOLE, model, [data], 3)
    alone = model.at(model.initial(np.random.default_rng(0)))
    for _ in range(3):
        if hasattr(alone, "coef_") and _ == 0:
            alone.t_ = 1.0
        alone.partial_fit(data.rows, data.targets)
    ours = model.at(state.weights)
    attribute = "coef_" if hasattr(alone, "coef_") else "coefs_"
    for one, other in zip(getattr(ours, attribute), getattr(alone, attribute), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert (ours.predict(data.rows) == alone.predict(data.rows)).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_clients_without_all_classes_learn_together(name: str) -> None:
    rows, labels = load_digits(n_class=5, return_X_y=True)
    rows, chosen = rows / 16, partition.shards(labels[:600], 5, 2, np.random.default_rng(0))
    # In float32, as tables give them; an estimator's own arrays are float64.
    data = [ClientRows(rows[:600][part].astype("f4"), labels[:600][part]) for part in chosen]
    assert max(len(np.unique(part.targets)) for part in data) < 5
    model = EstimatorModel(ESTIMATORS[name], 64, CLASSES)
    state = trained(PartialFit(local=LocalTraining(batch_size=40)), model, data, 8)
    assert (model.at(state.weights).predict(rows[600:]) == labels[600:]).mean() > 0.8


def test_regression_and_its_loss() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 3))
    targets = rows @ [1.0, -2.0, 0.5] + 3
    data = [ClientRows(rows[part], targets[part]) for part in np.array_split(np.arange(400), 4)]
    for estimator in (
        SGDRegressor(),
        MLPRegressor(hidden_layer_sizes=(16,), random_state=0, learning_rate_init=0.01),
    ):
        model = EstimatorModel(estimator, 3)
        state = trained(PartialFit(local=LocalTraining(batch_size=25)), model, data, 20)
        assert mean_loss(model, state, data) < 0.2


def test_any_number_of_threads_gives_the_same_bits() -> None:
    data = blobs(9, 300, 0.5)
    model = EstimatorModel(SGDClassifier(loss="log_loss", random_state=0), 12, CLASSES)
    algorithm = PartialFit(local=LocalTraining(batch_size=10))
    found = [
        trained(algorithm, model, data, 3, clients=simulated(algorithm, model, data, threads))
        for threads in (1, 3)
    ]
    assert found[0].weights.tobytes() == found[1].weights.tobytes()


def test_a_client_without_rows_weighs_nothing() -> None:
    data = blobs(3, 60, 1.0)
    empty = ClientRows(data[0].rows[:0], data[0].targets[:0])
    model = EstimatorModel(SGDClassifier(loss="log_loss", shuffle=False), 12, CLASSES)
    with_it, without = (trained(WHOLE, model, d, 2) for d in ([*data, empty], data))
    np.testing.assert_allclose(with_it.weights, without.weights, rtol=1e-12)


def test_a_binary_estimator_is_never_added_to_another_shape() -> None:
    """Two classes have one row of coefficients; the layout says so before anything is summed."""
    two = EstimatorModel(SGDClassifier(), 12, (0, 1))
    three = EstimatorModel(SGDClassifier(), 12, (0, 1, 2))
    assert (two.layout.size, three.layout.size) == (13, 39)
    with pytest.raises(AtollError, match="ATL-HOR-003"):
        three.at(two.initial(np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("code", "estimator", "classes"),
    [
        ("ATL-HOR-090", GaussianNB(), (0, 1)),
        ("ATL-HOR-090", MiniBatchKMeans(2, n_init=1), None),
        ("ATL-HOR-090", SGDClassifier(average=True), (0, 1)),
        ("ATL-HOR-090", object(), None),
        ("ATL-HOR-091", SGDClassifier(), None),
        ("ATL-HOR-091", SGDClassifier(), (1, 0)),
        ("ATL-HOR-091", SGDClassifier(), (0, 0, 1)),
        ("ATL-HOR-091", SGDRegressor(), (0, 1)),
    ],
)
def test_what_cannot_be_averaged_is_refused(code: str, estimator: Any, classes: Any) -> None:
    with pytest.raises(AtollError, match=code):
        EstimatorModel(estimator, 3, classes)


def test_other_algorithms_and_models_are_refused() -> None:
    data = blobs(2, 40, 1.0)
    model = EstimatorModel(SGDClassifier(), 12, CLASSES)
    codes: list[str] = []

    def note(done: Round) -> None:
        codes.extend(done.answers.failures.values())

    with pytest.raises(AtollError, match="ATL-HOR-092"):
        trained(FedAvg(), model, data, 1, callbacks=(note,))
    with pytest.raises(AtollError, match="ATL-HOR-092"):
        PartialFit(proximal=0.1)
    assert set(codes) == {"ATL-HOR-092"}

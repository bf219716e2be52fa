"""The loop: lossless where the method is, the same bits always, and no silent failure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import WEIGHTS, Algorithm
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.fednova import FedNova
from atoll.learning.horizontal.algorithms.fedsgd import FedSGD
from atoll.learning.horizontal.algorithms.personal import Ditto, FedRep, PerFedAvg
from atoll.learning.horizontal.algorithms.qfedavg import QFedAvg
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.server import ServerStep
from atoll.learning.horizontal.training import Round
from tests.learning.horizontal.tasks import blobs, mean_loss, simulated, trained

MODEL = Linear(12, Softmax(5), l2=1e-3)
SOFT = LocalTraining(learning_rate=0.05, epochs=2, batch_size=10)
ALGORITHMS: dict[str, Algorithm] = {
    "fedsgd": FedSGD(learning_rate=0.3),
    "fedavg": FedAvg(local=SOFT),
    "fedavg-momentum": FedAvg(local=SOFT, server=ServerStep(method="momentum", rate=0.3)),
    "fedadam": FedAvg(local=SOFT, server=ServerStep(method="adam", rate=0.05)),
    "fedyogi": FedAvg(local=SOFT, server=ServerStep(method="yogi", rate=0.05)),
    "fedadagrad": FedAvg(local=SOFT, server=ServerStep(method="adagrad", rate=0.1)),
    "fedprox": FedAvg(local=SOFT, proximal=0.1),
    "fednova": FedNova(local=SOFT),
    "scaffold": Scaffold(local=SOFT),
    "qfedavg": QFedAvg(local=SOFT),
    "ditto": Ditto(local=SOFT),
    "perfedavg": PerFedAvg(local=SOFT),
    "perfedavg-first": PerFedAvg(local=SOFT, method="first-order"),
    "fedrep": FedRep(local=SOFT, own=SOFT, head=frozenset({"bias"})),
}
every = pytest.mark.parametrize("name", ALGORITHMS)


def test_fedsgd_over_all_clients_is_gradient_descent_on_the_pooled_rows() -> None:
    data = blobs(7, 600, 0.3)
    state = trained(FedSGD(learning_rate=0.5), MODEL, data, 40)
    rows = np.concatenate([part.rows for part in data])
    targets = np.concatenate([part.targets for part in data])
    weights = np.zeros(MODEL.layout.size)
    slope, gradient = np.empty_like(weights), MODEL.gradient_of(weights)
    for _ in range(40):
        gradient(rows, targets, slope)
        weights -= 0.5 * slope
    assert np.abs(weights - state.weights).max() < 1e-9


@every
def test_each_algorithm_lowers_the_loss(name: str) -> None:
    data = blobs(6, 500, 1.0)
    algorithm = ALGORITHMS[name]
    before = mean_loss(MODEL, trained(algorithm, MODEL, data, 0), data)
    assert mean_loss(MODEL, trained(algorithm, MODEL, data, 12), data) < 0.7 * before


@every
def test_any_number_of_threads_gives_the_same_bits(name: str) -> None:
    data = blobs(20, 400, 0.5)
    algorithm = ALGORITHMS[name]
    one, three = (
        trained(algorithm, MODEL, data, 3, clients=simulated(algorithm, MODEL, data, threads))
        for threads in (1, 3)
    )
    assert one.weights.tobytes() == three.weights.tobytes()


@every
def test_a_training_resumes_to_the_same_bits(name: str) -> None:
    data = blobs(9, 300, 0.5)
    algorithm, half = ALGORITHMS[name], Participation(count=4)
    whole = trained(algorithm, MODEL, data, 6, participation=half)
    clients = simulated(algorithm, MODEL, data)
    broken = trained(algorithm, MODEL, data, 3, clients=clients, participation=half)
    resumed = trained(algorithm, MODEL, data, 6, clients=clients, state=broken, participation=half)
    assert resumed.round == whole.round == 6
    assert resumed.vectors.keys() == whole.vectors.keys()
    assert all(np.array_equal(resumed.vectors[k], whole.vectors[k]) for k in whole.vectors)


@every
def test_a_client_without_rows_changes_nothing(name: str) -> None:
    data = blobs(4, 200, 2.0)
    empty = ClientRows(np.empty((0, 12)), np.empty(0, dtype=np.int64))
    algorithm = ALGORITHMS[name]
    without = trained(algorithm, MODEL, data, 2)
    if name != "scaffold":  # its control variates are means over all clients
        assert np.array_equal(trained(algorithm, MODEL, [*data, empty], 2).weights, without.weights)
    alone = trained(algorithm, MODEL, [empty], 2)
    assert np.array_equal(alone.weights, trained(algorithm, MODEL, [empty], 0).weights)


def _failing(data: list[ClientRows], broken: set[int]) -> Any:
    def rows(number: int) -> ClientRows:
        if number in broken:
            raise ValueError("no such file")
        return data[number]

    algorithm = ALGORITHMS["fedavg"]
    clients = simulated(algorithm, MODEL, data)
    clients.data = rows
    return algorithm, clients


def test_a_client_that_fails_is_left_out_and_named() -> None:
    data = blobs(5, 200, 2.0)
    seen: list[Round] = []
    algorithm, clients = _failing(data, {1})
    state = trained(algorithm, MODEL, data, 1, clients=clients, callbacks=(seen.append,))
    rest = [part for i, part in enumerate(data) if i != 1]
    assert seen[0].answers.failures == {1: "ATL-HOR-031"}
    assert "no such file" in clients.tracebacks[1]
    assert seen[0].answers.answered == 4
    assert mean_loss(MODEL, state, rest) < mean_loss(
        MODEL, trained(algorithm, MODEL, data, 0), rest
    )


def test_a_run_in_which_every_client_failed_has_failed() -> None:
    data = blobs(3, 100, 2.0)
    algorithm, clients = _failing(data, {0, 1, 2})
    with pytest.raises(AtollError, match="ATL-HOR-030"):
        trained(algorithm, MODEL, data, 4, clients=clients)


def test_values_that_are_not_finite_are_their_owners_failure() -> None:
    data = blobs(4, 200, 2.0)
    seen: list[Round] = []
    data[2].rows[0, 0] = np.nan
    trained(ALGORITHMS["fedavg"], MODEL, data, 1, callbacks=(seen.append,))
    assert seen[0].answers.failures == {2: "ATL-HOR-011"}


def test_a_callback_ends_the_training() -> None:
    data = blobs(3, 100, 2.0)

    def stop(done: Round) -> bool:
        return done.number == 1

    assert trained(ALGORITHMS["fedavg"], MODEL, data, 9, callbacks=(stop,)).round == 2


def test_a_head_stays_at_its_client() -> None:
    data = blobs(4, 200, 0.5)
    algorithm = ALGORITHMS["fedrep"]
    clients = simulated(algorithm, MODEL, data)
    state = trained(algorithm, MODEL, data, 3, clients=clients)
    head = MODEL.layout.select(frozenset({"bias"}))
    assert not state.weights[head].any()
    own = algorithm.personal({WEIGHTS: state.weights}, clients.kept[0])
    assert own[head].any()
    assert np.array_equal(own[~head], state.weights[~head])


def test_scaffold_takes_no_local_momentum() -> None:
    with pytest.raises(AtollError, match="ATL-HOR-060"):
        Scaffold(local=LocalTraining(momentum=0.5))

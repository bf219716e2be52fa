"""A compressed down-link: all hold the same model, no error is lost, fewer bytes go down."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import WEIGHTS, Algorithm, Vectors
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.parties.messages import Difference
from atoll.learning.horizontal.postprocess.compress import Quantise, TopK
from atoll.learning.horizontal.postprocess.down_link import HELD, DownLink, down_link
from atoll.learning.horizontal.simulation import bounded
from atoll.learning.horizontal.timed import planned_steps
from atoll.learning.horizontal.traffic import CountedClients, coded_bytes, message_bytes
from atoll.learning.horizontal.training import Round, Training
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, simulated, trained

MODEL = Linear(12, Softmax(5))
LOCAL = LocalTraining(learning_rate=0.05, batch_size=10)
CODERS = [
    Quantise(width=4),
    TopK(share=0.1, feedback=False),
    Quantise(width=2),
    Quantise(width=1, rounding="nearest", block=16),
]
DATA = blobs(12, 500, 1.0)


def _link(coder: TopK | Quantise, algorithm: Algorithm | None = None) -> DownLink:
    return DownLink(algorithm=algorithm or FedAvg(local=LOCAL), coder=coder)


@pytest.mark.parametrize("coder", CODERS, ids=repr)
def test_a_client_that_reads_the_bytes_holds_what_the_aggregator_holds(
    coder: TopK | Quantise,
) -> None:
    algorithm = _link(coder)
    generator = np.random.default_rng(0)
    exact: Vectors = {WEIGHTS: generator.normal(size=65).astype(np.float32)}
    own = held = exact
    for round_ in range(5):
        exact = {WEIGHTS: exact[WEIGHTS] + generator.normal(size=65).astype(np.float32)}
        held, wire = algorithm.step(held, exact, round_)
        own = algorithm.after(own, {n: coder.read(data, 65) for n, data in wire.items()})
        assert own[WEIGHTS].tobytes() == held[WEIGHTS].tobytes()
        assert len(wire[WEIGHTS]) == coder.coded_bytes(65)
    # Nothing is lost: while the model stands still, the difference goes over by and by.
    away = np.linalg.norm(exact[WEIGHTS] - held[WEIGHTS])
    for round_ in range(60):
        held, _ = algorithm.step(held, exact, round_)
    assert np.linalg.norm(exact[WEIGHTS] - held[WEIGHTS]) < 0.2 * away


@pytest.mark.parametrize("inner", [FedAvg(local=LOCAL), Scaffold(local=LOCAL)])
@pytest.mark.parametrize("coder", CODERS, ids=repr)
def test_training_comes_near_that_with_whole_models(
    coder: TopK | Quantise, inner: Algorithm
) -> None:
    algorithm = _link(coder, inner)
    before = mean_loss(MODEL, trained(inner, MODEL, DATA, 0), DATA)
    plain = mean_loss(MODEL, trained(inner, MODEL, DATA, 30), DATA)
    whole = trained(algorithm, MODEL, DATA, 30)
    assert mean_loss(MODEL, whole, DATA) < plain + 0.1 * (before - plain)
    # It goes on from a state to the same bits.
    half = trained(algorithm, MODEL, DATA, 12)
    clients = simulated(algorithm, MODEL, DATA)
    if not isinstance(inner, Scaffold):
        again = trained(algorithm, MODEL, DATA, 30, state=half, clients=clients)
        assert again.weights.tobytes() == whole.weights.tobytes()
        assert again.vectors[HELD + WEIGHTS].tobytes() == whole.vectors[HELD + WEIGHTS].tobytes()


def test_clients_train_from_what_they_hold() -> None:
    algorithm = _link(Quantise(width=2))
    state = trained(algorithm, MODEL, DATA, 3)
    sent = algorithm.message(state)
    assert np.array_equal(sent[WEIGHTS], state.vectors[HELD + WEIGHTS])
    assert not np.array_equal(sent[WEIGHTS], state.weights)
    assert np.array_equal(algorithm.personal(sent, {}), sent[WEIGHTS])


def test_late_clients_are_sent_all_of_the_state_and_others_what_they_lack() -> None:
    coder = Quantise(width=4)
    algorithm = _link(coder)
    clients = CountedClients(simulated(algorithm, MODEL, DATA))
    message = algorithm.message(algorithm.start(np.zeros(65)))
    whole, one = message_bytes(message), coded_bytes(coder.coded_bytes(65), Difference)
    assert one * 2 < whole < one * 4
    sent = []
    for round_, chosen in enumerate([[0, 1], [0, 2], [0, 1, 2], [0], [0], [0], [0, 1]]):
        down = clients.down
        clients.ask(round_, message, np.array(chosen))
        sent.append(clients.down - down)
    assert sent == [
        2 * whole,
        one + whole,
        one + 2 * one + one,
        one,
        one,
        one,
        # All of the state is less than the differences of four rounds.
        one + whole,
    ]


def test_traffic_is_in_the_metrics_of_rounds() -> None:
    algorithm = _link(Quantise(width=4))
    clients, rounds = CountedClients(simulated(algorithm, MODEL, DATA)), list[Round]()
    training = Training(algorithm, Participation(count=4), 3)
    state = algorithm.start(np.zeros(65))
    training.run(state, clients, PUBLIC, (clients, rounds.append))
    assert sum(done.metrics["bytes up"] for done in rounds) == clients.up > 0
    assert sum(done.metrics["bytes down"] for done in rounds) == clients.down > 0


def test_what_is_wrapped_is_found_and_its_steps_are_bounded() -> None:
    algorithm = _link(Quantise(width=4))
    assert down_link(algorithm) is algorithm
    assert down_link(algorithm.algorithm) is None
    assert planned_steps(algorithm, 100) == 10
    assert planned_steps(bounded(algorithm, 3), 100) == 3


def test_a_second_feedback_is_refused() -> None:
    with pytest.raises(AtollError, match="ATL-HOR-122"):
        _link(TopK(share=0.1))


def test_errors_that_would_grow_are_refused() -> None:
    with pytest.raises(AtollError, match="ATL-HOR-124"):
        _link(Quantise(width=1))
    with pytest.raises(AtollError, match="ATL-HOR-124"):
        Quantise(width=1, feedback=True)

"""PowerSGD with one sum a round: a projection that is linear, and forgets nothing."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import (
    WEIGHTS,
    Algorithm,
    ClientResult,
    ClientWork,
    State,
)
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg
from atoll.learning.horizontal.algorithms.scaffold import CONTROL, Scaffold
from atoll.learning.horizontal.layout import Layout
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.postprocess.power_sgd import LEFT_OUT, SIDE, PowerSGD
from atoll.learning.horizontal.sums import Update
from tests.learning.horizontal.tasks import blobs, mean_loss, simulated, trained

ARRAYS = (("w", (30, 20)), ("b", (20,)), ("k", (6, 2, 5)), ("thin", (2, 9)))
SIZE = Layout(ARRAYS).size
MODEL = Linear(12, Softmax(5))
LOCAL = LocalTraining(learning_rate=0.05, batch_size=10)
NOTHING = ClientRows(np.empty((0, 1)), np.empty(0, np.int64))


class Given(Algorithm):
    """A client's change is what it keeps as ``given``; the weights are the sum of all changes."""

    def client(self, work: ClientWork) -> ClientResult:
        return ClientResult(Update({CHANGE: np.array(work.kept["given"])}, {}))

    def aggregate(self, state: State, total: Update) -> State:
        return state.next(**{WEIGHTS: state.weights + total.vectors[CHANGE]})


def _given(rank: int = 2, *, feedback: bool = True) -> PowerSGD:
    return PowerSGD(algorithm=Given(), arrays=ARRAYS, rank=rank, feedback=feedback)


def _round(
    algorithm: PowerSGD, state: State, kept: list[dict[str, np.ndarray]]
) -> tuple[State, list[Update]]:
    """Do one round; what clients keep is written back."""
    sent, message = [], algorithm.message(state)
    for own in kept:
        work = ClientWork(MODEL, message, own, NOTHING, np.random.default_rng(0), len(kept))
        result = algorithm.client(work)
        own.update(result.kept)
        sent.append(result.update)
    total = sent[0]
    for update in sent[1:]:
        total = total + update
    return algorithm.aggregate(state, total), sent


def _clients(count: int, rank: int | None = None) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(3)
    made = []
    for _ in range(count):
        vector = generator.normal(size=SIZE)
        if rank is not None:
            views = Layout(ARRAYS).views(vector)
            views["w"][:] = generator.normal(size=(30, rank)) @ generator.normal(size=(rank, 20))
            views["k"][:] = np.outer(generator.normal(size=6), generator.normal(size=10)).reshape(
                6, 2, 5
            )
        made.append({"given": vector})
    return made


def test_sent_and_left_out_are_all_there_was() -> None:
    algorithm, kept = _given(), _clients(3)
    state = algorithm.start(np.zeros(SIZE))
    rounds = 6
    for _ in range(rounds):
        state, _ = _round(algorithm, state, kept)
    whole = state.weights + sum(own[LEFT_OUT + CHANGE] for own in kept)
    assert np.allclose(whole, rounds * sum(own["given"] for own in kept))


def test_a_matrix_of_low_rank_goes_over_whole() -> None:
    algorithm, kept = _given(), _clients(1, rank=2)
    state = algorithm.start(np.zeros(SIZE))
    for _ in range(4):
        state, _ = _round(algorithm, state, kept)
    # Once the basis is that of the columns, nothing is left out.
    left = Layout(ARRAYS).views(kept[0][LEFT_OUT + CHANGE])
    assert np.abs(left["w"]).max() < 1e-9
    assert np.abs(left["k"]).max() < 1e-9


def test_the_basis_turns_to_the_largest_directions() -> None:
    # A warm start: half a step of the power iteration a round ends at the singular vectors.
    matrix = np.random.default_rng(0).normal(size=(30, 20)) @ np.diag(0.6 ** np.arange(20))
    given = np.zeros(SIZE)
    Layout(ARRAYS).views(given)["w"][:] = matrix
    algorithm = _given(feedback=False)
    state = algorithm.start(np.zeros(SIZE))
    before = state.weights
    for _ in range(40):
        before = state.weights
        state, _ = _round(algorithm, state, [{"given": given}])
    last = Layout(ARRAYS).views(state.weights - before)["w"]
    u, s, v = np.linalg.svd(matrix)
    assert np.allclose(last, u[:, :2] * s[:2] @ v[:2], atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 4, 20])
def test_what_is_sent_is_linear_no_longer_and_as_small_as_stated(rank: int) -> None:
    algorithm, kept = _given(rank), _clients(4)
    state = algorithm.start(np.zeros(SIZE))
    for round_ in range(3):
        together = {"given": np.sum([own["given"] for own in kept], axis=0)}
        for own in kept:
            own.pop(LEFT_OUT + CHANGE, None)
        _, one = _round(algorithm, state, [together])
        state, sent = _round(algorithm, state, kept)
        assert np.allclose(one[0].vectors[CHANGE], sum(u.vectors[CHANGE] for u in sent))
        for own, update in zip(kept, sent, strict=True):
            vector = update.vectors[CHANGE]
            assert np.linalg.norm(vector) <= np.linalg.norm(own["given"]) * (1 + 1e-9)
            assert len(vector) == algorithm.values(round_) <= SIZE
    # No matrix has a rank of 20: all goes over as it is.
    assert rank < 20 or algorithm.values(0) == SIZE


def test_a_round_in_vain_leaves_the_side_as_it_was() -> None:
    algorithm, kept = _given(), _clients(2)
    state = algorithm.start(np.zeros(SIZE)).next()
    assert state.round == 1
    assert not state.vectors[SIDE][0]
    state, _ = _round(algorithm, state, kept)
    assert state.vectors[SIDE][0]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("inner", [FedAvg(local=LOCAL), Scaffold(local=LOCAL)])
def test_training_at_low_rank_comes_near_the_whole(inner: Algorithm, masked: bool) -> None:
    data = blobs(12, 500, 1.0)
    names = (CHANGE, CONTROL) if isinstance(inner, Scaffold) else (CHANGE,)
    algorithm = PowerSGD(algorithm=inner, arrays=MODEL.layout.arrays, vectors=names, rank=1)
    before = mean_loss(MODEL, trained(inner, MODEL, data, 0), data)
    plain = mean_loss(MODEL, trained(inner, MODEL, data, 30), data)
    states = []
    for threads in (1, 2):
        clients = simulated(algorithm, MODEL, data, threads)
        if masked:
            clients.chain = Chain((Clip(norm=900), Mask(bound=900, clients=12)))
        states.append(trained(algorithm, MODEL, data, 30, clients=clients))
    assert states[0].weights.tobytes() == states[1].weights.tobytes()
    assert mean_loss(MODEL, states[0], data) < plain + 0.1 * (before - plain)


def test_without_feedback_what_is_left_out_is_lost() -> None:
    data = blobs(12, 500, 1.0)
    losses = []
    for feedback in (True, False):
        model = MLP(12, (16,), Softmax(5))
        algorithm = PowerSGD(
            algorithm=FedAvg(local=LOCAL), arrays=model.layout.arrays, rank=1, feedback=feedback
        )
        clients = simulated(algorithm, model, data)
        losses.append(mean_loss(model, trained(algorithm, model, data, 20, clients=clients), data))
        kept = any(LEFT_OUT + CHANGE in own for own in clients.kept.values())
        assert kept == feedback
    assert losses[0] < losses[1]


def test_a_vector_that_is_not_of_the_layout_is_refused() -> None:
    algorithm = PowerSGD(algorithm=Given(), arrays=(("w", (3, 4)),))
    work = ClientWork(
        MODEL,
        algorithm.message(algorithm.start(np.zeros(12))),
        {"given": np.zeros(13)},
        NOTHING,
        np.random.default_rng(0),
        1,
    )
    with pytest.raises(AtollError, match="ATL-HOR-121"):
        algorithm.client(work)
    assert WEIGHT not in algorithm.message(algorithm.start(np.zeros(12)))

"""Noise in the chain: its size, its source, what it refuses, and that training still works."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithm import Algorithm, State
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg
from atoll.learning.horizontal.algorithms.scaffold import CLIENTS, COUNT, Scaffold
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.postprocess.adaptive import BELOW, LENGTH, AdaptiveClip
from atoll.learning.horizontal.postprocess.api import Passage, Postprocessor, Stage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.postprocess.noise import (
    CentralNoise,
    DistributedNoise,
    LocalNoise,
    Noise,
)
from atoll.learning.horizontal.simulation import Task, seeded_noise
from atoll.learning.horizontal.sums import Update, total
from atoll.privacy.accounting.api import Sampling
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, simulated, trained

MODEL = Linear(12, Softmax(5))
LOCAL = LocalTraining(learning_rate=0.05, batch_size=10)
EQUAL = FedAvg(local=LOCAL, weighting="equal")
SEEDED = seeded_noise(b"noise tests")


class Mask(Postprocessor):
    """Stands where a secure sum stands."""

    stage = Stage.MASK

    def client(self, update: Update, passage: Passage) -> Update:
        return update


def _noise(kind: str, norm: float = 1.0, multiplier: float = 1.0, **more: Any) -> Noise:
    common = {"norm": norm, "multiplier": multiplier, "clients": 10, **more}
    if kind == "central":
        return CentralNoise(**common)
    if kind == "local":
        return LocalNoise(**common)
    shares = {**common, "honest": 8, "distribution": kind}
    return DistributedNoise(**shares)


KINDS = ["central", "local", "gaussian", "skellam"]
every = pytest.mark.parametrize("kind", KINDS)


def _chain(noise: Noise, *between: Postprocessor) -> Chain:
    masks = (Mask(),) if isinstance(noise, DistributedNoise) else ()
    return Chain((Clip(norm=noise.norm), *between, noise, *masks))


def _passage(number: int = 0, round_: int = 0) -> Passage:
    return Passage(
        RoundRandom(PUBLIC, round_),
        np.random.default_rng(number + 1),
        secret=SEEDED(round_, number),
    )


def _summed(chain: Chain, vectors: list[np.ndarray], weight: float = 1.0) -> Update:
    updates = [Update({CHANGE: v}, {WEIGHT: weight}) for v in vectors]
    sent = total(chain.client(u, _passage(i)) for i, u in enumerate(updates))
    assert sent is not None
    return chain.aggregate(sent, len(vectors[0]), _passage(-1))


# -- how much noise -------------------------------------------------------------------------------


@every
def test_the_sum_has_the_noise_that_is_accounted_for(kind: str) -> None:
    contributors, size, multiplier, norm = 8, 40_000, 1.5, 3.0
    generator = np.random.default_rng(2)
    vectors = [generator.normal(size=size) * norm / math.sqrt(size) for _ in range(contributors)]
    vectors = [v * (0.9 * norm / np.linalg.norm(v)) for v in vectors]
    found = _summed(_chain(_noise(kind, norm, multiplier)), vectors).vectors[CHANGE]
    noise = found - sum(vectors)
    expected = multiplier * norm * (math.sqrt(contributors) if kind == "local" else 1.0)
    # The spread of a sample variance of 40,000 is 0.7 %: five of these.
    assert np.std(noise) == pytest.approx(expected, rel=0.018)
    assert abs(noise.mean()) < 5 * expected / math.sqrt(size)


@every
def test_what_leaves_lies_on_the_grid_that_a_mask_keeps(kind: str) -> None:
    noise = _noise(kind, places=12)
    vector = np.random.default_rng(0).normal(size=500) / 30
    sent = _chain(noise).client(Update({CHANGE: vector}, {WEIGHT: 1.0}), _passage())
    units = sent.vectors[CHANGE] * 2**12
    assert np.array_equal(units, np.rint(units))
    assert sent.vectors[CHANGE].dtype == np.float64
    width = noise.bits(500, 32)[1]
    assert np.abs(units).max() < 2 ** (width - 1)
    assert sent.numbers == {}


@given(st.integers(0, 10_000), st.integers(1, 400), st.floats(1e-2, 1e2), st.integers(8, 24))
@settings(max_examples=80, deadline=None)
def test_rounding_never_passes_the_norm(seed: int, size: int, norm: float, places: int) -> None:
    noise = CentralNoise(norm=norm, multiplier=100.0, clients=1, places=places)
    if (norm * 2**places) ** 2 <= size:
        return
    generator = np.random.default_rng(seed)
    vector = generator.normal(size=size)
    vector *= norm * generator.choice([1.0, 0.1, 1 + 5e-5]) / np.linalg.norm(vector)
    sent = noise.client(Update({CHANGE: vector}, {}), _passage(seed)).vectors[CHANGE]
    assert np.dot(sent, sent) <= norm * norm * (1 + 1e-15)
    if places > 16:
        assert np.allclose(sent, vector, atol=2.0**-places * 2 + norm * 1e-4)


def test_rounding_is_unbiased() -> None:
    noise = CentralNoise(norm=40.0, multiplier=1.0, clients=1, places=0)
    vector = np.random.default_rng(1).normal(size=200)
    rounds = 3000
    sent = sum(
        noise.client(Update({CHANGE: vector}, {}), _passage(n)).vectors[CHANGE]
        for n in range(rounds)
    )
    assert np.abs(sent / rounds - vector).max() < 6 * 0.5 / math.sqrt(rounds)


# -- where it comes from --------------------------------------------------------------------------


@every
def test_noise_is_fresh_unless_a_seeded_source_is_handed_in(kind: str) -> None:
    chain, vectors = _chain(_noise(kind)), [np.zeros(50)]

    def run(secret: SecretRandom | None) -> np.ndarray:
        passage = Passage(RoundRandom(PUBLIC, 0), np.random.default_rng(0))
        if secret is not None:
            passage.secret = secret
        sent = chain.client(Update({CHANGE: vectors[0]}, {WEIGHT: 1.0}), passage)
        return np.array(chain.aggregate(sent, 50, passage).vectors[CHANGE])

    assert not np.array_equal(run(None), run(None))
    assert np.array_equal(run(SecretRandom.seeded(3)), run(SecretRandom.seeded(3)))


def test_simulated_noise_does_not_follow_the_public_seed() -> None:
    data = blobs(6, 120, 2.0)
    states = []
    for _ in range(2):
        clients = simulated(EQUAL, MODEL, data)
        clients.chain = _chain(_noise("central", clients=6))
        states.append(trained(EQUAL, MODEL, data, 1, clients=clients).weights)
    assert not np.array_equal(states[0], states[1])


@every
def test_seeded_runs_repeat_with_any_number_of_threads(kind: str) -> None:
    data = blobs(20, 300, 2.0)
    states = []
    for threads in (1, 3):
        clients = simulated(EQUAL, MODEL, data, threads)
        clients.chain, clients.secret = _chain(_noise(kind, clients=20)), SEEDED
        states.append(trained(EQUAL, MODEL, data, 2, clients=clients).weights.tobytes())
    assert states[0] == states[1]


# -- what it refuses ------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    ("before", "why"),
    [
        ((), "needs a clip"),
        ((Clip(norm=1.1),), "needs a clip"),
        ((Clip(norm=1.0), TopK(share=0.5, feedback=False)), ""),
        ((Clip(norm=1.0), Quantise()), ""),
        ((Clip(norm=1.0), LocalNoise(norm=1, multiplier=1, clients=1)), "beside other noise"),
    ],
)
def test_a_chain_without_a_bound_is_refused(
    kind: str, before: tuple[Postprocessor, ...], why: str
) -> None:
    noise = _noise(kind)
    masks = (Mask(),) if isinstance(noise, DistributedNoise) else ()
    with pytest.raises(AtollError, match="ATL-HOR-050") as refused:
        Chain((*before, noise, *masks))
    assert why in str(refused.value)


@pytest.mark.parametrize("kind", ["gaussian", "skellam"])
def test_a_share_of_the_noise_needs_a_mask(kind: str) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-050") as refused:
        Chain((Clip(norm=1), _noise(kind)))
    assert "no mask hides" in str(refused.value)


@every
def test_a_longer_update_is_its_owners_error(kind: str) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-070"):
        _noise(kind).client(Update({CHANGE: np.array([0.8, 0.7])}, {}), _passage())
    for broken in (np.nan, np.inf):
        with pytest.raises(AtollError, match="ATL-HOR-070"):
            _noise(kind).client(Update({CHANGE: np.array([broken, 0.0])}, {}), _passage())


@every
def test_weights_by_rows_are_refused(kind: str) -> None:
    noise = _noise(kind)
    for numbers in ({WEIGHT: 17.0}, {"loss": 0.5}):
        with pytest.raises(AtollError, match="ATL-HOR-071"):
            noise.client(Update({CHANGE: np.zeros(3)}, numbers), _passage())


def test_the_mean_is_over_the_expected_clients_whoever_answers() -> None:
    chain = _chain(_noise("central", clients=10))
    for answered in (1, 7):
        assert _summed(chain, [np.zeros(4)] * answered).numbers == {WEIGHT: 10.0}
    assert _summed(chain, [np.zeros(4)], weight=0.0).numbers == {WEIGHT: 10.0}


@pytest.mark.parametrize(
    "more",
    [
        {"norm": 1e-5, "places": 4},
        {"norm": 1e6, "places": 40},
        {"multiplier": 1e4, "norm": 1e4, "places": 24},
    ],
)
@every
def test_a_grid_that_does_not_fit_is_refused(kind: str, more: dict[str, float]) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-072"):
        _noise(kind, **more)


def test_a_grid_too_coarse_for_a_long_vector_is_refused() -> None:
    noise = CentralNoise(norm=1.0, multiplier=10.0, clients=1, places=2)
    with pytest.raises(AtollError, match="ATL-HOR-072"):
        noise.client(Update({CHANGE: np.zeros(1000)}, {}), _passage())


# -- what is accounted for ------------------------------------------------------------------------


def test_only_a_fixed_number_amplifies_where_clients_bring_the_noise() -> None:
    poisson, uniform = Sampling("poisson", 5, 100), Sampling("uniform", 5, 100)
    assert _noise("central").readers(poisson).sampling == poisson
    for kind in KINDS[1:]:
        assert _noise(kind).readers(poisson).sampling == Sampling()
        assert _noise(kind).readers(uniform).sampling == uniform
        seen = _noise(kind).aggregator()
        assert seen is not None
        assert seen.sampling == Sampling()
    assert _noise("central").aggregator() is None


def test_coarse_noise_is_accounted_for_as_less() -> None:
    fine, coarse = (_noise("central", places=p).readers(Sampling()) for p in (20, 3))
    assert 0.999999 < fine.multiplier < 1
    assert coarse.multiplier == pytest.approx(math.sqrt(1 - 4 / 64))


# -- training -------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("between", [(), (RandomK(share=0.5),)], ids=["whole", "random-k"])
def test_training_with_noise_still_learns(kind: str, between: tuple[Postprocessor, ...]) -> None:
    data = blobs(40, 800, 5.0)
    before = mean_loss(MODEL, trained(EQUAL, MODEL, data, 0), data)
    clients = simulated(EQUAL, MODEL, data)
    noise = _noise(kind, norm=0.5, multiplier=0.3, clients=40)
    clients.chain, clients.secret = _chain(noise, *between), SEEDED
    state = trained(EQUAL, MODEL, data, 15, clients=clients)
    assert mean_loss(MODEL, state, data) < 0.7 * before


def test_scaffold_trains_with_noise_on_both_of_its_vectors() -> None:
    data = blobs(30, 900, 1.0)
    algorithm: Algorithm = Scaffold(local=LOCAL, weighting="equal")
    before = mean_loss(MODEL, trained(algorithm, MODEL, data, 0), data)
    clients = simulated(algorithm, MODEL, data)
    constants = {WEIGHT: 1.0, COUNT: 1.0, CLIENTS: 30.0}
    noise = _noise("central", norm=2.0, multiplier=0.2, clients=30, constants=constants)
    clients.chain, clients.secret = _chain(noise), SEEDED
    state = trained(algorithm, MODEL, data, 15, clients=clients)
    assert not clients.tracebacks
    assert mean_loss(MODEL, state, data) < 0.8 * before


# -- adaptive clipping ----------------------------------------------------------------------------


def _adaptive(first: float, quantile: float, clients: int = 30) -> AdaptiveClip:
    return AdaptiveClip(algorithm=EQUAL, clients=clients, first=first, quantile=quantile, rate=0.5)


def _lengths(state: State, data: list[Any]) -> np.ndarray:
    clients = simulated(EQUAL, MODEL, data)
    sent = EQUAL.message(state)
    return np.array(
        [
            np.linalg.norm(
                clients._train(Task(i, 99, sent), np.random.default_rng(0))[0].vectors[CHANGE]
            )
            for i in range(len(data))
        ]
    )


@pytest.mark.parametrize("first", [0.02, 3.0])
@pytest.mark.parametrize("quantile", [0.25, 0.75])
def test_the_clip_length_finds_its_quantile(first: float, quantile: float) -> None:
    data = blobs(30, 600, 5.0)
    algorithm = _adaptive(first, quantile)
    clients = simulated(algorithm, MODEL, data)
    noise = _noise("central", multiplier=0.3, clients=30, measured=(BELOW,))
    clients.chain, clients.secret = _chain(noise), SEEDED
    state = trained(algorithm, MODEL, data, 50, clients=clients)
    assert not clients.tracebacks
    share = (_lengths(state, data) <= state.vectors[LENGTH][0]).mean()
    assert share == pytest.approx(quantile, abs=0.2)


def test_the_count_is_charged_with_the_update() -> None:
    """Update and count have a norm of at most 1 together, which is what the noise is for."""
    algorithm, data = _adaptive(0.01, 0.5, 4), blobs(4, 80, 5.0)
    clients = simulated(algorithm, MODEL, data)
    message = algorithm.message(algorithm.start(np.zeros(MODEL.layout.size)))
    for number in range(4):
        update, *_ = clients._train(Task(number, 0, message), np.random.default_rng(0))
        vector = update.vectors[CHANGE].astype(float)
        joint = np.dot(vector, vector) + update.numbers[BELOW] ** 2
        assert joint <= 1 + 1e-6
        assert update.numbers[BELOW] == -algorithm.weight / 2
        # Without the count among what is measured, it would leave without noise.
        with pytest.raises(AtollError, match="ATL-HOR-071"):
            _noise("central").client(update, _passage())


def test_without_clipping_an_adaptive_mean_is_the_plain_one() -> None:
    data = blobs(10, 200, 5.0)
    plain = trained(EQUAL, MODEL, data, 3)
    adaptive = trained(_adaptive(1e6, 0.5, 10), MODEL, data, 3)
    assert np.allclose(adaptive.weights, plain.weights, atol=1e-5)
    assert adaptive.vectors[LENGTH][0] < 1e6

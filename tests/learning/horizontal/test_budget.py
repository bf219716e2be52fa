"""Both ε in the metrics, an end before the budget, and no amplification that is not there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.budget import AGGREGATOR, DELTA, READERS, Budget
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.noise import (
    CentralNoise,
    DistributedNoise,
    LocalNoise,
    Noise,
)
from atoll.learning.horizontal.training import Round, Training
from atoll.privacy.accounting.api import Relation, Release, Sampling
from atoll.privacy.accounting.bounds import guarantee
from tests.learning.horizontal.tasks import PUBLIC, blobs, simulated

ALGORITHM = FedAvg(weighting="equal", local=LocalTraining(steps=1))
MODEL = Linear(12, Softmax(5))
CENTRAL = CentralNoise(norm=1.0, multiplier=2.0, clients=100)
SHARES = DistributedNoise(norm=1.0, multiplier=2.0, clients=100, honest=60)
LOCAL = LocalNoise(norm=1.0, multiplier=2.0, clients=100)


def _training(method: str = "poisson", secret: bool = True, rounds: int = 30) -> Training:
    participation = Participation(method=method, count=100)  # type: ignore[arg-type]
    return Training(ALGORITHM, participation, rounds, secret=SecretRandom() if secret else None)


def _budget(noise: Noise = CENTRAL, training: Training | None = None, **more: Any) -> Budget:
    return Budget(noise, training or _training(), 2000, 1e-6, **more)


def test_each_rounds_metrics_hold_both_and_the_run_ends_in_time() -> None:
    training = Training(ALGORITHM, Participation(method="all"), 50)
    noise = LocalNoise(norm=1.0, multiplier=4.0, clients=6)
    budget = Budget(noise, training, 6, 1e-5, readers=3.0, aggregator=3.0)
    data, seen = blobs(6, 120, 3.0), list[Round]()
    clients = simulated(ALGORITHM, MODEL, data)
    clients.chain = Chain((Clip(norm=1.0), noise))
    start = ALGORITHM.start(np.zeros(MODEL.layout.size))
    state = training.run(start, clients, PUBLIC, (budget, seen.append))
    assert 1 < state.round == budget.rounds == len(seen) < 50
    for at, done in enumerate(seen, start=1):
        exact = guarantee(Release(4.0), at, 1e-5, Relation.ADD_OR_REMOVE).epsilon
        assert done.metrics[READERS] == pytest.approx(exact, rel=1e-6)
        assert done.metrics[AGGREGATOR] == done.metrics[READERS]
        assert done.metrics[DELTA] == 1e-5
    assert seen[-1].metrics[READERS] <= 3.0
    assert budget.spent(budget.rounds + 1).readers.epsilon > 3.0
    # From this checkpoint on, no round is left.
    assert budget.limit().run(state, clients, PUBLIC, (budget,)) is state


@pytest.mark.parametrize("relation", list(Relation))
def test_sampling_amplifies_against_readers_only_and_only_in_secret(relation: Relation) -> None:
    for method, noise in (("poisson", CENTRAL), ("uniform", SHARES)):
        secret = _budget(noise, _training(method), relation=relation).spent(30)
        seen = _budget(noise, _training(method, secret=False), relation=relation).spent(30)
        plain = guarantee(noise.readers(Sampling()), 30, 1e-6, relation).epsilon
        assert seen.readers.epsilon == pytest.approx(plain)
        if (method, relation) != ("uniform", Relation.ADD_OR_REMOVE):
            assert secret.readers.epsilon < 0.5 * plain
        if noise is SHARES:
            assert secret.aggregator is not None
            assert secret.aggregator.epsilon == pytest.approx(plain)
        else:
            assert secret.aggregator is None


def test_rounds_that_may_be_empty_are_no_private_rounds() -> None:
    few = Training(ALGORITHM, Participation(method="poisson", count=3), 5, secret=SecretRandom())
    assert math.isinf(Budget(CENTRAL, few, 2000, 1e-6).spent(5).readers.epsilon)
    many = _budget().spent(5).readers
    assert 0 < many.epsilon < 1
    assert many.delta == 1e-6


def test_a_budget_that_no_round_fits_is_refused() -> None:
    with pytest.raises(UserError, match="ATL-HOR-073"):
        _budget(readers=1e-3)
    with pytest.raises(UserError, match="ATL-HOR-073"):
        _budget(aggregator=5.0)
    assert _budget(SHARES, aggregator=5.0).rounds < 30


def test_other_participation_has_no_bound() -> None:
    chosen = Participation.model_construct(method="oort", count=10)
    with pytest.raises(UserError, match="ATL-PRV-013"):
        _budget(training=Training(ALGORITHM, chosen, 5, secret=SecretRandom()))


def test_secret_participation_does_not_follow_the_public_seed() -> None:
    drawn = list[int]()
    data = blobs(200, 400, 3.0)
    for training in (_training("poisson", rounds=1) for _ in range(8)):
        clients = simulated(ALGORITHM, MODEL, data)
        start = ALGORITHM.start(np.zeros(MODEL.layout.size))
        training.run(start, clients, PUBLIC, (lambda done: drawn.append(done.chosen),))
    # All equal with a chance below 10^-8.
    assert len(set(drawn)) > 1

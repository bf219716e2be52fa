"""What privacy costs in accuracy: one digit at each of many clients, by who adds noise and ε."""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np

from atoll.audit.utility.task import Curve, Size, accuracy, public, table
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.budget import Budget
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.api import Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.postprocess.noise import (
    CentralNoise,
    DistributedNoise,
    LocalNoise,
    Noise,
)
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Training
from atoll.privacy.accounting.api import Relation, Release, Sampling
from atoll.privacy.accounting.calibrate import multiplier_for

Kind = Literal["central", "distributed", "local"]
KINDS: tuple[Kind, ...] = ("central", "distributed", "local")
CLIENTS, COUNT, HONEST, ROUNDS, NORM, DELTA = 1200, 200, 160, 20, 3.0, 1e-5
# Deviations of a client's noise beyond which a draw would not fit its mask.
_TAIL = 20
MODEL = Linear(64, Softmax(10))
ALGORITHM = FedAvg(
    weighting="equal", local=LocalTraining(steps=1, batch_size=None, learning_rate=6.0)
)


def measure(
    epsilon: float | None, noise: Kind = "central", seed: int = 1, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Train with noise for ``epsilon`` and return both ε and the accuracy on held-out rows.

    ``epsilon`` is of central noise against readers of the model, as clients are drawn in secret; of
    the others against the aggregator. None is without noise, but clipped. The relation is
    add-or-remove one client; noise is drawn from the operating system.
    """
    whole = table(seed)
    drawn = noise == "central"
    training = Training(
        ALGORITHM,
        Participation(method="poisson" if drawn else "uniform", count=COUNT),
        rounds,
        secret=SecretRandom() if drawn else None,
    )
    line: dict[str, Any] = {"noise": noise if epsilon else "none", "epsilon": epsilon}
    links: tuple[Postprocessor, ...] = ()
    if epsilon is not None:
        link = _noise(epsilon, noise, rounds)
        links = (link, *_mask(link))
        spent = Budget(link, training, CLIENTS, DELTA).spent(rounds)
        seen = spent.aggregator
        line["multiplier"] = round(link.multiplier, 3)
        line["epsilon_readers"] = round(spent.readers.epsilon, 3)
        line["epsilon_aggregator"] = None if seen is None else round(seen.epsilon, 3)
    clients = SimulatedClients(
        ALGORITHM,
        MODEL,
        CLIENTS,
        lambda i: ClientRows(whole.rows[i : i + 1], whole.targets[i : i + 1]),
        public(seed),
        chain=Chain((Clip(norm=NORM), *links)),
    )
    start = ALGORITHM.start(MODEL.initial(np.random.default_rng(seed)))
    weights = training.run(start, clients, public(seed)).weights
    held = ClientRows(whole.rows[CLIENTS:], whole.targets[CLIENTS:])
    return {**line, "accuracy": accuracy(MODEL, weights, held)}


def curves(size: Size) -> list[Curve]:
    """Measure each kind at each ε, and training without noise."""
    plain = [measure(None, seed=seed, rounds=size.noisy_rounds)["accuracy"] for seed in size.seeds]
    level = np.repeat(np.array(plain)[:, np.newaxis], len(size.epsilons), axis=1)
    without = Curve("without noise", np.array(size.epsilons), level)
    return [*(_curve(kind, size) for kind in KINDS), without]


def _curve(kind: Kind, size: Size) -> Curve:
    runs = [
        [measure(epsilon, kind, seed, size.noisy_rounds) for epsilon in size.epsilons]
        for seed in size.seeds
    ]
    found = np.array([[run["accuracy"] for run in line] for line in runs])
    names = ("multiplier", "epsilon_readers", "epsilon_aggregator")
    facts = {name: [run[name] for run in runs[0]] for name in names}
    return Curve(kind, np.array(size.epsilons), found, facts)


def _noise(epsilon: float, noise: Kind, rounds: int) -> Noise:
    needed = _multiplier(epsilon, noise == "central", rounds)
    if noise == "distributed":
        return DistributedNoise(norm=NORM, multiplier=needed, clients=COUNT, honest=HONEST)
    kind = CentralNoise if noise == "central" else LocalNoise
    return kind(norm=NORM, multiplier=needed, clients=COUNT)


@functools.cache
def _multiplier(epsilon: float, drawn: bool, rounds: int) -> float:
    # Draws in secret amplify; where clients bring the noise nothing is claimed of them.
    sampling = Sampling("poisson", COUNT, CLIENTS) if drawn else Sampling()
    release = Release(1.0, sampling)
    # The grid takes away a millionth.
    return multiplier_for(epsilon, DELTA, rounds, release, Relation.ADD_OR_REMOVE) * (1 + 1e-5)


def _mask(link: Noise) -> tuple[Postprocessor, ...]:
    if not isinstance(link, DistributedNoise):
        return ()
    unit = 2.0**-link.places
    bound = NORM + _TAIL * link.units_each * unit
    return (Mask(bound=bound, clients=COUNT, ring=64, unit=unit),)

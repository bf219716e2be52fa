"""What privacy costs in accuracy: one digit at each of many clients, by trust model and ε.

``python -m atoll.audit.utility`` prints the figures as one JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from atoll.audit.inversion import digits
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.budget import Budget
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.noise import CentralNoise, LocalNoise, Noise
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Training
from atoll.privacy.accounting.api import Relation, Release, Sampling
from atoll.privacy.accounting.calibrate import multiplier_for

CLIENTS, COUNT, ROUNDS, NORM, DELTA = 1200, 300, 40, 0.5, 1e-5
MODEL = Linear(64, Softmax(10))
ALGORITHM = FedAvg(
    weighting="equal", local=LocalTraining(steps=1, batch_size=None, learning_rate=2.0)
)


def measure(epsilon: float | None, noise: str = "central", rounds: int = ROUNDS) -> dict[str, Any]:
    """Train with noise for ``epsilon`` against readers (central) or the aggregator (local).

    None is without noise, but clipped. The relation is add-or-remove one client.
    """
    whole = digits(CLIENTS + 500)
    whole = ClientRows(whole.rows.astype(np.float32), whole.targets)
    public = PublicRandom(b"utility of noise" * 2, fixed=True)
    chosen = Participation(method="poisson", count=COUNT)
    training = Training(ALGORITHM, chosen, rounds, secret=SecretRandom())
    line: dict[str, Any] = {"noise": noise if epsilon else "none", "epsilon": epsilon}
    links: tuple[Noise, ...] = ()
    if epsilon is not None:
        links = (_noise(epsilon, noise, rounds),)
        spent = Budget(links[0], training, CLIENTS, DELTA).spent(rounds)
        line["multiplier"] = round(links[0].multiplier, 3)
        line["epsilon_readers"] = round(spent.readers.epsilon, 3)
        seen = spent.aggregator
        line["epsilon_aggregator"] = None if seen is None else round(seen.epsilon, 3)
    clients = SimulatedClients(
        ALGORITHM,
        MODEL,
        CLIENTS,
        lambda i: ClientRows(whole.rows[i : i + 1], whole.targets[i : i + 1]),
        public,
        chain=Chain((Clip(norm=NORM), *links)),
    )
    start = ALGORITHM.start(MODEL.initial(np.random.default_rng(0)))
    weights = training.run(start, clients, public).weights
    guessed = MODEL.predict(weights, whole.rows[CLIENTS:]).argmax(axis=1)
    line["accuracy"] = round(float((guessed == whole.targets[CLIENTS:]).mean()), 3)
    return line


def _noise(epsilon: float, noise: str, rounds: int) -> Noise:
    sampling = Sampling("poisson", COUNT, CLIENTS) if noise == "central" else Sampling()
    # The grid takes away a millionth.
    release = Release(1.0, sampling)
    needed = multiplier_for(epsilon, DELTA, rounds, release, Relation.ADD_OR_REMOVE) * (1 + 1e-5)
    kind = CentralNoise if noise == "central" else LocalNoise
    return kind(norm=NORM, multiplier=needed, clients=COUNT)


def figures() -> list[dict[str, Any]]:
    """Measure without noise, and both kinds at several ε."""
    lines = [measure(None)]
    return lines + [measure(e, n) for n in ("central", "local") for e in (10.0, 3.0, 1.0)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(), indent=1) + "\n")

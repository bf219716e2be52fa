"""What bytes are worth in accuracy: compressed updates of owners, round by round."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atoll.audit.utility.task import Curve, Floats, Size, accuracy, owners, public
from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.api import Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.postprocess.power_sgd import PowerSGD
from atoll.learning.horizontal.postprocess.rotate import Rotate
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.traffic import CountedClients
from atoll.learning.horizontal.training import Round, Training

CLIENTS = 20
MODEL = MLP(64, (64,), Softmax(10))
TRAIN = FedAvg(local=LocalTraining(learning_rate=0.2, batch_size=10), weighting="equal")
WAYS: Mapping[str, tuple[Algorithm, tuple[Postprocessor, ...]]] = {
    "no compression": (TRAIN, ()),
    "quantised, 8 bits": (TRAIN, (Quantise(width=8),)),
    "quantised, 4 bits": (TRAIN, (Quantise(width=4),)),
    "quantised, 1 bit": (TRAIN, (Quantise(width=1),)),
    "random-k, a tenth": (TRAIN, (RandomK(share=0.1),)),
    "top-k, a hundredth": (TRAIN, (TopK(share=0.01),)),
    "rotated, 1 bit": (TRAIN, (Rotate(), Quantise(width=1))),
    "PowerSGD, rank 4": (PowerSGD(algorithm=TRAIN, arrays=MODEL.layout.arrays, rank=4), ()),
}


def curves(size: Size) -> list[Curve]:
    """Measure each way; ``x`` are the bytes that one client has sent after each round."""
    found = []
    for name, (algorithm, links) in WAYS.items():
        runs = [train(algorithm, links, seed, size.rounds) for seed in size.seeds]
        # What one round takes may differ a little by seed.
        sent = np.mean([sent for sent, _ in runs], axis=0)
        found.append(Curve(name, sent, np.array([scores for _, scores in runs])))
    return found


def train(
    algorithm: Algorithm, links: tuple[Postprocessor, ...], seed: int, rounds: int
) -> tuple[Floats, Floats]:
    """Return bytes of messages that a client has sent after each round, and the accuracy then.

    All owners take part in each round. Both are float64[rounds].
    """
    data, held = owners(seed, CLIENTS)
    simulated = SimulatedClients(
        algorithm, MODEL, CLIENTS, data.__getitem__, public(seed), chain=Chain(links)
    )
    counted = CountedClients(simulated)
    points: list[tuple[float, float]] = []

    def look(done: Round) -> None:
        weights = algorithm.personal(algorithm.message(done.state), {})
        points.append((counted.up / CLIENTS, accuracy(MODEL, weights, held)))

    start = algorithm.start(MODEL.initial(np.random.default_rng(seed)))
    training = Training(algorithm, Participation(method="all"), rounds)
    training.run(start, counted, public(seed), (look,))
    sent, scores = np.array(points).T
    return sent, scores

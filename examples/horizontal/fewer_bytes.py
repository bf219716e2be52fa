"""Fewer bytes both ways: rotation and 4-bit values up, 4-bit differences down; PowerSGD."""

from __future__ import annotations

import numpy as np
from common import Claim, Example, digits, halves, main, public

from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.api import Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK
from atoll.learning.horizontal.postprocess.down_link import DownLink
from atoll.learning.horizontal.postprocess.power_sgd import PowerSGD
from atoll.learning.horizontal.postprocess.rotate import Rotate
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.traffic import CountedClients
from atoll.learning.horizontal.training import Training

TRAIN = FedAvg(local=LocalTraining(learning_rate=0.2, batch_size=10), weighting="equal")
MODEL = MLP(64, (64,), Softmax(10))
CLIENTS, ROUNDS = 20, 40
BITS = Quantise(width=4)


def of(algorithm: Algorithm, seed: int, *links: Postprocessor) -> tuple[float, float, float]:
    """Return accuracy on held-out rows, and the bytes of a client and round, up and down."""
    data, held_out = halves(digits(seed, CLIENTS, classes=5))
    clients = SimulatedClients(
        algorithm, MODEL, CLIENTS, data.__getitem__, public(seed), chain=Chain(links)
    )
    counted = CountedClients(clients)
    start = algorithm.start(MODEL.initial(np.random.default_rng(seed)))
    training = Training(algorithm, Participation(method="all"), ROUNDS)
    state = training.run(start, counted, public(seed))
    weights = algorithm.personal(algorithm.message(state), {})
    found = [MODEL.predict(weights, p.rows).argmax(axis=1) == p.targets for p in held_out]
    turns = CLIENTS * ROUNDS
    return float(np.concatenate(found).mean()), counted.up / turns, counted.down / turns


def run(seed: int) -> Claim:
    """Compare with whole updates."""
    whole, up, down = of(TRAIN, seed)
    tenth, few, _ = of(TRAIN, seed, RandomK(share=0.1))
    both, less, least = of(DownLink(algorithm=TRAIN, coder=BITS), seed, Rotate(), BITS)
    low, rank, _ = of(PowerSGD(algorithm=TRAIN, arrays=MODEL.layout.arrays, rank=4), seed)
    figures = {
        "whole": whole,
        "a tenth of the values up": tenth,
        "4 bits both ways": both,
        "PowerSGD of rank 4 up": low,
        "whole bytes both ways": up + down,
        "4 bits": less + least,
        "a tenth, up": few,
        "PowerSGD, up": rank,
    }
    return Claim(figures, min(tenth, both, low) > whole - 0.03 and less + least < (up + down) / 5)


COMPRESSION = Example(
    "A tenth of the values, 4 bits both ways, or rank 4 cost hardly any accuracy",
    "Konečný et al. 2016, Vogels et al. 2019",
    "accuracy on held-out rows; bytes of a client and round",
    run,
)

if __name__ == "__main__":
    main(COMPRESSION)

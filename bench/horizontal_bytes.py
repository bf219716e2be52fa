"""Bytes and accuracy of compressed training: real digits of 20 owners, three seeds.

Each line is one way to compress; ``up`` and ``down`` are the bytes of messages of one client and
round (under masks those of the ring elements), ``accuracy`` is on rows that no client holds, after
40 rounds, ``least`` that of the worst seed. Alone: ``python -m bench.horizontal_bytes``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from atoll.core.random import PublicRandom
from atoll.learning.horizontal import partition
from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.api import Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.postprocess.down_link import DownLink
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.postprocess.power_sgd import PowerSGD
from atoll.learning.horizontal.postprocess.rotate import Rotate
from atoll.learning.horizontal.postprocess.shared_scale import SharedScale
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.traffic import CountedClients
from atoll.learning.horizontal.training import Training
from bench.harness import complete
from bench.histogram import timed

CLIENTS, ROUNDS, SEEDS, NORM = 20, 40, 3, 1.5
MODEL = MLP(64, (64,), Softmax(10))
LOCAL = LocalTraining(learning_rate=0.2, batch_size=10)
TRAIN = FedAvg(local=LOCAL, weighting="equal")


@dataclass(frozen=True)
class Way:
    """One way to compress: an algorithm and the links of its chain."""

    name: str
    links: tuple[Postprocessor, ...] = ()
    algorithm: Algorithm = TRAIN


def ways() -> Iterator[Way]:
    """Yield what is compared."""
    clip, size = Clip(norm=NORM), MODEL.layout.size
    yield Way("none")
    yield Way("clip", (clip,))
    for share in (0.25, 0.1):
        yield Way(f"random-k {share}", (RandomK(share=share),))
    for share in (0.1, 0.01):
        yield Way(f"top-k {share}", (TopK(share=share),))
    for width in (8, 4, 1):
        yield Way(f"quantised {width}", (Quantise(width=width),))
        rotated = (Rotate(), Quantise(width=width))
        yield Way(f"rotated {width}", rotated)
    yield Way("signs with feedback", (Quantise(width=1, rounding="nearest", feedback=True),))
    yield Way("masked", (clip, Mask(bound=NORM, clients=CLIENTS)))
    few: tuple[Literal[8, 4], ...] = (8, 4)
    for width in few:
        reach = Rotate().reach(NORM, size)
        shared = SharedScale(width=width, reach=reach, clients=CLIENTS)
        yield Way(f"masked rotated {width}", (clip, Rotate(), shared, shared.mask()))
    for rank in (4, 2, 1):
        power = PowerSGD(algorithm=TRAIN, arrays=MODEL.layout.arrays, rank=rank)
        yield Way(f"rank {rank}", (), power)
    for coder in (Quantise(width=4), Quantise(width=2), TopK(share=0.1, feedback=False)):
        name = f"down {coder.width}" if isinstance(coder, Quantise) else "down top-k 0.1"
        yield Way(name, (), DownLink(algorithm=TRAIN, coder=coder))
    both = DownLink(algorithm=TRAIN, coder=Quantise(width=4))
    yield Way("both ways 4", (Rotate(), Quantise(width=4)), both)


def compression() -> Iterator[dict[str, Any]]:
    """Yield horizontal.compression, a line for each way."""
    for way in ways():
        found, seconds = timed(partial(_seeds, way))
        params = {"way": way.name, "clients": CLIENTS, "rounds": ROUNDS, "seeds": SEEDS}
        yield {"name": "horizontal.compression", "params": params, **seconds, **found}


def _seeds(way: Way) -> dict[str, float]:
    scores, turns = [], SEEDS * ROUNDS * CLIENTS
    down = up = 0
    for seed in range(SEEDS):
        score, counted = _train(way, seed)
        scores.append(score)
        down, up = down + counted.down, up + counted.up
    mean = float(np.mean(scores))
    return {"accuracy": mean, "least": min(scores), "up": up / turns, "down": down / turns}


def _train(way: Way, seed: int) -> tuple[float, CountedClients]:
    data, (rows, labels) = _digits(seed)
    public = PublicRandom(bytes([seed]) * 32, fixed=True)
    clients = SimulatedClients(
        way.algorithm, MODEL, CLIENTS, data.__getitem__, public, chain=Chain(way.links)
    )
    counted = CountedClients(clients)
    start = way.algorithm.start(MODEL.initial(np.random.default_rng(seed)))
    training = Training(way.algorithm, Participation(method="all"), ROUNDS)
    state = training.run(start, counted, public)
    weights = way.algorithm.personal(way.algorithm.message(state), {})
    return float((MODEL.predict(weights, rows).argmax(axis=1) == labels).mean()), counted


def _digits(seed: int) -> tuple[list[ClientRows], tuple[Any, Any]]:
    from sklearn.datasets import load_digits

    rows, labels = load_digits(return_X_y=True)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rows))
    rows, labels = (rows[order] / 16).astype(np.float32), labels[order]
    parts = partition.dirichlet(labels[:1400], CLIENTS, 0.5, generator)
    data = [ClientRows(rows[:1400][part], labels[:1400][part]) for part in parts]
    return data, (rows[1400:], labels[1400:])


if __name__ == "__main__":
    for line in compression():
        print(json.dumps(complete(line)))

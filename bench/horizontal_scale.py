"""What registered clients cost that take no part: rounds of 100 out of 10^3 and 10^6 clients.

``horizontal.registered_1e3`` and ``_1e6`` are seconds of one round of the same clients' work (rows
drawn by the client's number, softmax of 20 columns); ``ratio`` is the second over the first, in
processor time. ``horizontal.first_round`` runs from the start of a fresh interpreter until the
first round of 10^6 clients has ended.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from atoll.core.random import PublicRandom
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.synthetic import Clusters
from atoll.learning.horizontal.training import Training

FEW, MANY, ROUND, COLUMNS, CLASSES = 1_000, 1_000_000, 100, 20, 10
ROUNDS, TURNS, STARTS = 5, 5, 3


def train(registered: int, rounds: int) -> None:
    """Train for so many rounds of 100 clients out of those registered."""
    public = PublicRandom(bytes(32), fixed=True)
    algorithm, model = FedAvg(), Linear(COLUMNS, Softmax(CLASSES))
    data = Clusters(public, CLASSES, COLUMNS)
    clients = SimulatedClients(algorithm, model, registered, data, public)
    state = algorithm.start(model.initial(np.random.default_rng(0)).astype(np.float64))
    Training(algorithm, Participation(count=ROUND), rounds).run(state, clients, public)


def scale() -> Iterator[dict[str, Any]]:
    """Yield horizontal.registered_1e3, ._1e6 and .first_round."""
    # What starts by itself below is not to load more than a training does.
    from bench.histogram import timed

    times: dict[int, list[dict[str, float]]] = {FEW: [], MANY: []}
    for _ in range(TURNS):
        for registered, taken in times.items():
            _, seconds = timed(partial(train, registered, ROUNDS))
            taken.append({key: value / ROUNDS for key, value in seconds.items()})
    few, many = (min(taken, key=lambda each: each["cpu_seconds"]) for taken in times.values())
    params = {"a_round": ROUND}
    yield {"name": "horizontal.registered_1e3", "params": {"clients": FEW, **params}, **few}
    ratio = many["cpu_seconds"] / few["cpu_seconds"]
    line = {"name": "horizontal.registered_1e6", "params": {"clients": MANY, **params}, **many}
    yield line | {"ratio": ratio}
    starts = sorted(_start() for _ in range(STARTS))
    wall, spent = starts[STARTS // 2]
    params = {"clients": MANY, "a_round": ROUND, "starts": STARTS}
    line = {"name": "horizontal.first_round", "params": params}
    yield line | {"seconds": wall, "cpu_seconds": spent}


def _start() -> tuple[float, float]:
    """Return wall and processor seconds of a fresh process that trains one round."""
    spent, start = _children(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "bench.horizontal_scale"], check=True)
    return time.perf_counter() - start, _children() - spent


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    train(MANY, 1)

"""Horizontal rounds in one process, the mean of large updates, the masked sum, many clients.

``mlp`` and ``logistic``: 1000 clients of 100 rows and 784 columns, ten classes, Dirichlet 0.5; 100
clients a round, batches of 20, one epoch; seconds of one round. Each has a ``.reference``: the same
written by hand in NumPy; with ``--peer flwr`` or ``pfl`` the peer is installed in an environment of
its own and measured, too. ``aggregate`` adds updates; its reference reads them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from atoll.core.random import PublicRandom
from atoll.learning.horizontal import partition
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.sums import Update, total
from atoll.learning.horizontal.training import Training
from bench.harness import Options
from bench.histogram import timed
from bench.horizontal_bytes import compression
from bench.horizontal_scale import scale
from bench.horizontal_trees import boosting
from bench.masked_sum import masked_sum
from bench.peers import environment

CLIENTS, ROUND, ROWS, COLUMNS, CLASSES, BATCH, RATE = 1000, 100, 100_000, 784, 10, 20, 0.1
ROUNDS, TURNS = 5, 3
UPDATES, VALUES = 100, 10_000_000
Weights = list[np.ndarray]


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield horizontal.logistic, .mlp, .aggregate, .secure_sum, .boosting, .compression, and those
    of ``scale``.
    """
    data = _clients(options.rows or ROWS)
    models: dict[str, Model] = {
        "logistic": Linear(COLUMNS, Softmax(CLASSES)),
        "mlp": MLP(COLUMNS, (200,), Softmax(CLASSES)),
    }
    for name, model in models.items():
        params = {"clients": CLIENTS, "a_round": ROUND, "rows": options.rows or ROWS}
        ours, hand = _fastest(partial(_train, model, data), partial(_by_hand, model, data))
        yield {"name": f"horizontal.{name}", "params": params, **ours}
        yield {"name": f"horizontal.{name}.reference", "params": params, **hand}
        if options.peer is not None:
            yield _beside(options.peer, name, data, ours, params)
    yield from _aggregated()
    yield from masked_sum()
    yield from boosting(options)
    yield from compression()
    yield from scale()


def _beside(
    peer: str, name: str, data: list[ClientRows], ours: dict[str, float], params: dict[str, int]
) -> dict[str, Any]:
    """Measure a peer on the same rows; ``ratio`` is its processor time over ours."""
    rows = np.concatenate([part.rows for part in data])
    labels = np.concatenate([part.targets for part in data])
    ends = np.cumsum([len(part) for part in data])
    theirs = environment.rounds(peer, name, rows, labels, ends, 1 + ROUNDS)
    ratio = theirs["cpu_seconds"] / ours["cpu_seconds"]
    packages = " ".join(environment.PACKAGES[peer])
    named = {"name": f"horizontal.{name}.{peer}", "params": {**params, "packages": packages}}
    return {**named, **theirs, "ratio": ratio}


def _fastest(*works: Callable[[], Any]) -> list[dict[str, float]]:
    """Return each work's least seconds of a round over some turns, taken in turns."""
    times: list[list[dict[str, float]]] = [[] for _ in works]
    with threadpool_limits(1):
        for _ in range(TURNS):
            for work, kept in zip(works, times, strict=True):
                kept.append(timed(work)[1])
    least = [min(kept, key=lambda each: each["cpu_seconds"]) for kept in times]
    return [{key: value / ROUNDS for key, value in each.items()} for each in least]


def _clients(rows: int) -> list[ClientRows]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, rows)
    centres = generator.normal(size=(CLASSES, COLUMNS)) * 0.12
    values = (centres[labels] + generator.normal(size=(rows, COLUMNS))).astype(np.float32)
    parts = partition.dirichlet(labels, CLIENTS, 0.5, generator)
    return [ClientRows(values[part], labels[part]) for part in parts]


def _train(model: Model, data: list[ClientRows]) -> None:
    public = PublicRandom(bytes(32), fixed=True)
    algorithm = FedAvg(local=LocalTraining(learning_rate=RATE, batch_size=BATCH))
    clients = SimulatedClients(algorithm, model, CLIENTS, data.__getitem__, public)
    state = algorithm.start(model.initial(np.random.default_rng(0)))
    Training(algorithm, Participation(count=ROUND), ROUNDS).run(state, clients, public)


def _by_hand(model: Model, data: list[ClientRows]) -> None:
    generator = np.random.default_rng(1)
    weights = [np.array(v) for v in model.layout.views(model.initial(generator)).values()]
    for _ in range(ROUNDS):
        added, rows = [np.zeros_like(w) for w in weights], 0
        for client in np.sort(generator.permutation(CLIENTS)[:ROUND]):
            own = [w.copy() for w in weights]
            _local(own, data[client], generator)
            for sum_, new, old in zip(added, own, weights, strict=True):
                sum_ += len(data[client]) * (new - old)
            rows += len(data[client])
        for weight, sum_ in zip(weights, added, strict=True):
            weight += sum_ / rows


def _local(own: Weights, client: ClientRows, generator: np.random.Generator) -> None:
    order = generator.permutation(len(client))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        x, y, count = client.rows[chosen], client.targets[chosen], len(chosen)
        hidden = np.maximum(x @ own[0] + own[1], 0) if len(own) == 4 else x
        z = hidden @ own[-2] + own[-1]
        z -= z.max(axis=1, keepdims=True)
        error = np.exp(z)
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(count), y] -= 1
        error /= count
        below = (error @ own[2].T) * (hidden > 0) if len(own) == 4 else None
        own[-2] -= RATE * (hidden.T @ error)
        own[-1] -= RATE * error.sum(axis=0)
        if below is not None:
            own[0] -= RATE * (x.T @ below)
            own[1] -= RATE * below.sum(axis=0)


def _aggregated() -> Iterator[dict[str, Any]]:
    generator = np.random.default_rng(0)
    # Ten distinct updates ten times each, as the peers were measured.
    distinct = [generator.random(VALUES, dtype=np.float32) for _ in range(10)]
    updates = [Update({"change": v}, {"weight": 1.0}) for v in distinct * (UPDATES // 10)]
    params = {"updates": UPDATES, "values": VALUES}
    total(updates[:2])
    _, ours = timed(lambda: total(updates))
    rate = 4 * UPDATES * VALUES / ours["seconds"]
    yield {"name": "horizontal.aggregate", "params": params, **ours, "rate": rate}
    _, floor = timed(lambda: [float(u.vectors["change"].max()) for u in updates])
    rate = 4 * UPDATES * VALUES / floor["seconds"]
    yield {"name": "horizontal.aggregate.reference", "params": params, **floor, "rate": rate}

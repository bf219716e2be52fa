"""q-FedAvg: a common model that also serves a minority of clients, whose labels follow other rules.

On Synthetic(1, 1) only the variance of the losses falls (0.5 to 0.1), not that of accuracy.
"""

from __future__ import annotations

import numpy as np
from common import Claim, Example, main, simulated, trained

from atoll.learning.horizontal.algorithms.qfedavg import QFedAvg
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.metrics import Spread, measure_clients
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax

LOCAL = LocalTraining(epochs=1, batch_size=20, learning_rate=0.2)
MODEL = Linear(20, Softmax(2), l2=1e-3)
CLIENTS, ROWS, ROUNDS = 50, 100, 100


def task(seed: int) -> list[ClientRows]:
    """Return clients with two classes; every fifth has another rule than the others."""
    generator = np.random.default_rng(seed)
    rules = generator.normal(size=(2, 20))
    clients = []
    for number in range(CLIENTS):
        rows = generator.normal(size=(ROWS, 20))
        scores = rows @ rules[int(number % 5 == 0)] + generator.normal(0, 0.5, ROWS)
        clients.append(ClientRows(rows, (scores > 0).astype(np.int64)))
    return clients


def spread(q: float, seed: int) -> Spread:
    """Return how accuracy spreads over the clients."""
    data = task(seed)
    state = trained(simulated(QFedAvg(local=LOCAL, q=q), MODEL, data, seed), seed, ROUNDS)
    found = measure_clients(MODEL, lambda _: state.weights, data.__getitem__, range(CLIENTS))
    return found.spread("accuracy")


def run(seed: int) -> Claim:
    """Compare q = 0, the plain mean, with q = 1 and 5."""
    plain, even, more = spread(0.0, seed), spread(1.0, seed), spread(5.0, seed)
    figures = {
        "variance at q = 0": plain.variance,
        "at 1": even.variance,
        "at 5": more.variance,
        "worst tenth at q = 0": plain.worst,
        "at q = 5": more.worst,
        "mean at q = 0": plain.even_mean,
        "mean at q = 5": more.even_mean,
    }
    return Claim(figures, more.variance < even.variance < plain.variance)


QFEDAVG = Example(
    "q-FedAvg lowers the variance over clients",
    "Li et al. 2020",
    "accuracy over clients",
    run,
)

if __name__ == "__main__":
    main(QFEDAVG)

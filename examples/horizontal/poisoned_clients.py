"""A fifth of the clients send poisoned updates: robust rules train on, the mean does not."""

from __future__ import annotations

import numpy as np
from common import Claim, Example, digits, loss, main, simulated, trained

from atoll.learning.horizontal.algorithm import ClientResult, ClientWork
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.robust import Krum, Median, Rule, TrimmedMean
from atoll.learning.horizontal.sums import Update

LOCAL = LocalTraining(epochs=2, batch_size=20, learning_rate=0.1)
MODEL = Linear(64, Softmax(10))
CLIENTS, LIARS, ROUNDS = 20, 4, 15


class Poisoned(FedAvg):
    """FedAvg whose clients hand in 20 times the opposite where their rows are marked."""

    def client(self, work: ClientWork) -> ClientResult:
        """Return the update, turned round at a liar."""
        result = super().client(work)
        if len(work.data) and work.data.rows[0, 0] >= 0:
            return result
        turned = {name: -20 * vector for name, vector in result.update.vectors.items()}
        return ClientResult(Update(turned, result.update.numbers), result.kept)


def after(rule: Rule | None, liars: int, seed: int) -> float:
    """Return the loss over the honest clients' rows."""
    data = digits(seed, CLIENTS, classes=6)
    for part in data[:liars]:
        part.rows[0, 0] = -1
    clients = simulated(Poisoned(local=LOCAL), MODEL, data, seed)
    clients.rule = rule
    with np.errstate(over="ignore", invalid="ignore"):
        return loss(MODEL, trained(clients, seed, ROUNDS), data[LIARS:])


def run(seed: int) -> Claim:
    """Compare the mean, with liars and without, with three rules."""
    figures = {
        "mean, no one lies": after(None, 0, seed),
        "mean": after(None, LIARS, seed),
        "median": after(Median(), LIARS, seed),
        "trimmed mean": after(TrimmedMean(share=0.2), LIARS, seed),
        "multi-Krum": after(Krum(share=0.2, multi=True), LIARS, seed),
    }
    honest, poisoned, *rules = figures.values()
    return Claim(figures, max(rules) < 2 * honest < poisoned)


ROBUST = Example(
    "Robust rules survive 20 % poisoned clients, the mean does not",
    "Yin et al. 2018, Blanchard et al. 2017",
    "loss over the honest clients",
    run,
)

if __name__ == "__main__":
    main(ROBUST)

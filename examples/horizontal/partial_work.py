"""Clients that are too slow for their whole turn: their part counts, or they are left out."""

from __future__ import annotations

import numpy as np
from common import Claim, Example, loss, main, public, simulated

from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.fednova import FedNova
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.rounds import Closing
from atoll.learning.horizontal.synthetic import Synthetic
from atoll.learning.horizontal.timed import TimedClients, planned_steps
from atoll.learning.horizontal.traces import Profile, Traces
from atoll.learning.horizontal.training import Training

LOCAL = LocalTraining(epochs=6, batch_size=10, learning_rate=0.02)
MODEL = Linear(60, Softmax(10), l2=1e-3)
CLIENTS = 20


def final_loss(algorithm: FedAvg, seed: int, *, partial: bool) -> float:
    """Return the loss over all clients, nine in ten of whom cannot finish their turns in time."""
    task = Synthetic(1, 1, public(seed), most_rows=150)
    data = [task(number) for number in range(CLIENTS)]
    shares = np.random.default_rng(seed).uniform(0.1, 0.9, CLIENTS)
    shares[::10] = 1.0

    def profile(number: int) -> Profile:
        return Profile(1 / planned_steps(algorithm, len(data[number])) / shares[number])

    inner, traces = simulated(algorithm, MODEL, data, seed), Traces(public(seed), profile)
    clients = TimedClients(inner, traces, Closing(limit=1.001), partial=partial)
    start = algorithm.start(np.zeros(MODEL.layout.size))
    state = Training(algorithm, Participation(count=10), 12).run(start, clients, public(seed))
    return loss(MODEL, state, data)


def run(seed: int) -> Claim:
    """Compare what becomes of the loss."""
    figures = {
        "FedAvg without the slow": final_loss(FedAvg(local=LOCAL), seed, partial=False),
        "FedProx with their part": final_loss(
            FedAvg(local=LOCAL, proximal=0.5), seed, partial=True
        ),
        "FedNova with their part": final_loss(FedNova(local=LOCAL), seed, partial=True),
    }
    dropped, *others = figures.values()
    return Claim(figures, max(others) < 0.6 * dropped)


PARTIAL = Example(
    "FedProx and FedNova survive partial work",
    "Li et al. 2020, Wang et al. 2020",
    "loss after 12 rounds",
    run,
)

if __name__ == "__main__":
    main(PARTIAL)

"""A million registered clients, of whom a hundred train in each round; rows are drawn on demand."""

from __future__ import annotations

import time

import numpy as np
from common import public

from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.synthetic import Clusters
from atoll.learning.horizontal.training import Round, Training

REGISTERED, ROUNDS = 1_000_000, 20


def main() -> None:
    """Train, and print the loss on clients that never took part, and the time of a round."""
    task = Clusters(public(1), alpha=0.5, dtype=np.float32)
    model, algorithm = MLP(20, (64,), Softmax(10)), FedAvg(local=LocalTraining(learning_rate=0.05))
    clients = SimulatedClients(algorithm, model, REGISTERED, task, public(1), threads=2)
    others = [task(number) for number in range(REGISTERED, REGISTERED + 50)]
    unseen = ClientRows(
        np.concatenate([part.rows for part in others]),
        np.concatenate([part.targets for part in others]),
    )
    began = time.monotonic()

    def show(done: Round) -> None:
        if done.number % 5 == 4:
            loss = model.gradient_of(done.state.weights).loss(unseen.rows, unseen.targets)
            passed = (time.monotonic() - began) / (done.number + 1)
            print(f"round {done.number + 1}: loss {loss:.3f}, {passed:.3f} s a round")

    start = algorithm.start(model.initial(np.random.default_rng(1)))
    Training(algorithm, Participation(count=100), ROUNDS).run(start, clients, public(1), (show,))


if __name__ == "__main__":
    main()

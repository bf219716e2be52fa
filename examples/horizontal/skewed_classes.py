"""SCAFFOLD against FedAvg where each client has two classes: rounds until the loss is 0.25."""

from __future__ import annotations

from common import Claim, Example, digits, loss, main, simulated, trained

from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.training import Round

LOCAL = LocalTraining(epochs=5, batch_size=20, learning_rate=0.1)
MODEL = Linear(64, Softmax(10))


def rounds(algorithm: Algorithm, seed: int) -> int:
    """Return after how many rounds the common model's loss over all rows is at most 0.25."""
    data = digits(seed, clients=20, classes=2)

    def stop(done: Round) -> bool:
        return loss(MODEL, done.state, data) <= 0.25

    clients = simulated(algorithm, MODEL, data, seed)
    return trained(clients, seed, 300, count=10, callbacks=(stop,)).round


def run(seed: int) -> Claim:
    """Compare the two."""
    plain, corrected = rounds(FedAvg(local=LOCAL), seed), rounds(Scaffold(local=LOCAL), seed)
    return Claim({"FedAvg": plain, "SCAFFOLD": corrected}, corrected < 0.7 * plain)


SCAFFOLD = Example(
    "SCAFFOLD needs fewer rounds at strong skew",
    "Karimireddy et al. 2020",
    "rounds to a loss of 0.25",
    run,
)

if __name__ == "__main__":
    main(SCAFFOLD)

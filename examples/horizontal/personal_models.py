"""Models of a client's own, beside the common one, where each client has two classes."""

from __future__ import annotations

from collections.abc import Callable

from common import Claim, Example, digits, halves, main, simulated, trained

from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.personal import Ditto, FedRep, PerFedAvg
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.metrics import measure_clients, personal
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax

LOCAL = LocalTraining(epochs=2, batch_size=10, learning_rate=0.05)
MODEL = MLP(64, (32,), Softmax(10))
CLIENTS, ROUNDS = 20, 15


def accuracy(weights: Callable[[int], Vector], held_out: list[ClientRows]) -> float:
    """Return the mean over clients of the accuracy on their held-out rows."""
    found = measure_clients(MODEL, weights, held_out.__getitem__, range(CLIENTS))
    return found.spread("accuracy").even_mean


def of(algorithm: FedAvg, seed: int) -> float:
    """Train, and return how well each client is served by the model that it uses itself."""
    data, held_out = halves(digits(seed, CLIENTS, classes=2))
    clients = simulated(algorithm, MODEL, data, seed)
    state = trained(clients, seed, ROUNDS)
    if not isinstance(algorithm, PerFedAvg):
        return accuracy(personal(algorithm, state, clients.kept), held_out)
    sent = algorithm.message(state)

    def adapted(number: int) -> Vector:
        return algorithm.adapted(MODEL, sent, data[number], steps=5)

    return accuracy(adapted, held_out)


def run(seed: int) -> Claim:
    """Compare them with the common model."""
    figures = {
        "common model": of(FedAvg(local=LOCAL), seed),
        "Ditto": of(Ditto(local=LOCAL, own=LOCAL, strength=0.1), seed),
        "Per-FedAvg": of(PerFedAvg(local=LOCAL, inner_rate=0.3), seed),
        "FedRep": of(FedRep(local=LOCAL, own=LOCAL, head=frozenset({"weight1", "bias1"})), seed),
    }
    common, *others = figures.values()
    return Claim(figures, min(others) > common)


PERSONAL = Example(
    "Ditto, Per-FedAvg and FedRep beat the common model at each client on skewed labels",
    "Li et al. 2021, Fallah et al. 2020, Collins et al. 2021",
    "mean accuracy on a client's held-out rows",
    run,
)

if __name__ == "__main__":
    main(PERSONAL)

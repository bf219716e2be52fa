"""MOCHA: a model for each client, and how the clients' tasks relate, both learned."""

from __future__ import annotations

import numpy as np
from common import Claim, Example, main, public

from atoll.learning.horizontal.algorithms.mocha import Mocha
from atoll.learning.horizontal.local import ClientRows, LocalWork
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Gaussian
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Training

TASKS, COLUMNS, ROWS, ROUNDS = 15, 10, 14, 60
MODEL = Linear(COLUMNS, Gaussian())


def tasks(seed: int) -> tuple[list[ClientRows], list[ClientRows]]:
    """Return few rows, and many held out, of tasks in three groups around one common model."""
    generator = np.random.default_rng(seed)
    groups = generator.normal(size=(3, COLUMNS)) + 0.7 * generator.normal(size=COLUMNS)
    models = groups[np.arange(TASKS) % 3] + 0.1 * generator.normal(size=(TASKS, COLUMNS))

    def drawn(model: np.ndarray, count: int) -> ClientRows:
        rows = generator.normal(size=(count, COLUMNS))
        return ClientRows(rows, rows @ model + generator.normal(size=count))

    return [drawn(m, ROWS) for m in models], [drawn(m, 500) for m in models]


def solved(data: ClientRows, ridge: float) -> np.ndarray:
    """Return the weights and bias of ridge regression."""
    rows = np.column_stack([data.rows, np.ones(len(data))])
    return np.linalg.solve(rows.T @ rows + ridge * np.eye(COLUMNS + 1), rows.T @ data.targets)


def loss(weights: np.ndarray, held_out: list[ClientRows]) -> float:
    """Return the mean held-out loss of each task's weights, float[tasks, size]."""
    pairs = zip(weights, held_out, strict=True)
    return float(np.mean([MODEL.gradient_of(w).loss(d.rows, d.targets) for w, d in pairs]))


def run(seed: int) -> Claim:
    """Compare with models apart and with one for all, both at their best strength in hindsight."""
    data, held_out = tasks(seed)
    algorithm = Mocha(tasks=TASKS, strength=0.3, local=LocalWork(epochs=3))
    clients = SimulatedClients(algorithm, MODEL, TASKS, data.__getitem__, public(seed))
    training = Training(algorithm, Participation(method="all"), ROUNDS)
    state = training.run(algorithm.start(np.zeros(COLUMNS + 1)), clients, public(seed))
    together = ClientRows(
        np.concatenate([part.rows for part in data]), np.concatenate([p.targets for p in data])
    )
    ridges = (0.01, 0.1, 1.0, 10.0)
    figures = {
        "MOCHA": loss(state.weights.reshape(TASKS, -1), held_out),
        "apart": min(loss(np.array([solved(d, r) for d in data]), held_out) for r in ridges),
        "one for all": min(
            loss(np.tile(solved(together, r), (TASKS, 1)), held_out) for r in ridges
        ),
    }
    return Claim(figures, figures["MOCHA"] < min(figures["apart"], figures["one for all"]))


MOCHA = Example(
    "MOCHA beats models apart and one model for all on related tasks",
    "Smith et al. 2017",
    "held-out loss, mean over tasks",
    run,
)

if __name__ == "__main__":
    main(MOCHA)

"""Seeded tasks for the tests of horizontal learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from atoll.core.random import DerivedRandom, PublicRandom, SecretRandom
from atoll.learning.horizontal import partition
from atoll.learning.horizontal.algorithm import Algorithm, State
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Callback, Training

PUBLIC = PublicRandom(b"horizontal tests" * 2, fixed=True)


def own_of(seed: int, names: Sequence[str]) -> Callable[[int], DerivedRandom]:
    """Return what clients draw by in a seeded world: the first secret that each one takes."""

    def own(number: int) -> DerivedRandom:
        return DerivedRandom(SecretRandom.seeded(f"{seed}/{names[number]}".encode()).bytes(32))

    return own


def blobs(clients: int, rows: int, alpha: float, seed: int = 0) -> list[ClientRows]:
    """Return ``clients`` with shares of ``rows`` rows of five classes in 12 columns."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 5, rows)
    centres = generator.normal(size=(5, 12))
    values = centres[labels] + generator.normal(size=(rows, 12))
    return [ClientRows(values[p], labels[p]) for p in _parts(labels, clients, alpha, generator)]


def _parts(
    labels: np.ndarray, clients: int, alpha: float, generator: np.random.Generator
) -> partition.Parts:
    return partition.dirichlet(labels, clients, alpha, generator)


def simulated(
    algorithm: Algorithm, model: Model, data: list[ClientRows], threads: int = 1
) -> SimulatedClients:
    """Return clients with these rows."""
    return SimulatedClients(algorithm, model, len(data), data.__getitem__, PUBLIC, threads)


def trained(
    algorithm: Algorithm,
    model: Model,
    data: list[ClientRows],
    rounds: int,
    *,
    clients: SimulatedClients | None = None,
    state: State | None = None,
    participation: Participation | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> State:
    """Train for ``rounds`` rounds with all clients, or as ``participation`` says."""
    clients = clients or simulated(algorithm, model, data)
    weights = model.initial(np.random.default_rng(0)).astype(data[0].rows.dtype)
    training = Training(algorithm, participation or Participation(method="all"), rounds)
    return training.run(state or algorithm.start(weights), clients, PUBLIC, callbacks)


def mean_loss(model: Model, state: State, data: list[ClientRows]) -> float:
    """Return the mean loss over all rows of all clients."""
    gradient = model.gradient_of(state.weights)
    losses = [gradient.loss(part.rows, part.targets) * len(part) for part in data if len(part)]
    return sum(losses) / sum(len(part) for part in data)

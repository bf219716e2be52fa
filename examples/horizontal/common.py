"""What the examples share: digits held by many clients, and claims that hold for a seed or not."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

from atoll.core.random import PublicRandom
from atoll.learning.horizontal import partition
from atoll.learning.horizontal.algorithm import Algorithm, State
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.api import Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Callback, Training

SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Claim:
    """What one seed showed: figures by name, and whether the claim held."""

    figures: dict[str, float]
    held: bool


@dataclass(frozen=True)
class Example:
    """A task with a claim of its source."""

    claim: str
    source: str
    figure: str
    run: Callable[[int], Claim]


def public(seed: int) -> PublicRandom:
    """Return the public randomness of a seed."""
    return PublicRandom(bytes([seed]) * 32, fixed=True)


def digits(seed: int, clients: int, classes: int) -> list[ClientRows]:
    """Return 1,797 images of digits (64 values from 0 to 1), ``classes`` or so at each client."""
    rows, labels = load_digits(return_X_y=True)
    rows = (rows / 16).astype(np.float32)
    parts = partition.shards(labels, clients, classes, np.random.default_rng(seed))
    return [ClientRows(rows[part], labels[part]) for part in parts]


def halves(data: list[ClientRows]) -> tuple[list[ClientRows], list[ClientRows]]:
    """Return each client's rows in two parts: every other row is held out."""
    train = [ClientRows(part.rows[::2], part.targets[::2]) for part in data]
    return train, [ClientRows(part.rows[1::2], part.targets[1::2]) for part in data]


def simulated(
    algorithm: Algorithm, model: Model, data: list[ClientRows], seed: int, *links: Postprocessor
) -> SimulatedClients:
    """Return clients of this process with these rows."""
    chain, count = Chain(links), len(data)
    return SimulatedClients(algorithm, model, count, data.__getitem__, public(seed), chain=chain)


def trained(
    clients: SimulatedClients,
    seed: int,
    rounds: int,
    *,
    count: int | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> State:
    """Train for so many rounds with ``count`` clients a round (all of them without it)."""
    algorithm = clients.algorithm
    weights = clients.model.initial(np.random.default_rng(seed))
    start = algorithm.start(weights.astype(clients.data(0).rows.dtype))
    asked = Participation(method="all") if count is None else Participation(count=count)
    return Training(algorithm, asked, rounds).run(start, clients, clients.public, callbacks)


def loss(model: Model, state: State, data: list[ClientRows]) -> float:
    """Return the mean loss over all rows of all clients."""
    gradient = model.gradient_of(state.weights)
    losses = [gradient.loss(part.rows, part.targets) * len(part) for part in data]
    return sum(losses) / sum(map(len, data))


def row(example: Example, seeds: tuple[int, ...] = SEEDS) -> tuple[str, bool]:
    """Run an example with each seed; return its row of the table, and whether it held each time."""
    claims = [example.run(seed) for seed in seeds]
    shown = [
        f"{name} " + ", ".join(_short(claim.figures[name]) for claim in claims)
        for name in claims[0].figures
    ]
    held = sum(claim.held for claim in claims)
    return (
        f"| {example.claim} ({example.source}) | {example.figure} | {'; '.join(shown)} "
        f"| {held} of {len(seeds)} |",
        held == len(seeds),
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def main(*examples: Example) -> None:
    """Print what each seed shows; the exit status is 1 if a claim did not hold."""
    parser = argparse.ArgumentParser(description=examples[0].claim)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many, from 1 on")
    seeds = tuple(range(1, parser.parse_args().seeds + 1))
    found = [row(example, seeds) for example in examples]
    for text, _ in found:
        print(text)
    sys.exit(0 if all(held for _, held in found) else 1)

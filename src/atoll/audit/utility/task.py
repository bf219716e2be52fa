"""What the three measurements share: digits held by clients, their size, and curves over seeds."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.audit.inversion import digits
from atoll.core.random import PublicRandom
from atoll.core.report import Series
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.partition import dirichlet

Floats = npt.NDArray[np.float64]
ROWS, TRAIN, SKEW = 1797, 1400, 0.5


@dataclass(frozen=True)
class Size:
    """How much is measured: seeds, ε, rounds with noise and with compression, and seconds."""

    seeds: tuple[int, ...] = (1, 2, 3)
    epsilons: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    noisy_rounds: int = 20
    rounds: int = 40
    horizon: float = 600.0


WHOLE = Size()
QUICK = Size(seeds=(1,), epsilons=(1.0, 5.0, 30.0), noisy_rounds=3, rounds=3, horizon=30.0)


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy of one way to train: ``x`` float64[points], ``accuracy`` float64[seeds, points].

    ``facts`` are further figures of the way.
    """

    name: str
    x: Floats
    accuracy: Floats
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> Floats:
        """The mean over seeds, float64[points]."""
        mean: Floats = self.accuracy.mean(axis=0)
        return mean

    def reaches(self, accuracy: float) -> float | None:
        """Return the first ``x`` at which the mean is at least so high; None if it never is."""
        found = np.flatnonzero(self.mean >= accuracy)
        return float(self.x[found[0]]) if len(found) else None

    def spread(self, point: int = -1) -> tuple[float, float, float]:
        """Return mean, least and greatest accuracy at a point, by default the last."""
        column = self.accuracy[:, point]
        return float(column.mean()), float(column.min()), float(column.max())

    def series(self) -> Series:
        """Return the curve to be drawn, with the range over seeds."""
        low, high = self.accuracy.min(axis=0), self.accuracy.max(axis=0)
        values = (tuple(part.tolist()) for part in (self.x, self.mean, low, high))
        return Series(name=self.name, **dict(zip(("x", "y", "low", "high"), values, strict=True)))

    def line(self) -> dict[str, Any]:
        """Return the curve as plain values."""
        shown = {"x": np.round(self.x, 3).tolist(), "accuracy": np.round(self.accuracy, 4).tolist()}
        return {"name": self.name, **self.facts, **shown}


def public(seed: int) -> PublicRandom:
    """Return the public randomness of a seed."""
    return PublicRandom(b"utility" + seed.to_bytes(25, "big"), fixed=True)


@functools.lru_cache(maxsize=4)
def table(seed: int) -> ClientRows:
    """Return scikit-learn's digits in an order of the seed, float32[1797, 64]."""
    whole = digits(ROWS, seed)
    return ClientRows(whole.rows.astype(np.float32), whole.targets)


def owners(seed: int, clients: int) -> tuple[list[ClientRows], ClientRows]:
    """Share 1,400 digits out unevenly (Dirichlet 0.5); the other 397 are held out."""
    whole = table(seed)
    parts = dirichlet(whole.targets[:TRAIN], clients, SKEW, np.random.default_rng(seed))
    data = [ClientRows(whole.rows[part], whole.targets[part]) for part in parts]
    return data, ClientRows(whole.rows[TRAIN:], whole.targets[TRAIN:])


def accuracy(model: Model, weights: Vector, held: ClientRows) -> float:
    """Return the share of rows whose class is predicted."""
    return float((model.predict(weights, held.rows).argmax(axis=1) == held.targets).mean())

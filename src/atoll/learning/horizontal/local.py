"""Local training: steps of gradient descent over a client's own rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.models import kernels
from atoll.learning.horizontal.models.api import Model, Rows, Targets

_COPIED = 1 << 20

Correct = Callable[[Vector, Vector], None]


@dataclass(frozen=True)
class ClientRows:
    """A client's rows: float32 or float64[n, columns] with targets[n]; they never leave it."""

    rows: Rows
    targets: Targets

    def __len__(self) -> int:
        return len(self.rows)

    def digest(self) -> str:
        """Return the SHA-256 of the rows and targets in their order, in hexadecimal."""
        made = hashlib.sha256()
        for part in (self.rows, self.targets):
            made.update(f"{part.dtype.str}{part.shape}".encode())
            made.update(np.ascontiguousarray(part).data)
        return made.hexdigest()

    def arrays(self) -> tuple[Rows, Targets]:
        """Return all that a client holds."""
        return self.rows, self.targets


class LocalWork(BaseModel):
    """How much a client does between two messages: batches of its rows, and how many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=1, ge=1, le=1000, description="passes over the client's rows")
    steps: int | None = Field(
        default=None, ge=1, le=1 << 20, description="at most so many steps; empty: no bound"
    )
    batch_size: int | None = Field(
        default=20, ge=1, le=1 << 20, description="rows of a step; empty: all rows"
    )
    fewest: int = Field(
        default=1, ge=1, description="a last step of fewer rows goes into the one before it"
    )

    def step_rows(self, rows: int) -> int:
        """Return how many rows a step has, for a client of so many."""
        return rows if self.batch_size is None else min(self.batch_size, rows)

    def most_steps(self, rows: int) -> int:
        """Return how many steps a client of so many rows takes."""
        each = self.steps_of(rows, self.step_rows(rows)) if rows else 0
        return self.epochs * each if self.steps is None else min(self.steps, self.epochs * each)

    def orders(self, rows: int, generator: np.random.Generator) -> Iterator[kernels.Order]:
        """Yield for each epoch the numbers of its rows, int64, in the order of their use.

        They are drawn without replacement within an epoch, and end with the last step.
        """
        size = self.step_rows(rows)
        each = self.steps_of(rows, size) if rows else 0
        left = self.most_steps(rows)
        while left > 0:
            order = np.arange(rows) if size == rows else generator.permutation(rows)
            yield order if left >= each else order[: left * size]
            left -= each

    def even(self, rows: int, size: int) -> int:
        """Return how many of an order's rows go in steps of ``size``; the rest is one step."""
        rest = rows % size
        return rows - size - rest if 0 < rest < self.fewest and rows > size else rows

    def steps_of(self, rows: int, size: int) -> int:
        """Return how many steps an order of so many rows takes."""
        even = self.even(rows, size)
        return -(-even // size) + (even < rows)

    def batches(self, data: ClientRows, generator: np.random.Generator) -> Iterator[ClientRows]:
        """Yield the rows of each step, drawn without replacement within an epoch."""
        size = self.step_rows(len(data))
        for order in self.orders(len(data), generator):
            if size == len(data):
                yield data
            else:
                even = self.even(len(order), size)
                yield from _epoch(data, size, order[:even])
                yield from _epoch(data, max(1, len(order) - even), order[even:])


class LocalTraining(LocalWork):
    """How a client trains between two messages."""

    learning_rate: float = Field(default=0.1, gt=0, le=1e3, description="size of a step")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of the client's own steps")


def _epoch(data: ClientRows, size: int, order: kernels.Order) -> Iterator[ClientRows]:
    # Rows are copied many batches at a time: one copy for each batch costs more than its step.
    span = size * max(1, _COPIED // (size * max(1, data.rows[0].size)))
    for start in range(0, len(order), span):
        chosen = order[start : start + span]
        x, y = data.rows[chosen], data.targets[chosen]
        for first in range(0, len(chosen), size):
            yield ClientRows(x[first : first + size], y[first : first + size])


def train(
    model: Model,
    weights: Vector,
    data: ClientRows,
    local: LocalTraining,
    generator: np.random.Generator,
    correct: Correct | None = None,
) -> int:
    """Train ``weights`` (float[size], in place) on ``data`` and return how many steps were taken.

    ``correct(gradient, weights)`` may change a step's gradient in place before it is used. Plain
    steps of known models in float32 run natively (``models.kernels``), all others on NumPy.
    """
    if correct is None and not local.momentum and local.step_rows(len(data)) <= kernels.MOST_ROWS:
        epoch = kernels.epoch(model, weights, data.rows, data.targets)
        if epoch is not None:
            return _natively(epoch, len(data), local, generator)
    gradient_at = model.gradient_of(weights)
    gradient = np.empty_like(weights)
    velocity = np.zeros_like(weights) if local.momentum else None
    rate, count = weights.dtype.type(local.learning_rate), 0
    for batch in local.batches(data, generator):
        gradient_at(batch.rows, batch.targets, gradient)
        if correct is not None:
            correct(gradient, weights)
        if velocity is None:
            gradient *= rate
            weights -= gradient
        else:
            velocity *= local.momentum
            velocity += gradient
            weights -= rate * velocity
        count += 1
    return count


def _natively(
    epoch: kernels.Epoch, rows: int, local: LocalTraining, generator: np.random.Generator
) -> int:
    count, size = 0, local.step_rows(rows)
    for order in local.orders(rows, generator):
        even = local.even(len(order), size)
        if even:
            epoch(order[:even], size, local.learning_rate)
        if even < len(order):
            epoch(order[even:], len(order) - even, local.learning_rate)
        count += local.steps_of(len(order), size)
    return count

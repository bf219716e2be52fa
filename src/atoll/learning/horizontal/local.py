"""Local training: steps of gradient descent over a client's own rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.learning.horizontal.layout import Vector
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


class LocalTraining(BaseModel):
    """How a client trains between two messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=1, ge=1, le=1000, description="passes over the client's rows")
    steps: int | None = Field(
        default=None, ge=1, le=1 << 20, description="at most so many steps; empty: no bound"
    )
    batch_size: int | None = Field(
        default=20, ge=1, le=1 << 20, description="rows of a step; empty: all rows"
    )
    learning_rate: float = Field(default=0.1, gt=0, le=1e3, description="size of a step")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of the client's own steps")

    def batches(self, data: ClientRows, generator: np.random.Generator) -> Iterator[ClientRows]:
        """Yield the rows of each step, drawn without replacement within an epoch."""
        rows = len(data)
        size = rows if self.batch_size is None else min(self.batch_size, rows)
        left = (1 << 62) if self.steps is None else self.steps
        for _ in range(self.epochs if rows else 0):
            for batch in _epoch(data, size, generator):
                if not left:
                    return
                left -= 1
                yield batch


def _epoch(data: ClientRows, size: int, generator: np.random.Generator) -> Iterator[ClientRows]:
    rows = len(data)
    if size == rows:
        yield data
        return
    order = generator.permutation(rows)
    # Rows are copied many batches at a time: one copy for each batch costs more than its step.
    span = size * max(1, _COPIED // (size * max(1, data.rows[0].size)))
    for start in range(0, rows, span):
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

    ``correct(gradient, weights)`` may change a step's gradient in place before it is used.
    """
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

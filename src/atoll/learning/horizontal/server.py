"""The aggregator's step: what a mean change does to the global weights.

Sources: Hsu, Qi, Brown 2019 (momentum); Reddi et al., "Adaptive Federated Optimization"
(ICLR 2021), algorithm 2.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.learning.horizontal.algorithm import WEIGHTS, State
from atoll.learning.horizontal.layout import Vector

FIRST, SECOND = "server.first", "server.second"
_BLOCK = 1 << 18


def scaled(vector: Vector, factor: float, like: Vector) -> Vector:
    """Return factor · vector in the format of ``like``, float[size], and nothing beside it."""
    return _blocks(np.multiply, vector, factor, like)


def mean(vector: Vector, weight: float, like: Vector) -> Vector:
    """Return vector / weight in the format of ``like``, float[size], and nothing beside it."""
    return _blocks(np.divide, vector, weight, like)


def _blocks(change: np.ufunc, vector: Vector, number: float, like: Vector) -> Vector:
    made = np.empty(len(vector), like.dtype)
    for first in range(0, len(vector), _BLOCK):
        made[first : first + _BLOCK] = change(vector[first : first + _BLOCK], number)
    return made


class ServerStep(BaseModel):
    """A mean change of the weights is a step's direction; ``rate`` 1 and no momentum add it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["plain", "momentum", "adam", "yogi", "adagrad"] = Field(
        default="plain", description="what is done with the mean change of a round"
    )
    rate: float = Field(default=1.0, gt=0, le=1e3, description="size of the aggregator's step")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="decay of the first moment")
    decay: float = Field(default=0.99, ge=0, lt=1, description="decay of the second moment")
    floor: float = Field(default=1e-3, gt=0, le=1, description="added to the second moment's root")

    def apply(self, state: State, change: Vector) -> State:
        """Return the state one round on, after a step along ``change`` (float[size], used up)."""
        weights = state.weights
        change = change.astype(weights.dtype, copy=False)
        if self.method == "plain":
            # In place: a large model is held as seldom as can be.
            change *= weights.dtype.type(self.rate)
            change += weights
            return state.next(**{WEIGHTS: change})
        nothing = np.zeros_like(weights)
        first = state.vectors.get(FIRST, nothing)
        if self.method == "momentum":
            first = self.momentum * first + change
            return state.next(**{WEIGHTS: weights + self.rate * first, FIRST: first})
        first = self.momentum * first + (1 - self.momentum) * change
        second = self._second(state.vectors.get(SECOND, nothing + self.floor**2), change)
        moved = weights + self.rate * first / (np.sqrt(second) + self.floor)
        return state.next(**{WEIGHTS: moved, FIRST: first, SECOND: second})

    def _second(self, second: Vector, change: Vector) -> Vector:
        square = np.square(change)
        if self.method == "adam":
            return self.decay * second + (1 - self.decay) * square
        if self.method == "adagrad":
            return second + square
        return second - (1 - self.decay) * square * np.sign(second - square)

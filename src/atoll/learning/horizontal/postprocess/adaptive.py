"""Clipping that follows a quantile of the updates' lengths.

Source: Andrew, Thakkar, McMahan, Ramaswamy, "Differentially Private Learning with Adaptive
Clipping" (NeurIPS 2021), algorithm 1.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from atoll.learning.horizontal.algorithm import (
    Algorithm,
    ClientResult,
    ClientWork,
    State,
    Vectors,
)
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.clip import norm
from atoll.learning.horizontal.sums import Update

LENGTH, BELOW = "clip length", "below"
_LEAST, _MOST = 1e-9, 1e9


class AdaptiveClip(Algorithm):
    """Trains as ``algorithm`` does, with every update in units of a clip length that adapts.

    The length is part of the aggregator's state, and clients are sent it. Each of them scales its
    update to at most sqrt(1 - weight²/4) and adds the number ``below``: weight/2 if it was not
    clipped, else -weight/2. Both together have a norm of at most 1, so ``Clip`` and ``Noise`` of
    norm 1 with ``below`` measured charge the count with everything else: it costs no ε of its own.
    The noise on the share of unclipped updates is multiplier / (weight · clients).
    """

    algorithm: Algorithm
    clients: int = Field(ge=1, le=1 << 20, description="clients of a round, on average")
    first: float = Field(default=0.1, gt=0, le=1e9, description="the first clip length")
    quantile: float = Field(default=0.5, gt=0, lt=1, description="share of updates left unclipped")
    rate: float = Field(default=0.2, gt=0, le=5, description="how fast the length follows")
    weight: float = Field(default=0.2, gt=0, le=1, description="of the count in the norm of 1")

    def start(self, weights: Vector) -> State:
        """See ``Algorithm.start``."""
        state = self.algorithm.start(weights)
        return State(state.round, {**state.vectors, LENGTH: np.array([self.first])})

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        return {**self.algorithm.message(state), LENGTH: state.vectors[LENGTH]}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        most = float(work.sent[LENGTH][0])
        result = self.algorithm.client(work)
        length = norm(result.update)
        factor = self._share / max(most, length)
        vectors = {n: v * v.dtype.type(factor) for n, v in result.update.vectors.items()}
        below = math.copysign(self.weight / 2, most - length) if length else 0.0
        return ClientResult(Update(vectors, {**result.update.numbers, BELOW: below}), result.kept)

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        length = float(state.vectors[LENGTH][0])
        vectors = {name: v * (length / self._share) for name, v in total.vectors.items()}
        numbers = {name: value for name, value in total.numbers.items() if name != BELOW}
        after = self.algorithm.aggregate(state, Update(vectors, numbers))
        share = 0.5 + total.numbers[BELOW] / (self.weight * self.clients)
        moved = length * math.exp(-self.rate * (min(1.0, max(0.0, share)) - self.quantile))
        moved = min(_MOST, max(_LEAST, moved))
        return State(after.round, {**after.vectors, LENGTH: np.array([moved])})

    def personal(self, sent: Vectors, kept: Vectors) -> Vector:
        """See ``Algorithm.personal``."""
        return self.algorithm.personal(sent, kept)

    @property
    def _share(self) -> float:
        return math.sqrt(1 - self.weight**2 / 4)

"""q-FedAvg: clients with high losses weigh more, so that the model serves all more evenly.

Source: Li et al., "Fair Resource Allocation in Federated Learning" (ICLR 2020), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from atoll.learning.horizontal.algorithm import WEIGHTS, Algorithm, ClientResult, ClientWork, State
from atoll.learning.horizontal.local import LocalTraining, train
from atoll.learning.horizontal.sums import Extent, Update

CHANGE, SCALE = "change", "scale"


class QFedAvg(Algorithm):
    """``q`` 0 is the plain mean of equal clients; the larger q, the more even the losses.

    Summed: changes by loss^q, and the normaliser of algorithm 2. A client's loss shows in both.
    """

    stated_weight: ClassVar[str | None] = SCALE
    weighed: ClassVar[tuple[str, ...]] = (CHANGE,)

    local: LocalTraining = LocalTraining()
    q: float = Field(default=1.0, ge=0, le=20, description="how much high losses weigh")

    def units(self, numbers: Mapping[str, float], of: Extent) -> float:
        """See ``Algorithm.units``: a change is multiplied by one term of the normaliser."""
        # What a masked number is rounded by; and sums in float32 have no room for more.
        return min(numbers[SCALE], of.updates * 2.0**80) + of.updates * 2.0**-20

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: the normaliser follows from losses, which have no bound."""
        return found.numbers[SCALE] >= 0

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        start = work.sent[WEIGHTS]
        if not len(work.data):
            return ClientResult(Update({CHANGE: np.zeros_like(start)}, {SCALE: 0.0}))
        loss = work.model.gradient_of(start).loss(work.data.rows, work.data.targets)
        loss = max(loss, 1e-10)
        weights = start.copy()
        train(work.model, weights, work.data, self.local, work.generator)
        weights -= start
        slope = 1 / self.local.learning_rate
        square = slope**2 * float(np.dot(weights, weights))
        scale = self.q * loss ** (self.q - 1) * square + slope * loss**self.q
        weights *= weights.dtype.type(slope * loss**self.q)
        return ClientResult(Update({CHANGE: weights}, {SCALE: scale}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        scale = total.numbers[SCALE]
        if scale <= 0:
            return state.next()
        step = (total.vectors[CHANGE] / scale).astype(state.weights.dtype, copy=False)
        return state.next(**{WEIGHTS: state.weights + step})

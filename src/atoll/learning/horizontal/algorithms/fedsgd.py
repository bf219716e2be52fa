"""FedSGD: one gradient over all rows of the round's clients, then one step.

Source: McMahan et al. 2017, section 2. With all clients in each round it is gradient descent on
the pooled rows.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from atoll.learning.horizontal.algorithm import WEIGHTS, Algorithm, ClientResult, ClientWork, State
from atoll.learning.horizontal.server import ServerStep
from atoll.learning.horizontal.sums import Update

GRADIENT, ROWS = "gradient", "rows"


class FedSGD(Algorithm):
    """Summed: each client's mean gradient times its rows, and the rows."""

    weighed_by: ClassVar[str | None] = ROWS
    stated_weight: ClassVar[str | None] = ROWS
    weighed: ClassVar[tuple[str, ...]] = (GRADIENT,)

    learning_rate: float = Field(default=0.1, gt=0, le=1e3, description="size of a step")
    server: ServerStep = ServerStep()

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        gradient = np.zeros_like(work.sent[WEIGHTS])
        if len(work.data):
            work.model.gradient_of(work.sent[WEIGHTS])(work.data.rows, work.data.targets, gradient)
            gradient *= gradient.dtype.type(len(work.data))
        return ClientResult(Update({GRADIENT: gradient}, {ROWS: float(len(work.data))}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        rows = total.numbers[ROWS]
        if rows <= 0:
            return state.next()
        return self.server.apply(state, total.vectors[GRADIENT] * (-self.learning_rate / rows))

"""FedNova: clients that take more steps do not pull the model to their own optimum.

Source: Wang et al., "Tackling the Objective Inconsistency Problem" (NeurIPS 2020), section 4.
"""

from __future__ import annotations

from typing import ClassVar

from atoll.learning.horizontal.algorithm import WEIGHTS, ClientResult, ClientWork, State
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg
from atoll.learning.horizontal.local import train
from atoll.learning.horizontal.server import scaled
from atoll.learning.horizontal.sums import Update

STEPS = "steps"


class FedNova(FedAvg):
    """As FedAvg, but each change is divided by its steps and the mean is scaled back by theirs.

    Summed: changes by weight and effective steps, the weights, and weight times effective steps. A
    client that did only part of its work counts with what it did.
    """

    # The steps that clients state scale the mean.
    weighed_by: ClassVar[str | None] = None

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        start = work.sent[WEIGHTS]
        weights = start.copy()
        pull = self._pull(start)
        taken = train(work.model, weights, work.data, self.local, work.generator, pull)
        steps = self._effective(taken)
        weight = self.weight(len(work.data)) if steps else 0.0
        weights -= start
        weights *= weights.dtype.type(weight / steps if steps else 0.0)
        return ClientResult(Update({CHANGE: weights}, {WEIGHT: weight, STEPS: weight * steps}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        weight = total.numbers[WEIGHT]
        if weight <= 0:
            return state.next()
        scale = total.numbers[STEPS] / weight / weight
        return self.server.apply(state, scaled(total.vectors[CHANGE], scale, state.weights))

    def steps(self, rows: int) -> float:
        """Return the effective steps of a client of so many rows, all of whose work was done."""
        size = self.local.step_rows(rows)
        return self._effective(self.local.epochs * -(-rows // size)) if rows else 0.0

    def _effective(self, steps: int) -> float:
        """Return the accumulated weight of a client's gradients (momentum counts them again)."""
        m = self.local.momentum
        return (steps - m * (1 - m**steps) / (1 - m)) / (1 - m)

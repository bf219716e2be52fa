"""FedNova: clients that take more steps do not pull the model to their own optimum.

Source: Wang et al., "Tackling the Objective Inconsistency Problem" (NeurIPS 2020), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from atoll.learning.horizontal.algorithm import WEIGHTS, ClientResult, ClientWork, State
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg
from atoll.learning.horizontal.local import train
from atoll.learning.horizontal.server import scaled
from atoll.learning.horizontal.sums import Extent, Update

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

    def units(self, numbers: Mapping[str, float], of: Extent) -> float:
        """See ``Algorithm.units``: a change is divided by its steps, which are one at least."""
        weight, steps = numbers[WEIGHT], numbers[STEPS]
        return weight * weight / steps if of.updates == 1 and steps else weight

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: no client takes more steps than its rows have."""
        weight, steps = found.numbers[WEIGHT], found.numbers[STEPS]
        rows = of.largest if self._equal else int(min(of.largest, weight))
        most = weight * self._effective(self.local.most_steps(rows)) if weight else 0.0
        # What float64 and a mask round by.
        off, rounded = of.updates * 2.0**-20, 1 + 2.0**-40
        within = weight - off <= steps * rounded and steps <= most * rounded + off
        return super().possible(found, of) and within

    def steps(self, rows: int) -> float:
        """Return the effective steps of a client of so many rows, all of whose work was done."""
        return self._effective(self.local.most_steps(rows)) if rows else 0.0

    def _effective(self, steps: int) -> float:
        """Return the accumulated weight of a client's gradients (momentum counts them again)."""
        m = self.local.momentum
        return (steps - m * (1 - math.pow(m, steps)) / (1 - m)) / (1 - m)

"""SCAFFOLD: control variates take out the drift of clients whose data differ.

Source: Karimireddy et al., "SCAFFOLD" (ICML 2020), algorithm 1 with option II.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from atoll.core.errors import UserError
from atoll.learning.horizontal.algorithm import (
    WEIGHTS,
    Algorithm,
    ClientResult,
    ClientWork,
    State,
    Vectors,
)
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import LocalTraining, train
from atoll.learning.horizontal.server import ServerStep, mean
from atoll.learning.horizontal.sums import Extent, Update

CHANGE, CONTROL, WEIGHT, COUNT, CLIENTS = "change", "control", "weight", "count", "clients"


class Scaffold(Algorithm):
    """Summed: changes by weight, changes of the clients' control variates, weights and counts.

    Each client keeps its control variate; the aggregator holds their mean over all clients. Errors:
    ATL-HOR-060 local momentum, which does not fit option II's estimate of the gradient.
    """

    stated_weight: ClassVar[str | None] = WEIGHT
    weighed: ClassVar[tuple[str, ...]] = (CHANGE,)

    local: LocalTraining = LocalTraining()
    server: ServerStep = ServerStep()
    weighting: Literal["rows", "equal"] = Field(
        default="rows", description="what a client's change weighs in the mean"
    )

    @model_validator(mode="after")
    def _no_momentum(self) -> Self:
        if self.local.momentum:
            raise UserError("ATL-HOR-060", "SCAFFOLD takes no local momentum")
        return self

    def start(self, weights: Vector) -> State:
        """See ``Algorithm.start``."""
        return State(0, {WEIGHTS: weights, CONTROL: np.zeros_like(weights)})

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        return {WEIGHTS: state.weights, CONTROL: state.vectors[CONTROL]}

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: each client states one client, and how many there are."""
        count, clients = found.numbers[COUNT], found.numbers[CLIENTS]
        counted = 0 <= count <= of.updates and clients == count * of.clients
        return super().possible(found, of) and counted and count == round(count)

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        start, common = work.sent[WEIGHTS], work.sent[CONTROL]
        own = work.kept.get(CONTROL)
        own = np.zeros_like(start) if own is None else own
        drift, weights = common - own, start.copy()

        def correct(gradient: Vector, _: Vector) -> None:
            gradient += drift

        steps = train(work.model, weights, work.data, self.local, work.generator, correct)
        weights -= start
        rows = len(work.data)
        weight = float(rows if self.weighting == "rows" else rows > 0)
        control = np.zeros_like(start)
        if steps:
            control = -common - weights / (steps * self.local.learning_rate)
        control = control.astype(start.dtype, copy=False)
        weights *= weights.dtype.type(weight)
        numbers = {WEIGHT: weight, CLIENTS: float(work.clients)}
        kept = {CONTROL: own + control}
        return ClientResult(
            Update({CHANGE: weights, CONTROL: control}, {**numbers, COUNT: 1.0}), kept
        )

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        weight, clients = total.numbers[WEIGHT], total.numbers[CLIENTS]
        if weight <= 0:
            return state.next()
        moved = self.server.apply(state, mean(total.vectors[CHANGE], weight, state.weights))
        # The mean over all clients moves by what those of this round moved, over their number.
        share = total.numbers[COUNT] / clients
        control = state.vectors[CONTROL] + total.vectors[CONTROL] * state.weights.dtype.type(share)
        return State(moved.round, {**moved.vectors, CONTROL: control})

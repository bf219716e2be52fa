"""FedAvg and its near relations: FedAvgM, FedAdam (by the server's step) and FedProx.

Sources: McMahan et al. 2017, algorithm 1; Li et al., "Federated Optimization in Heterogeneous
Networks" (MLSys 2020), for the proximal term.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from atoll.learning.horizontal.algorithm import WEIGHTS, Algorithm, ClientResult, ClientWork, State
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import Correct, LocalTraining, train
from atoll.learning.horizontal.server import ServerStep, mean
from atoll.learning.horizontal.sums import Update

CHANGE, WEIGHT = "change", "weight"


class FedAvg(Algorithm):
    """Clients train from the global weights; the aggregator takes the mean of their changes.

    Summed: each client's change times its weight, and the weights. With ``proximal`` m each local
    loss gains m/2 · |w − global|² (FedProx).
    """

    weighed_by: ClassVar[str | None] = WEIGHT
    stated_weight: ClassVar[str | None] = WEIGHT
    weighed: ClassVar[tuple[str, ...]] = (CHANGE,)

    local: LocalTraining = LocalTraining()
    server: ServerStep = ServerStep()
    proximal: float = Field(default=0.0, ge=0, le=1e3, description="pull to the global weights")
    weighting: Literal["rows", "equal"] = Field(
        default="rows", description="what a client's change weighs in the mean"
    )

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        start = work.sent[WEIGHTS]
        weights = start.copy()
        train(work.model, weights, work.data, self.local, work.generator, self._pull(start))
        weights -= start
        weight = self.weight(len(work.data))
        weights *= weights.dtype.type(weight)
        return ClientResult(Update({CHANGE: weights}, {WEIGHT: weight}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        weight = total.numbers[WEIGHT]
        if weight <= 0:
            return state.next()
        return self.server.apply(state, mean(total.vectors[CHANGE], weight, state.weights))

    def weight(self, rows: int) -> float:
        """Return what a client of so many rows weighs; one without rows weighs nothing."""
        return float(rows if self.weighting == "rows" else rows > 0)

    def _pull(self, start: Vector) -> Correct | None:
        return pull_to(start, self.proximal) if self.proximal else None


def pull_to(centre: Vector, strength: float) -> Correct:
    """Return what adds strength · (weights − centre) to a gradient."""
    factor = centre.dtype.type(strength)

    def correct(gradient: Vector, weights: Vector) -> None:
        gradient += factor * (weights - centre)

    return correct

"""MOCHA: a linear model for each client, and how the clients' tasks relate, both learned.

    min over W, Ω:  Σ_t Σ_i loss(x_ti · w_t, y_ti) + strength/2 · tr(W Ω⁻¹ Wᵀ) + l2/2 · |W|²

with Ω positive and of trace 1: tasks that it relates pull each other, to the same side or apart.
For a fixed Ω clients work on the dual of their own loss; for fixed W, Ω = (WᵀW)^½ / trace. Sources:
Smith, Chiang, Sanjabi, Talwalkar, "Federated Multi-Task Learning" (NIPS 2017), algorithm 1; Zhang
and Yeung, "A Convex Formulation for Learning Task Relationships" (UAI 2010), for Ω.

Who sees what: the aggregator sees each client's dual change, and so each client's weights after
every round; it needs them one by one, so no mask and no sum can stand before it. A client is sent
its own weights and one number of the relation, never another client's weights.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.core.errors import DataError, UserError
from atoll.learning.horizontal.algorithm import (
    WEIGHTS,
    Algorithm,
    ClientResult,
    ClientWork,
    State,
    Vectors,
)
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows, LocalWork
from atoll.learning.horizontal.sums import Update, parted

Floats = npt.NDArray[np.float64]
CHANGE, ROWS, DUAL, RELATION, CURVATURE = "change", "rows", "dual", "relation", "curvature"
# Steps of Newton's method, and the chance that it begins at, at the most; rows whose products are
# all taken.
_NEWTON, _SURE, _PAIRS = 15, 1e-9, 512


class Mocha(Algorithm):
    """One linear or logistic model (``models.linear``, width 1) for each of ``tasks`` clients.

    Client k is task k. A client does ``local`` work, as much as it can: any part of it, or none in
    a round, slows the training down and leaves its optimum as it is. The loss is summed over rows,
    so ``strength`` is measured in rows; the bias is one more weight. ``floor`` of Ω is the
    identity, so that no task is cut off for good. All is float64: the state holds ``weights`` and
    ``dual`` [tasks · size] and ``relation`` [tasks · tasks].

    Errors: ATL-HOR-115 a client beyond ``tasks``; ATL-HOR-116 a client whose number of rows is
    another than in its rounds before.
    """

    separate: ClassVar[bool] = True

    tasks: int = Field(ge=1, le=1 << 11, description="clients, each with a task of its own")
    family: Literal["linear", "logistic"] = Field(
        default="linear", description="what labels are: numbers, or 0 and 1"
    )
    local: LocalWork = LocalWork()
    strength: float = Field(default=1.0, gt=0, le=1e9, description="pull of related tasks")
    l2: float = Field(default=0.0, ge=0, le=1e9, description="pull of each model to zero")
    relate_every: int = Field(
        default=5, ge=0, le=1 << 16, description="rounds between two relations; 0: tasks stay apart"
    )
    floor: float = Field(default=0.01, gt=0, le=1, description="share of no relation in each")

    def start(self, weights: Vector) -> State:
        """See ``Algorithm.start``; ``weights`` float[size] are those of one task, and not used."""
        apart = np.eye(self.tasks) / self.tasks
        nothing = np.zeros(self.tasks * len(weights))
        return State(0, {WEIGHTS: nothing, DUAL: nothing.copy(), RELATION: apart.ravel()})

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``: of all tasks, for ``sent_to``."""
        reach = np.abs(self._inverse(state.vectors[RELATION])).sum(axis=1)
        return {WEIGHTS: state.weights, CURVATURE: reach}

    def sent_to(self, message: Vectors, number: int) -> Vectors:
        """See ``Algorithm.sent_to``: a client's own weights, and what its change weighs."""
        if number >= self.tasks:
            raise UserError(
                "ATL-HOR-115", f"client {number} has no task: there are {self.tasks}, from 0"
            )
        own = message[WEIGHTS].reshape(self.tasks, -1)[number]
        return {WEIGHTS: own, CURVATURE: message[CURVATURE][number : number + 1]}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``: coordinate steps on the dual of this client's loss."""
        weights, (reach,) = work.sent[WEIGHTS], work.sent[CURVATURE].tolist()
        rows = len(work.data)
        dual = np.array(work.kept.get(DUAL, np.zeros(rows)))
        if len(dual) != rows:
            raise DataError(
                "ATL-HOR-116",
                f"a client has {rows} rows, and {len(dual)} in its rounds before",
                hint="a client's rows stay as they are from the first round to the last",
            )
        change = np.zeros(len(weights))
        for order in self.local.orders(rows, work.generator):
            size = self.local.step_rows(rows)
            for first in range(0, len(order), size):
                chosen = order[first : first + size]
                batch = _with_bias(ClientRows(work.data.rows[chosen], work.data.targets[chosen]))
                values = batch.rows @ (weights + reach * change)
                step = self._step(batch.targets, dual[chosen], values, reach * _reach(batch.rows))
                dual[chosen] += step
                change += step @ batch.rows
        return ClientResult(Update({CHANGE: change}, {ROWS: float(rows)}), {DUAL: dual})

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``; ``total`` holds each client's update under its number."""
        dual = state.vectors[DUAL].reshape(self.tasks, -1).copy()
        for number, update in parted(total).items():
            dual[number] += update.vectors[CHANGE]
        relation = state.vectors[RELATION]
        weights = self._inverse(relation) @ dual
        if self.relate_every and (state.round + 1) % self.relate_every == 0:
            relation = self._related(weights, relation)
            weights = self._inverse(relation) @ dual
        return state.next(**{WEIGHTS: weights.ravel(), DUAL: dual.ravel(), RELATION: relation})

    def _inverse(self, relation: Vector) -> Floats:
        """Return (strength · Ω⁻¹ + l2)⁻¹, float64[tasks, tasks]: what dual vectors weigh."""
        values, axes = np.linalg.eigh(relation.reshape(self.tasks, self.tasks))
        values = np.maximum(values, 0)
        found: Floats = (axes * (values / (self.strength + self.l2 * values))) @ axes.T
        return found

    def _related(self, weights: Vector, former: Vector) -> Vector:
        """Return Ω for these weights, float64[tasks · tasks]; the former where all are 0."""
        values, axes = np.linalg.eigh(weights @ weights.T)
        roots = np.sqrt(np.maximum(values, 0))
        if roots.sum() <= 0:
            return former
        share = (1 - self.floor) * roots / roots.sum() + self.floor / self.tasks
        found: Floats = ((axes * share) @ axes.T).ravel()
        return found

    def _step(self, targets: Vector, dual: Vector, values: Vector, reach: Vector) -> Vector:
        """Return the best change of each dual value by itself, float64[rows].

        ``values`` are the rows' predictions now; a change s adds at most reach · s²/2.
        """
        if self.family == "linear":
            return np.asarray((targets - dual - values) / (1 + reach), dtype=np.float64)
        chance = targets - dual
        return np.asarray(chance - _chance(values, chance, reach), dtype=np.float64)


def _with_bias(data: ClientRows) -> ClientRows:
    """Return rows with a column of ones, as the models' bias lies, and targets in float64."""
    ones = np.ones((len(data), 1))
    return ClientRows(np.hstack([data.rows, ones]), np.asarray(data.targets, dtype=np.float64))


def _reach(rows: Vector) -> Floats:
    """Return float64[n] whose diagonal matrix is at least the rows' products with each other."""
    if len(rows) <= _PAIRS:
        return np.asarray(np.abs(rows @ rows.T).sum(axis=1))
    lengths = np.sqrt(np.square(rows).sum(axis=1))
    return np.asarray(lengths * lengths.sum())


def _chance(values: Vector, former: Vector, reach: Vector) -> Vector:
    """Return p with logit(p) = values - reach · (p - former), float64[rows].

    Newton's method for logit(p), whose equation is convex below 0 and concave above: on the side of
    the root, steps never pass it twice.
    """
    low, high = values - reach * (1 - former), values + reach * former
    below = reach * (0.5 - former) > values
    low, high = np.where(below, low, np.maximum(low, 0)), np.where(below, np.minimum(high, 0), high)
    sure = np.clip(former, _SURE, 1 - _SURE)
    at = np.clip(np.log(sure / (1 - sure)), low, high)
    for _ in range(_NEWTON):
        chance = _logistic(at)
        error = at - values + reach * (chance - former)
        at = np.clip(at - error / (1 + reach * chance * (1 - chance)), low, high)
    return _logistic(at)


def _logistic(values: Vector) -> Vector:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))))

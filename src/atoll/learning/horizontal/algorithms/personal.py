"""Personalised training: Ditto, Per-FedAvg and FedRep. What is personal stays at its client.

Sources: Li et al., "Ditto" (ICML 2021), algorithm 1; Fallah et al., "Personalized Federated
Learning: A Meta-Learning Approach" (NeurIPS 2020), with its first-order and Hessian-free steps;
Collins et al., "Exploiting Shared Representations" (ICML 2021), algorithm 1.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.learning.horizontal.algorithm import WEIGHTS, ClientResult, ClientWork, Vectors
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg, pull_to
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows, Correct, LocalTraining, train
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.sums import Update

PERSONAL, HEAD = "personal", "head"


class Ditto(FedAvg):
    """FedAvg, while each client also trains a model of its own that is pulled to the global one."""

    strength: float = Field(default=0.1, ge=0, le=1e3, description="pull of the own model")
    own: LocalTraining = LocalTraining()

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        start = work.sent[WEIGHTS]
        own = np.array(work.kept.get(PERSONAL, start))
        pull = pull_to(start, self.strength)
        train(work.model, own, work.data, self.own, work.generator, pull)
        return ClientResult(super().client(work).update, {PERSONAL: own})

    def personal(self, sent: Vectors, kept: Vectors) -> Vector:
        """See ``Algorithm.personal``."""
        return kept.get(PERSONAL, sent[WEIGHTS])


class PerFedAvg(FedAvg):
    """The global model is trained to be good after ``adaptation`` steps on a client's own rows.

    ``method`` first-order leaves the second derivative out; hessian-free takes it as a difference
    of two gradients at distance ``distance``. Each local step uses three batches of its own.
    """

    method: Literal["first-order", "hessian-free"] = "hessian-free"
    inner_rate: float = Field(default=0.05, gt=0, le=10, description="step of the adaptation")
    distance: float = Field(default=1e-2, gt=0, le=1, description="of the two gradients")

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        start = work.sent[WEIGHTS]
        weights = start.copy()
        batches = [self.local.batches(work.data, work.generator) for _ in range(3)]
        for first, second, third in zip(*batches, strict=False):
            weights -= self._step(work.model, weights, (first, second, third))
        weights -= start
        weight = self.weight(len(work.data))
        weights *= weights.dtype.type(weight)
        return ClientResult(Update({CHANGE: weights}, {WEIGHT: weight}))

    def adapted(self, model: Model, sent: Vectors, data: ClientRows, steps: int) -> Vector:
        """Return the global weights after so many steps over all of a client's rows."""
        weights = sent[WEIGHTS].copy()
        gradient, at = np.empty_like(weights), model.gradient_of(weights)
        for _ in range(steps if len(data) else 0):
            at(data.rows, data.targets, gradient)
            weights -= weights.dtype.type(self.inner_rate) * gradient
        return weights

    def _step(self, model: Model, weights: Vector, batches: tuple[ClientRows, ...]) -> Vector:
        first, second, third = batches
        number = weights.dtype.type
        inner = _gradient(model, weights, first)
        step = _gradient(model, weights - number(self.inner_rate) * inner, second)
        if self.method == "hessian-free":
            length = float(np.linalg.norm(step)) or 1.0
            move = step * number(self.distance / length)
            ahead = _gradient(model, weights + move, third)
            behind = _gradient(model, weights - move, third)
            step -= (ahead - behind) * number(self.inner_rate * length / (2 * self.distance))
        step *= number(self.local.learning_rate)
        return step


def _gradient(model: Model, weights: Vector, batch: ClientRows) -> Vector:
    into = np.empty_like(weights)
    model.gradient_of(weights)(batch.rows, batch.targets, into)
    return into


class FedRep(FedAvg):
    """All share the arrays but ``head``; each client keeps a head of its own.

    A round trains the head first (``own``), with the rest held, then the rest (``local``). The
    head's part of what is sent is zero.
    """

    head: frozenset[str] = Field(min_length=1, description="the arrays that stay at each client")
    own: LocalTraining = LocalTraining()

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        head = work.model.layout.select(self.head)
        start = self.personal(work.sent, work.kept)
        weights = start.copy()
        train(work.model, weights, work.data, self.own, work.generator, _only(head))
        kept = {PERSONAL: np.where(head, weights, 0).astype(start.dtype), HEAD: head.astype("f4")}
        train(work.model, weights, work.data, self.local, work.generator, _only(~head))
        change = np.where(head, 0, weights - start).astype(start.dtype)
        weight = self.weight(len(work.data))
        update = Update({CHANGE: change * start.dtype.type(weight)}, {WEIGHT: weight})
        return ClientResult(update, kept)

    def personal(self, sent: Vectors, kept: Vectors) -> Vector:
        """See ``Algorithm.personal``."""
        if PERSONAL not in kept:
            return sent[WEIGHTS]
        return np.where(kept[HEAD] > 0, kept[PERSONAL], sent[WEIGHTS])


def _only(chosen: npt.NDArray[np.bool_]) -> Correct:
    held = ~chosen

    def correct(gradient: Vector, _: Vector) -> None:
        gradient[held] = 0

    return correct

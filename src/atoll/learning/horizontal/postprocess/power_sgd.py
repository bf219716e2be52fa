"""PowerSGD with one sum a round: matrices of a model travel as their product with a thin basis.

PowerSGD (Vogels, Karimireddy, Jaggi, NeurIPS 2019, algorithm 1) takes two sums a step: of P = M Q,
then of Mᵀ P once P is orthogonal. Here a round has one of the two, on alternate sides, with the
basis of the sum before it: half a step of the power iteration a round, as Vogels, Karimireddy,
Jaggi, "Practical Low-Rank Communication Compression in Decentralized Deep Learning" (NeurIPS 2020)
and Zhang et al., "Evaluation and Optimization of Gradient Compression for Distributed Deep
Learning" (ICDCS 2023) alternate. What it gives up: the basis is of the round before, so that what
is new in a round is sent one or two rounds later, through the error feedback.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from atoll.core.errors import UserError
from atoll.learning.horizontal.algorithm import (
    Algorithm,
    ClientResult,
    ClientWork,
    State,
    Vectors,
)
from atoll.learning.horizontal.layout import Layout, Vector
from atoll.learning.horizontal.sums import Update

BASIS, SIDE, LEFT_OUT = "power.basis.", "power.side", "power.left out."
_SEED = 0x9E37


class Factor(NamedTuple):
    """Where a matrix lies in a vector of the model, and its shape."""

    span: slice
    rows: int
    columns: int


class PowerSGD(Algorithm):
    """Trains as ``algorithm`` does, with ``vectors`` of its updates at rank ``rank``.

    ``arrays`` is the model's layout. An array of shape (a, b, …) is a matrix of a rows if rank is
    below both its sides; others, biases mostly, travel as they are. The bases have orthonormal
    columns, are part of the aggregator's state and are sent to all: so what leaves a client is a
    linear function of its update, never longer in L2 norm, that a clip, noise and a mask may
    follow. The rest stays with the client for its next round (``feedback``), before any clip.
    Errors: ATL-HOR-121 an update or a state that is not of this layout.
    """

    algorithm: Algorithm
    arrays: tuple[tuple[str, tuple[int, ...]], ...]
    vectors: tuple[str, ...] = Field(default=("change",), description="which ones are compressed")
    rank: int = Field(default=2, ge=1, le=256, description="columns of a basis")
    feedback: bool = Field(default=True, description="whether what is left out is sent later")

    @model_validator(mode="after")
    def _a_model(self) -> Self:
        Layout(self.arrays)
        return self

    def start(self, weights: Vector) -> State:
        """See ``Algorithm.start``; the first bases are the same for all trainings."""
        state = self.algorithm.start(weights)
        generator = np.random.Generator(np.random.Philox(key=_SEED))
        drawn = [generator.normal(size=(f.columns, self.rank)) for f in self._factors()]
        basis = _joined([_orthonormal(table) for table in drawn], weights)
        bases = {BASIS + name: basis for name in self.vectors}
        return State(state.round, {**state.vectors, **bases, SIDE: np.zeros(1, weights.dtype)})

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        own = {BASIS + name: state.vectors[BASIS + name] for name in self.vectors}
        return {**self.algorithm.message(_inner(state)), **own, SIDE: state.vectors[SIDE]}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        sent = {name: v for name, v in work.sent.items() if not _own(name)}
        result = self.algorithm.client(replace(work, sent=sent))
        vectors, kept = dict(result.update.vectors), dict(result.kept)
        for name in self.vectors:
            whole = self._of_layout(result.update, name)
            carried = work.kept.get(LEFT_OUT + name)
            if carried is not None and self.feedback:
                whole = whole + carried
            vectors[name] = self._reduced(whole, work.sent, name)
            if self.feedback:
                kept[LEFT_OUT + name] = whole - self._restored(vectors[name], work.sent, name)
        return ClientResult(Update(vectors, result.update.numbers), kept)

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        vectors, bases = dict(total.vectors), dict[str, Vector]()
        for name in self.vectors:
            reduced = total.vectors[name]
            vectors[name] = self._restored(reduced, state.vectors, name)
            tables = self._tables(reduced, state.vectors[SIDE])
            next_ = [_orthonormal(table) for table in tables]
            bases[BASIS + name] = _joined(next_, state.weights)
        after = self.algorithm.aggregate(_inner(state), Update(vectors, total.numbers))
        side = 1 - state.vectors[SIDE]
        return State(after.round, {**after.vectors, **bases, SIDE: side})

    def personal(self, sent: Vectors, kept: Vectors) -> Vector:
        """See ``Algorithm.personal``."""
        return self.algorithm.personal(sent, kept)

    def values(self, round_: int) -> int:
        """Return how many values one of ``vectors`` takes, in rounds of an even or odd number."""
        sides = [f.columns if round_ % 2 else f.rows for f in self._factors()]
        return self.rank * sum(sides) + int(self._plain().sum())

    def _of_layout(self, update: Update, name: str) -> Vector:
        vector = update.vectors.get(name)
        if vector is None or vector.shape != (Layout(self.arrays).size,):
            raise UserError(
                "ATL-HOR-121",
                f"an update has no vector {name!r} of the model that is to be compressed",
                hint="state the model's own layout, and vectors that the algorithm sums",
            )
        return vector

    def _reduced(self, whole: Vector, sent: Vectors, name: str) -> Vector:
        """Return the products with the bases, matrix by matrix, then what travels as it is."""
        parts = []
        for factor, basis, right in self._with_bases(sent, name):
            table = whole[factor.span].reshape(factor.rows, factor.columns)
            parts.append((table @ basis if right else table.T @ basis).reshape(-1))
        return np.concatenate([*parts, whole[self._plain()]])

    def _restored(self, reduced: Vector, sent: Vectors, name: str) -> Vector:
        whole = np.empty(Layout(self.arrays).size, reduced.dtype)
        tables = self._tables(reduced, sent[SIDE])
        for table, (factor, basis, right) in zip(tables, self._with_bases(sent, name), strict=True):
            made = table @ basis.T if right else basis @ table.T
            whole[factor.span] = made.reshape(-1)
        plain = self._plain()
        whole[plain] = reduced[len(reduced) - int(plain.sum()) :]
        return whole

    def _tables(self, reduced: Vector, side: Vector) -> list[Vector]:
        """Return the products that lie in ``reduced``, [rows or columns, rank] each."""
        right, start, tables = not side[0], 0, []
        for factor in self._factors():
            height = factor.rows if right else factor.columns
            stop = start + height * self.rank
            tables.append(reduced[start:stop].reshape(height, self.rank))
            start = stop
        return tables

    def _with_bases(self, sent: Vectors, name: str) -> Iterator[tuple[Factor, Vector, bool]]:
        """Yield each matrix with its basis, and whether that stands at its right."""
        right, start = not sent[SIDE][0], 0
        for factor in self._factors():
            height = factor.columns if right else factor.rows
            stop = start + height * self.rank
            yield factor, sent[BASIS + name][start:stop].reshape(height, self.rank), right
            start = stop

    def _factors(self) -> list[Factor]:
        layout = Layout(self.arrays)
        found = []
        for name, shape in self.arrays:
            rows, columns = shape[0] if shape else 1, math.prod(shape[1:])
            if self.rank < min(rows, columns):
                found.append(Factor(layout.spans[name], rows, columns))
        return found

    def _plain(self) -> Vector:
        plain = np.ones(Layout(self.arrays).size, np.bool_)
        for factor in self._factors():
            plain[factor.span] = False
        return plain  # type: ignore[return-value]


def _own(name: str) -> bool:
    return name.startswith(BASIS) or name == SIDE


def _inner(state: State) -> State:
    return State(state.round, {n: v for n, v in state.vectors.items() if not _own(n)})


def _orthonormal(table: Vector) -> Vector:
    """Return an orthonormal basis [n, rank] of the columns (and of others, if they are fewer)."""
    basis: Vector = np.linalg.qr(table.astype(np.float64))[0]
    return basis


def _joined(bases: list[Vector], like: Vector) -> Vector:
    parts = [basis.reshape(-1) for basis in bases]
    # A model without a matrix has a basis of one value, since every array needs some.
    whole = np.concatenate(parts) if parts else np.zeros(1)
    return whole.astype(like.dtype)

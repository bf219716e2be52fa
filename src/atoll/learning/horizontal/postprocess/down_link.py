"""What the aggregator sends, as a compressed difference to what its clients hold.

The aggregator keeps the exact model, and beside it the one that all clients hold. A round sends the
compressed difference of the two, and both sides add it: what one difference leaves out stays in the
next one, which is the error feedback. Sources: Gruntkowska, Tyurin, Richtárik, "EF21-P and Friends"
(ICML 2023), algorithm 1; Philippenko, Dieuleveut, "Preserved Central Model for Faster Bidirectional
Compression" (NeurIPS 2021).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from atoll.core.errors import UserError
from atoll.learning.horizontal.algorithm import (
    Algorithm,
    ClientResult,
    ClientWork,
    State,
    Vectors,
    wrapped,
)
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Bytes, Passage
from atoll.learning.horizontal.postprocess.compress import Quantise, TopK
from atoll.learning.horizontal.sums import Update

HELD = "held."


class DownLink(Algorithm):
    """Trains as ``algorithm`` does, from the model that all clients hold alike.

    ``coder`` writes the differences. A client that holds the model of the round before is sent one
    difference; one that missed rounds is sent those that it missed, or all of the state where that
    is less, as one that never took part (``traffic`` counts so). What is sent beside the model by
    ``PowerSGD`` or ``AdaptiveClip`` goes whole: they wrap this one. Differences follow from what
    is sent anyway: nothing more is revealed.
    Errors: ATL-HOR-122 a coder with feedback of its own, which would count errors twice,
    ATL-HOR-124 one whose errors would grow.
    """

    algorithm: Algorithm
    coder: TopK | Quantise = Field(description="how a difference is written")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.coder.feedback:
            raise UserError(
                "ATL-HOR-122",
                "a compressed down-link feeds errors back by itself",
                hint="switch the coder's own feedback off",
            )
        if isinstance(self.coder, Quantise):
            self.coder.require_shrinking()
        return self

    def start(self, weights: Vector) -> State:
        """See ``Algorithm.start``."""
        state = self.algorithm.start(weights)
        held = {HELD + name: v for name, v in self.algorithm.message(state).items()}
        return State(state.round, {**state.vectors, **held})

    def message(self, state: State) -> Vectors:
        """Return what every client holds once it has what it is sent."""
        return _held(state)

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        return self.algorithm.client(work)

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        after = self.algorithm.aggregate(_inner(state), total)
        held, _ = self.step(_held(state), self.algorithm.message(after), after.round)
        return State(after.round, {**after.vectors, **{HELD + n: v for n, v in held.items()}})

    def personal(self, sent: Vectors, kept: Vectors) -> Vector:
        """See ``Algorithm.personal``."""
        return self.algorithm.personal(sent, kept)

    def step(self, held: Vectors, exact: Vectors, round_: int) -> tuple[Vectors, dict[str, Bytes]]:
        """Return what clients hold next, and the bytes that take them there.

        Random rounding follows from the round's number, so that a resumed run has the same bits.
        """
        own = np.random.Generator(np.random.Philox(key=round_))
        wire: dict[str, Bytes] = {}
        away = {name: vector - held[name] for name, vector in sorted(exact.items())}
        sent = self.coder.client(Update(away, {}), Passage({}, own, wire=wire))
        return {n: _added(held[n], sent.vectors[n]) for n in exact}, wire

    def exact(self, state: State) -> Vectors:
        """Return what the aggregator would send without compression."""
        return self.algorithm.message(_inner(state))

    def after(self, held: Vectors, differences: Vectors) -> Vectors:
        """Return what a client holds next, by what it holds and reads of ``step``'s bytes."""
        return {name: _added(vector, differences[name]) for name, vector in held.items()}


def _held(state: State) -> Vectors:
    return {n.removeprefix(HELD): v for n, v in state.vectors.items() if n.startswith(HELD)}


def _inner(state: State) -> State:
    return State(state.round, {n: v for n, v in state.vectors.items() if not n.startswith(HELD)})


def _added(held: Vector, change: Vector) -> Vector:
    return held + change.astype(held.dtype, copy=False)


def down_link(algorithm: Algorithm) -> DownLink | None:
    """Return the compressed down-link that an algorithm is, or wraps."""
    return next((part for part in wrapped(algorithm) if isinstance(part, DownLink)), None)

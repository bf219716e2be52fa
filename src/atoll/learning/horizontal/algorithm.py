"""What an algorithm is: what a client computes, what is summed, what becomes of the sum.

All state is explicit: the aggregator's is a ``State``, a client's own is a mapping of vectors that
stays with it. Both are plain arrays, so that a checkpoint holds everything and a run resumes to
the same bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.sums import Extent, Update

Vectors = Mapping[str, Vector]
WEIGHTS = "weights"


@dataclass(frozen=True)
class State:
    """The aggregator's state: the rounds that ended, and vectors by name, with ``weights``."""

    round: int
    vectors: Vectors

    @property
    def weights(self) -> Vector:
        """The global model's weights, float[size]."""
        return self.vectors[WEIGHTS]

    def next(self, **changed: Vector) -> State:
        """Return the state after one more round, with these vectors in place of the former."""
        return State(self.round + 1, {**self.vectors, **changed})


@dataclass(frozen=True)
class ClientWork:
    """One client's share of a round.

    ``sent`` is what the aggregator sent, ``kept`` what this client kept of earlier rounds (empty
    at its first), ``data`` its rows. ``generator`` draws its batches and samples, which no one
    else knows between parties. ``clients`` is the number of
    registered clients, which all know.
    """

    model: Model
    sent: Vectors
    kept: Vectors
    data: ClientRows
    generator: np.random.Generator
    clients: int


@dataclass(frozen=True)
class ClientResult:
    """What a client sends, and what it keeps for its next round.

    ``cut`` is the code of what did not fit and was cut, for its owner alone.
    """

    update: Update
    kept: Vectors = field(default_factory=dict)
    cut: str = ""


class Algorithm(BaseModel, ABC):
    """A way to train; its fields are its parameters. Holds no state.

    ``client`` runs where the rows are; the aggregator sees its ``update`` (or only the sum of all,
    behind a secure sum) and never ``kept``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The number that all vectors of an update are multiplied by, where nothing but their mean
    # enters the state: a robust rule can then take the place of the sum. None: it cannot.
    weighed_by: ClassVar[str | None] = None
    # The number that says what the clients of a sum weigh. None: there is none.
    stated_weight: ClassVar[str | None] = None
    # The vectors of an update that are within a bound times ``units``.
    weighed: ClassVar[tuple[str, ...]] = ()
    # Whether ``aggregate`` needs each client's update by itself (``sums.joined``), not their sum.
    separate: ClassVar[bool] = False

    def start(self, weights: Vector) -> State:
        """Return the state before the first round."""
        return State(0, {WEIGHTS: weights})

    def message(self, state: State) -> Vectors:
        """Return what every client of a round is sent."""
        return {WEIGHTS: state.weights}

    def sent_to(self, message: Vectors, number: int) -> Vectors:
        """Return what of a round's message this client is sent: all of it, unless each has own."""
        return message

    @abstractmethod
    def client(self, work: ClientWork) -> ClientResult:
        """Return a client's update for this round. A client without rows has weight 0."""

    @abstractmethod
    def aggregate(self, state: State, total: Update) -> State:
        """Return the state after a round whose updates add up to ``total``."""

    def heaviest(self, of: Extent) -> float:
        """Return what one client weighs at most."""
        return 1.0 if self._equal else of.largest

    def units(self, numbers: Mapping[str, float], of: Extent) -> float:
        """Return what ``weighed`` is within the bound times of, in an update or a sum."""
        return numbers[self.stated_weight or ""]

    def possible(self, found: Update, of: Extent) -> bool:
        """Return whether the numbers of an update, or a sum, can be those of honest clients."""
        weight = found.numbers.get(self.stated_weight or "", 0.0)
        most = of.updates if self._equal else of.rows
        return 0 <= weight <= most and weight == round(weight)

    @property
    def _equal(self) -> bool:
        """Whether all clients with rows weigh alike."""
        return getattr(self, "weighting", "rows") == "equal"

    def personal(self, sent: Vectors, kept: Vectors) -> Vector:
        """Return the weights that a client uses itself: the global ones, unless it keeps own."""
        return sent[WEIGHTS]


def wrapped(algorithm: Algorithm) -> Iterator[Algorithm]:
    """Yield an algorithm, then the one that it wraps, and so on."""
    at: object = algorithm
    while isinstance(at, Algorithm):
        yield at
        at = getattr(at, "algorithm", None)

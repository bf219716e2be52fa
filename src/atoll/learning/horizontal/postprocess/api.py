"""A postprocessor: a hook at the client, a hook on the sum, and how many bytes travel.

At clients the hooks run in the chain's order, at the aggregator backwards. ``linear`` ones give of
a sum what they give of its parts, so a secure sum can stand behind them; the others decide by the
values of one client (its largest ones, its scale) and cannot be masked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from atoll.core.random import SecretRandom
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.sums import Extent, Update

Bytes = npt.NDArray[np.uint8]


class Stage(IntEnum):
    """Where in a chain a postprocessor may stand (PROTOCOLS 9 and 10): never before a lower one."""

    FEEDBACK = 0
    CLIP = 1
    COMPRESS = 2
    NOISE = 3
    MASK = 4


@dataclass
class Passage:
    """One update's way through a chain.

    ``public`` draws what all clients of a round draw alike, afresh for each hook by its name;
    ``own`` draws for this client alone, ``secret`` what no one else may know (noise of privacy:
    never from a seed that others have). ``kept`` is what the client keeps for its next round, and
    is written only by hooks that carry something over. Where ``wire`` is a dict, a ``Coder`` writes
    into it the bytes that stand for each vector on its way. Where ``cut`` is a list, a mask cuts
    what does not fit to its range and writes there the code of what it would have refused.
    """

    public: Mapping[str, np.random.Generator]
    own: np.random.Generator
    kept: dict[str, Vector] = field(default_factory=dict)
    secret: SecretRandom = field(default_factory=SecretRandom)
    wire: dict[str, Bytes] | None = None
    cut: list[str] | None = None


class Limits(NamedTuple):
    """What the vectors of an update, or of a sum, are within.

    ``most`` is the greatest absolute value, ``norm`` the L2 norm of all vectors together.
    """

    most: float
    norm: float


class Postprocessor(BaseModel, ABC):
    """One link of a chain; its fields are its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: ClassVar[Stage]
    linear: ClassVar[bool] = True

    @abstractmethod
    def client(self, update: Update, passage: Passage) -> Update:
        """Return the update that goes on towards the aggregator."""

    def on_ring(self, total: Update, passage: Passage) -> Update:
        """Return a masked sum in ring units as it is before any sign is read."""
        return total

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """Return the sum as it would be without this link, vectors float[size] again."""
        return total

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """Return why this link may not stand in a chain of these links, None if it may."""
        return None

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """Return what honest vectors are within behind this link; ``size`` values in all before."""
        return before

    def length(self, size: int) -> int:
        """Return how many values a vector of so many has behind this link."""
        return size

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """Return how many values of how many bits travel, where so many would without this link."""
        return self.length(values), bits


class Coder(Postprocessor):
    """A link behind which a vector travels as bytes of its own form; it depends on one client.

    ``client`` leaves the vector as the aggregator reads it, so that a simulation adds what is
    really read; ``read`` of what it wrote into ``Passage.wire`` is that vector in float32.
    """

    stage: ClassVar[Stage] = Stage.COMPRESS
    linear: ClassVar[bool] = False

    @abstractmethod
    def coded_bytes(self, size: int) -> int:
        """Return how many bytes stand for a vector of so many values: the same for all vectors."""

    @abstractmethod
    def read(self, data: Bytes, size: int) -> Vector:
        """Return float32[size] of uint8[coded_bytes(size)] from elsewhere.

        Errors: ValueError for bytes that ``client`` does not write.
        """

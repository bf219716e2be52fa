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
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from atoll.core.random import SecretRandom
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.sums import Update


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
    is written only by hooks that carry something over.
    """

    public: Mapping[str, np.random.Generator]
    own: np.random.Generator
    kept: dict[str, Vector] = field(default_factory=dict)
    secret: SecretRandom = field(default_factory=SecretRandom)


class Postprocessor(BaseModel, ABC):
    """One link of a chain; its fields are its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: ClassVar[Stage]
    linear: ClassVar[bool] = True

    @abstractmethod
    def client(self, update: Update, passage: Passage) -> Update:
        """Return the update that goes on towards the aggregator."""

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """Return the sum as it would be without this link, vectors float[size] again."""
        return total

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """Return why this link may not stand in a chain of these links, None if it may."""
        return None

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """Return how many values of how many bits travel, where so many would without this link."""
        return values, bits

"""A chain of postprocessors, in an order that is sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atoll.core.errors import UserError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.postprocess.api import (
    Coder,
    Limits,
    Passage,
    Postprocessor,
    Stage,
)
from atoll.learning.horizontal.sums import Extent, Update

_WHY = {
    Stage.CLIP: "what is clipped later than it is compressed or given noise has no bound",
    Stage.COMPRESS: "what is compressed after noise was added loses what the noise protects",
    Stage.NOISE: "noise under no mask, or behind one, is not the noise that was accounted for",
    Stage.FEEDBACK: "what was left out must be added before an update is clipped",
}


@dataclass(frozen=True)
class Chain:
    """Links in the order in which an update meets them at its client.

    Errors: ATL-HOR-050 for an order that is not sound, or a mask behind what cannot be summed.
    """

    links: tuple[Postprocessor, ...] = ()

    def __post_init__(self) -> None:
        for before, after in zip(self.links, self.links[1:], strict=False):
            if after.stage < before.stage:
                raise _unsound(f"{_name(after)} after {_name(before)}: {_WHY[after.stage]}")
        carried = [link for link in self.links if getattr(link, "feedback", False)]
        if carried and any(link.stage == Stage.CLIP for link in self.links):
            raise _unsound(f"{_name(carried[0])} adds what it left out after the clip: no bound")
        if sum(isinstance(link, Coder) for link in self.links) > 1:
            raise _unsound("one way to write vectors as bytes is enough")
        masked = any(link.stage == Stage.MASK for link in self.links)
        local = [link for link in self.links if not link.linear]
        if masked and local:
            raise _unsound(f"{_name(local[0])} depends on one client's values and cannot be masked")
        for link in self.links:
            why = link.refusal(self.links)
            if why is not None:
                raise _unsound(f"{_name(link)} {why}")

    def client(self, update: Update, passage: Passage) -> Update:
        """Return what leaves the client."""
        for link in self.links:
            update = link.client(update, passage)
        return update

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """Return the sum of updates as the algorithm takes it, vectors float[size]."""
        for link in self.links:
            total = link.on_ring(total, passage)
        for link, before in reversed(list(zip(self.links, self._lengths(size), strict=True))):
            total = link.aggregate(total, before, passage)
        return total

    @cached_property
    def coder(self) -> Coder | None:
        """The link that writes vectors as bytes of its own form; None: values travel."""
        return next((link for link in self.links if isinstance(link, Coder)), None)

    def limits(self, start: Limits, of: Extent, size: int, vectors: int) -> Limits:
        """Return what so many vectors of ``size`` within ``start`` are within behind all links."""
        for link, before in zip(self.links, self._lengths(size), strict=True):
            start = link.limits(start, of, before * vectors)
        return start

    def length(self, size: int) -> int:
        """Return how many values of a vector of so many leave the client."""
        for link in self.links:
            size = link.length(size)
        return size

    def bytes(self, size: int, vectors: int, bits: int = 32) -> int:
        """Return how many bytes a client's update takes: those of its values, or coded ones.

        Numbers and the messages' frames come on top (``parties``).
        """
        if self.coder is not None:
            return vectors * self.coder.coded_bytes(self.length(size))
        values, width = size, float(bits)
        for link in self.links:
            values, width = link.bits(values, width)
        return vectors * int(np.ceil(values * width / 8))

    def _lengths(self, size: int) -> Iterator[int]:
        """Yield how many values a vector has before each link."""
        for link in self.links:
            yield size
            size = link.length(size)


class RoundRandom(Mapping[str, np.random.Generator]):
    """The generators that all clients of a round derive alike, fresh at each look-up by name."""

    def __init__(self, public: PublicRandom, round_: int) -> None:
        self._public, self._round = public, round_

    def __getitem__(self, name: str) -> np.random.Generator:
        return self._public.generator("horizontal", self._round, name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _name(link: Postprocessor) -> str:
    return type(link).__name__


def _unsound(why: str) -> UserError:
    return UserError("ATL-HOR-050", f"these postprocessors do not work together: {why}")

"""Vectors on their way: in pieces over a channel, and an update as one flat vector and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.channel.api import Channel
from atoll.core.errors import PeerError
from atoll.core.message import Message
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.parties.messages import CODED_PIECE, PIECE, Coded
from atoll.learning.horizontal.postprocess.api import Bytes, Coder
from atoll.learning.horizontal.sums import Update

Piece = Callable[[int, Any], Message]
Format = type[np.float32] | type[np.float64]


def send(channel: Channel, receiver: str, tag: str, make: Piece, vector: Vector) -> None:
    """Send float[n] in pieces; ``make`` states the format. Errors: those of ``Channel.send``."""
    for first in range(0, len(vector), PIECE):
        channel.send(receiver, tag, make(first, vector[first : first + PIECE]))


def receive(
    channel: Channel, sender: str, tag: str, kind: Any, size: int, form: Format = np.float32
) -> Vector:
    """Return the float[size] of format ``form`` that comes in pieces of ``kind``.

    Errors: ATL-HOR-081 another size, or a value that is not finite; those of ``Channel.receive``.
    """
    whole = np.empty(size, form)
    for first in range(0, size, PIECE):
        part = channel.receive(sender, tag, kind)
        wanted = whole[first : first + PIECE]
        if part.first != first or len(part.values) != len(wanted):
            raise wrong(sender, "it has another size")
        wanted[:] = part.values
        if not np.isfinite(wanted).all():
            raise wrong(sender, "a value is not finite")
    return whole


def send_coded(channel: Channel, receiver: str, tag: str, data: Bytes, make: Piece = Coded) -> None:
    """Send the bytes of one vector in pieces. Errors: those of ``Channel.send``."""
    for first in range(0, len(data), CODED_PIECE):
        channel.send(receiver, tag, make(first, data[first : first + CODED_PIECE]))


def receive_coded(
    channel: Channel, sender: str, tag: str, coder: Coder, size: int, kind: Any = Coded
) -> Vector:
    """Return the float32[size] whose bytes come in pieces of ``kind``.

    Errors: ATL-HOR-081 another number of bytes, or others than the coder writes; those of
    ``Channel.receive``.
    """
    whole = np.empty(coder.coded_bytes(size), np.uint8)
    for first in range(0, len(whole), CODED_PIECE):
        part = channel.receive(sender, tag, kind)
        wanted = whole[first : first + CODED_PIECE]
        if part.first != first or len(part.data) != len(wanted):
            raise wrong(sender, "it has another size")
        wanted[:] = part.data
    try:
        vector = coder.read(whole, size)
    except ValueError as error:
        raise wrong(sender, "its bytes stand for no update") from error
    if not np.isfinite(vector).all():
        raise wrong(sender, "a value is not finite")
    return vector


def wrong(sender: str, reason: str) -> PeerError:
    """Return the refusal of a vector that is not of this training."""
    return PeerError(
        "ATL-HOR-081", f"what a party sent is not of this training: {reason}", party=sender
    )


@dataclass(frozen=True)
class Form:
    """The form of all updates of a round: vectors and numbers by name, in their order.

    ``format`` is what values travel in.
    """

    vectors: tuple[tuple[str, int], ...]
    numbers: tuple[str, ...]
    format: Format = np.float32

    @classmethod
    def of(cls, update: Update, format_: Format = np.float32) -> Form:
        """Return the form of an update."""
        vectors = tuple(sorted((name, len(vector)) for name, vector in update.vectors.items()))
        return cls(vectors, tuple(sorted(update.numbers)), format_)

    @property
    def size(self) -> int:
        """The number of values in all vectors."""
        return sum(size for _, size in self.vectors)

    def flat(self, update: Update) -> tuple[Vector, npt.NDArray[np.float64]]:
        """Return all vectors in one, float[size], and the numbers."""
        parts = [update.vectors[name] for name, _ in self.vectors]
        # One vector is not copied.
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0)])
        numbers = [update.numbers[name] for name in self.numbers]
        return whole.astype(self.format, copy=False), np.array(numbers, np.float64)

    def update(self, flat: Vector, numbers: npt.NDArray[np.floating]) -> Update:
        """Return what ``flat`` was made of."""
        ends = np.cumsum([size for _, size in self.vectors])[:-1]
        parts = np.split(flat, ends) if self.vectors else []
        vectors = {name: part for (name, _), part in zip(self.vectors, parts, strict=True)}
        named = zip(self.numbers, numbers.tolist(), strict=True)
        return Update(vectors, {name: float(value) for name, value in named})

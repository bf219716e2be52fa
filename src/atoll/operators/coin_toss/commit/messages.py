"""What the parties of a coin toss send each other."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.message import Message, blob
from atoll.operators.coin_toss.api import SEED_BYTES


@dataclass(frozen=True)
class Commitment(Message, kind="coin-toss.commitment"):
    """A hash that binds the sender to its value."""

    digest: bytes = blob(32, opaque="a hiding hash of fresh random bytes")


@dataclass(frozen=True)
class Opening(Message, kind="coin-toss.opening"):
    """The value, what opens the commitment, and a hash of all commitments that the sender saw."""

    value: bytes = blob(SEED_BYTES, reveals="the sender's part of the public seed")
    opening: bytes = blob(32, opaque="fresh random bytes that hid the commitment")
    seen: bytes = blob(32, opaque="a hash of commitments that the receiver saw, too")

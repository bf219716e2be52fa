"""What the hub of a coin toss passes on."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.message import Message, blob, items, text
from atoll.operators.coin_toss.api import MOST, SEED_BYTES

_NAME = text(160, opaque="names in the plan that both hold")


@dataclass(frozen=True)
class Commitments(Message, kind="coin-toss.commitments"):
    """The commitment of every party, by name."""

    names: tuple[str, ...] = items(_NAME, MOST)
    digests: tuple[bytes, ...] = items(
        blob(32, low=32, opaque="hiding hashes of fresh random bytes"), MOST
    )


@dataclass(frozen=True)
class Openings(Message, kind="coin-toss.openings"):
    """What every party opened, by name, and the hash of all commitments that each saw."""

    names: tuple[str, ...] = items(_NAME, MOST)
    values: tuple[bytes, ...] = items(
        blob(SEED_BYTES, low=SEED_BYTES, reveals="every party's part of the public seed"), MOST
    )
    openings: tuple[bytes, ...] = items(
        blob(32, low=32, opaque="fresh random bytes that hid the commitments"), MOST
    )
    seen: tuple[bytes, ...] = items(
        blob(32, low=32, opaque="hashes of commitments that the receiver saw, too"), MOST
    )

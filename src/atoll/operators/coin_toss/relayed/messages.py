"""What the hub of a coin toss passes on."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.channel.identities import SIGNATURE_BYTES
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
class SignedOpening(Message, kind="coin-toss.signed-opening"):
    """The value, what opens the commitment, and the signature of all commitments that were seen."""

    value: bytes = blob(SEED_BYTES, reveals="the sender's part of the public seed")
    opening: bytes = blob(32, opaque="fresh random bytes that hid the commitment")
    signature: bytes = blob(SIGNATURE_BYTES, opaque="the sender's signature of the commitments")


@dataclass(frozen=True)
class SignedOpenings(Message, kind="coin-toss.signed-openings"):
    """What every party opened, by name, and its signature of all commitments that it saw."""

    names: tuple[str, ...] = items(_NAME, MOST)
    values: tuple[bytes, ...] = items(
        blob(SEED_BYTES, low=SEED_BYTES, reveals="every party's part of the public seed"), MOST
    )
    openings: tuple[bytes, ...] = items(
        blob(32, low=32, opaque="fresh random bytes that hid the commitments"), MOST
    )
    signatures: tuple[bytes, ...] = items(
        blob(SIGNATURE_BYTES, low=SIGNATURE_BYTES, opaque="signatures of the commitments"), MOST
    )

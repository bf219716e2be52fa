"""Who signs as whom within a step: keys of its seats, for seats that do not meet each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from atoll.core.errors import InternalError

SIGNATURE_BYTES = 64


class Identities(Protocol):
    """This seat's signature, and the check of other seats'."""

    def sign(self, data: bytes) -> bytes:
        """Sign as this seat (64 bytes)."""
        ...

    def verify(self, seat: str, data: bytes, signature: bytes) -> bool:
        """Return whether the seat of this address signed ``data``."""
        ...


class NoIdentities:
    """Of steps in which every seat communicates with every other: channels are authentic there."""

    def sign(self, data: bytes) -> bytes:
        """Errors: ATL-INT-001."""
        raise _none()

    def verify(self, seat: str, data: bytes, signature: bytes) -> bool:
        """Errors: ATL-INT-001."""
        raise _none()


def _none() -> InternalError:
    return InternalError("ATL-INT-001", "the seats of this step have no keys to sign with")


@dataclass(frozen=True)
class SeatKeys:
    """Ed25519 keys of the seats of one attempt of a step; ``public`` are 32 bytes each, by address.

    Which key is a seat's was signed by its party's node before (``flow.work.seat_keys``).
    """

    own: Ed25519PrivateKey = field(repr=False)
    public: Mapping[str, bytes]

    def sign(self, data: bytes) -> bytes:
        """See ``Identities.sign``."""
        return self.own.sign(data)

    def verify(self, seat: str, data: bytes, signature: bytes) -> bool:
        """See ``Identities.verify``; a seat that is not there signed nothing."""
        key = self.public.get(seat)
        if key is None or len(signature) != SIGNATURE_BYTES:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

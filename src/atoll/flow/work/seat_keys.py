"""Keys with which the seats of a star sign for each other, vouched for by their nodes.

Such seats communicate with their hub alone, and what they pass through it to each other must not
be the hub's to change. A node makes a fresh Ed25519 key for each own seat of an attempt, signs with
the key of its certificate whose and for what it is, and hands it to the worker through its pipe.
The plan that all signed holds the digest of each party's public key, so each seat checks all the
others' without having met them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from pydantic import Field

from atoll.channel.identities import SeatKeys
from atoll.core import codec
from atoll.core.errors import PeerError
from atoll.core.names import addresses, party_of
from atoll.jobs.approval import PrivateKey, check_signature, key_fingerprint, sign
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import Edges
from atoll.jobs.plan import Plan

KEY_BYTES = 32
SIGNER_BYTES = 256
_CONTEXT = "atoll/seat-key/v1"


class Vouched(NamedTuple):
    """A seat's public key, its node's public key (DER), and the node's signature; empty: none."""

    key: bytes = b""
    signer: bytes = b""
    signature: bytes = b""


class SeatKey(Frozen):
    """What the worker of a seat is handed, all in hexadecimal; ``private`` is the secret key."""

    private: str = Field(pattern="^[0-9a-f]{64}$", repr=False)
    signer: str = Field(pattern="^([0-9a-f]{2}){1,256}$")
    signature: str = Field(pattern="^([0-9a-f]{2}){1,128}$")

    def own(self) -> Ed25519PrivateKey:
        """Return the secret key."""
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.private))

    def vouched(self) -> Vouched:
        """Return what others are sent."""
        key = self.own().public_key().public_bytes_raw()
        return Vouched(key, bytes.fromhex(self.signer), bytes.fromhex(self.signature))


@dataclass(frozen=True)
class KeyScope:
    """What a seat's key is for: an attempt of a step of a plan; ``certificates`` by party."""

    job: str
    plan: str
    step: str
    attempt: int
    certificates: Mapping[str, str]

    def statement(self, seat: str, key: bytes) -> bytes:
        """Return the bytes that a node signs."""
        return codec.encode([_CONTEXT, self.job, self.plan, self.step, self.attempt, seat, key])

    def issue(self, seats: Iterable[str], node: PrivateKey) -> dict[str, SeatKey]:
        """Return fresh keys for own seats, by address, signed with the node's key."""
        public = node.public_key()
        signer = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()
        made = {}
        for seat in seats:
            key = Ed25519PrivateKey.generate()
            signature = sign(self.statement(seat, key.public_key().public_bytes_raw()), node)
            made[seat] = SeatKey(
                private=key.private_bytes_raw().hex(), signer=signer, signature=signature.hex()
            )
        return made

    def check(self, seat: str, vouched: Vouched) -> bytes:
        """Return a seat's public key if its party's node vouched for it. Errors: ATL-WRK-015."""
        party = party_of(seat)
        try:
            node = load_der_public_key(vouched.signer)
            if not isinstance(node, Ed25519PublicKey | EllipticCurvePublicKey):
                raise ValueError("another kind of key")
            if key_fingerprint(node) != self.certificates.get(party):
                raise ValueError("another node")
            check_signature(self.statement(seat, vouched.key), vouched.signature, node, party)
        except (ValueError, UnsupportedAlgorithm, PeerError) as error:
            raise PeerError(
                "ATL-WRK-015",
                f"the key that {seat} would sign with is not vouched for by its node",
                party=party,
                hint="a node that changed its key must plan the job again",
            ) from error
        return vouched.key

    def identities(self, own: SeatKey, others: Mapping[str, Vouched]) -> SeatKeys:
        """Return the checked keys of the seats that are there. Errors: ATL-WRK-015."""
        return SeatKeys(own.own(), {seat: self.check(seat, v) for seat, v in others.items()})


def issued(plan: Plan, place: KeyScope, party: str, node: PrivateKey) -> dict[str, SeatKey]:
    """Return fresh keys for a party's seats where the step is a star; elsewhere none."""
    edges = Edges.of_plain(plan.edges.get(place.step))
    if edges.pairs is None or edges.silent:
        return {}
    seats = addresses(plan.seats_of(place.step))
    return place.issue((seat for seat in seats if party_of(seat) == party), node)

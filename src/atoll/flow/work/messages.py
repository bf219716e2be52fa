"""What the workers of a task send each other before it begins and at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from atoll.core.message import Message, blob, integer, items, text
from atoll.core.names import Role
from atoll.flow.work.seat_keys import KEY_BYTES, SIGNER_BYTES, Vouched
from atoll.jobs.approval import SIGNATURE_BYTES
from atoll.jobs.definition import PARTIES

NONCE_BYTES = 16
MARK_BYTES = 32
KEPT_ROUNDS = 2
SEATS = PARTIES * len(Role)


class RoundMark(NamedTuple):
    """A round that a seat can go on at, and the mark (session id) of the attempt that ended it."""

    round: int
    mark: bytes


@dataclass(frozen=True)
class Hello(Message, kind="flow.hello", version=2):
    """Which task the sender is about to run, with which code, and its fresh nonce.

    ``rounds`` and ``marks`` are the checkpoints that it holds of this step. In a star it also shows
    the key that it signs with, vouched for by its node (``seat_keys``).
    """

    job: str = text(64, opaque="the job's id, known to both")
    plan: str = text(64, opaque="a digest of what every party holds")
    step: str = text(64, opaque="a step of the plan that both hold")
    attempt: int = integer(0, 1 << 32, opaque="a running number that both were given")
    component: str = text(128, opaque="a name in the plan that both hold")
    release: str = text(128, opaque="a version of public code")
    code: str = text(64, opaque="a digest of public code")
    nonce: bytes = blob(NONCE_BYTES, opaque="fresh uniform bytes")
    rounds: tuple[int, ...] = items(
        integer(1, 1 << 40, opaque="rounds of an earlier attempt, which all seats did together"),
        KEPT_ROUNDS,
    )
    marks: tuple[bytes, ...] = items(
        blob(MARK_BYTES, opaque="session ids of earlier attempts, known to all seats"), KEPT_ROUNDS
    )

    key: bytes = blob(KEY_BYTES, low=0, opaque="a fresh public key of Ed25519")
    signer: bytes = blob(SIGNER_BYTES, low=0, opaque="the public key of the sender's certificate")
    signature: bytes = blob(SIGNATURE_BYTES, low=0, opaque="its node's signature of that key")

    @property
    def vouched(self) -> Vouched:
        """The key with which the sender signs in this attempt; empty where none is needed."""
        return Vouched(self.key, self.signer, self.signature)

    @property
    def held(self) -> frozenset[RoundMark]:
        """The checkpoints that the sender holds."""
        return frozenset(map(RoundMark, self.rounds, self.marks))

    def differing(self, other: Hello) -> list[str]:
        """Return the names of the parts that must agree and do not."""
        parts = ("job", "plan", "step", "attempt", "component", "release", "code")
        return [name for name in parts if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Roster(Message, kind="flow.roster", version=2):
    """Who is there at the beginning of a step, each one's fresh nonce and vouched key, in order.

    ``begin`` and ``mark`` are the newest checkpoint that all of them hold; 0 and empty: none.
    """

    seats: tuple[str, ...] = items(text(160, opaque="names in the plan that both hold"), SEATS)
    nonces: tuple[bytes, ...] = items(
        blob(NONCE_BYTES, low=NONCE_BYTES, opaque="fresh uniform bytes"), SEATS
    )
    begin: int = integer(0, 1 << 40, opaque="a round that every seat holds")
    mark: bytes = blob(MARK_BYTES, low=0, opaque="the session id of an earlier attempt")
    keys: tuple[bytes, ...] = items(
        blob(KEY_BYTES, low=0, opaque="fresh public keys of the seats"), SEATS
    )
    signers: tuple[bytes, ...] = items(
        blob(SIGNER_BYTES, low=0, opaque="public keys of the seats' certificates"), SEATS
    )
    signatures: tuple[bytes, ...] = items(
        blob(SIGNATURE_BYTES, low=0, opaque="the nodes' signatures of those keys"), SEATS
    )


@dataclass(frozen=True)
class Finished(Message, kind="flow.finished", version=1):
    """The sender is done with its step and is about to publish its outputs."""

    plan: str = text(64, opaque="a digest of what every party holds")

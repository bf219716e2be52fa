"""What the workers of a task say to each other before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.message import Message, blob, integer, items, text
from atoll.core.names import Role
from atoll.jobs.definition import PARTIES

NONCE_BYTES = 16
SEATS = PARTIES * len(Role)


@dataclass(frozen=True)
class Hello(Message, kind="flow.hello", version=1):
    """Which task the sender is about to run, with which code, and its fresh nonce."""

    job: str = text(64, opaque="the job's id, known to both")
    plan: str = text(64, opaque="a digest of what every party holds")
    step: str = text(64, opaque="a step of the plan that both hold")
    attempt: int = integer(0, 1 << 32, opaque="a running number that both were given")
    component: str = text(128, opaque="a name in the plan that both hold")
    release: str = text(128, opaque="a version of public code")
    code: str = text(64, opaque="a digest of public code")
    nonce: bytes = blob(NONCE_BYTES, opaque="fresh uniform bytes")

    def differing(self, other: Hello) -> list[str]:
        """Return the names of the parts that must agree and do not."""
        parts = ("job", "plan", "step", "attempt", "component", "release", "code")
        return [name for name in parts if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Roster(Message, kind="flow.roster", version=1):
    """Who is there at the beginning of a step, and each one's fresh nonce, in the same order."""

    seats: tuple[str, ...] = items(text(160, opaque="names in the plan that both hold"), SEATS)
    nonces: tuple[bytes, ...] = items(
        blob(NONCE_BYTES, low=NONCE_BYTES, opaque="fresh uniform bytes"), SEATS
    )

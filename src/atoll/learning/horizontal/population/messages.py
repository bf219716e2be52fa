"""What clients of a population and its aggregator send each other, each in one request or answer.

Every request of a member names the digest of the terms that it agreed to. Sizes are bounded before
anything is allocated; an update travels in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atoll.core.message import Message, array, blob, boolean, integer, items, number, text
from atoll.learning.horizontal.conditions import LINKS, Condition
from atoll.learning.horizontal.population.terms import TERMS_BYTES

PIECE = 1 << 20
NUMBERS = 64
CERTIFICATE_BYTES = 8 << 10
SIGNATURE_BYTES = 512
# Bytes of the largest request that is not a piece of an update.
SMALL_BYTES = 32 << 10
# Of a piece beside its values.
PIECE_OVERHEAD = 1024

MODEL = "the common model, and what the algorithm sends beside it, at each task"
OWN = "the client's own update of each task (noisy where the terms have noise)"
FIGURES = "the client's weight in each task, and whether its update was clipped"
CONDITION = "the parts of the client's condition that the terms ask for, at each check-in"
PRESENCE = "that the client is there, at each check-in"
FAILURE = "the code of what a client failed at"
_TOKEN = "uniform bytes of the aggregator"  # noqa: S105 -- why the field is opaque
_LINKS = tuple(LINKS)


@dataclass(frozen=True)
class AskTerms(Message, kind="population.ask-terms"):
    """Someone with a code asks what it would agree to; the code is not used up."""

    code: str = text(64, opaque="the code's own number")
    secret: bytes = blob(16, opaque="the code's secret, from whoever made it")


@dataclass(frozen=True)
class Terms(Message, kind="population.terms"):
    """The terms, the population's authority (DER) and its signature over the terms."""

    document: bytes = blob(TERMS_BYTES, low=1, opaque="what the aggregator publishes to members")
    authority: bytes = blob(CERTIFICATE_BYTES, low=1, opaque="a public certificate")
    signature: bytes = blob(SIGNATURE_BYTES, low=1, opaque="a signature")


@dataclass(frozen=True)
class Enrol(Message, kind="population.enrol"):
    """A client agrees to the terms of this digest and asks for a certificate for its key.

    ``agreement`` is its signature over the digest and the code, by the key of ``request`` (DER).
    """

    code: str = text(64, opaque="the code's own number")
    secret: bytes = blob(16, opaque="the code's secret, from whoever made it")
    digest: bytes = blob(32, opaque="of what the aggregator published")
    request: bytes = blob(CERTIFICATE_BYTES, low=1, opaque="a public key, and proof of its use")
    agreement: bytes = blob(SIGNATURE_BYTES, low=1, opaque="a signature over terms")


@dataclass(frozen=True)
class Certified(Message, kind="population.certified"):
    """A member's number, and its certificate (DER)."""

    number: int = integer(0, 1 << 32, opaque="a running number")
    certificate: bytes = blob(CERTIFICATE_BYTES, low=1, opaque="a public certificate")


@dataclass(frozen=True)
class CheckIn(Message, kind="population.check-in"):
    """A member asks what to do, and shows what the terms ask of its condition; the rest is None.

    ``link`` is the place of its network in the list of kinds, from the poorest on.
    """

    digest: bytes = blob(32, opaque="of the terms that were agreed to")
    battery: float | None = number(reveals=CONDITION, optional=True)
    charging: int | None = integer(0, 1, reveals=CONDITION, optional=True)
    link: int | None = integer(0, len(_LINKS) - 1, reveals=CONDITION, optional=True)
    storage: int | None = integer(0, 1 << 60, reveals=CONDITION, optional=True)
    memory: int | None = integer(0, 1 << 60, reveals=CONDITION, optional=True)
    cores: int | None = integer(0, 1 << 16, reveals=CONDITION, optional=True)
    there: bool = boolean(reveals=PRESENCE)

    @classmethod
    def of(cls, digest: bytes, condition: Condition, shown: frozenset[str]) -> CheckIn:
        """Return the check-in of a machine in ``condition`` that shows no more than ``shown``."""
        parts = {n: v for n, v in condition.model_dump().items() if n in shown and v is not None}
        if "link" in parts:
            parts["link"] = _LINKS.index(parts["link"])
        if "charging" in parts:
            parts["charging"] = int(parts["charging"])
        known = dict.fromkeys(("battery", "charging", "link", "storage", "memory", "cores"))
        return cls(digest, **{**known, **parts}, there=True)

    def condition(self) -> Condition:
        """Return what was shown. Errors: ValueError (pydantic's) it makes no sense."""
        return Condition(
            battery=self.battery,
            charging=None if self.charging is None else bool(self.charging),
            link=None if self.link is None else _LINKS[self.link],
            storage=self.storage,
            memory=self.memory,
            cores=self.cores,
        )


@dataclass(frozen=True)
class Stay(Message, kind="population.stay"):
    """Nothing to do: come back in so many milliseconds. ``lacks`` are the rules not met."""

    milliseconds: int = integer(0, 1 << 32, opaque="the aggregator's pace")
    lacks: tuple[str, ...] = items(text(32, opaque="rules of the terms"), 16)


@dataclass(frozen=True)
class Task(Message, kind="population.task"):
    """A task: the model of this round is to be fetched and trained. ``seconds`` are left for it."""

    round: int = integer(0, 1 << 16, opaque="a running number")
    token: bytes = blob(16, opaque=_TOKEN)
    seconds: int = integer(0, 1 << 30, opaque="the aggregator's pace")


@dataclass(frozen=True)
class Fetch(Message, kind="population.fetch"):
    """The client of a task asks for values of the model from ``first`` on."""

    token: bytes = blob(16, opaque=_TOKEN)
    first: int = integer(0, 1 << 31, opaque="where the piece begins, known to both")


@dataclass(frozen=True)
class Weights(Message, kind="population.weights"):
    """A piece of what the algorithm sends, all vectors in one by the order of their names."""

    first: int = integer(0, 1 << 31, opaque="where the piece begins, known to both")
    values: Any = array("f4", (None,), PIECE, reveals=MODEL)


@dataclass(frozen=True)
class Piece(Message, kind="population.piece"):
    """A piece of a client's update, all vectors in one by the order of their names."""

    token: bytes = blob(16, opaque=_TOKEN)
    first: int = integer(0, 1 << 31, opaque="where the piece begins, known to both")
    values: Any = array("f4", (None,), PIECE, reveals=OWN)


@dataclass(frozen=True)
class Finish(Message, kind="population.finish"):
    """The update's numbers by the order of their names; with them the answer is complete."""

    token: bytes = blob(16, opaque=_TOKEN)
    numbers: Any = array("f8", (None,), NUMBERS, reveals=FIGURES)


@dataclass(frozen=True)
class Failed(Message, kind="population.failed"):
    """The client cannot do its task, for the reason of this code; the traceback stays with it."""

    token: bytes = blob(16, opaque=_TOKEN)
    code: str = text(16, reveals=FAILURE)


@dataclass(frozen=True)
class Receipt(Message, kind="population.receipt"):
    """What became of a piece, an answer or a report; ``code`` is empty where it was taken."""

    code: str = text(16, opaque="what the aggregator did with a message")


@dataclass(frozen=True)
class Renew(Message, kind="population.renew"):
    """A member asks for a further certificate, for the key of ``request`` (DER)."""

    request: bytes = blob(CERTIFICATE_BYTES, low=1, opaque="a public key, and proof of its use")


@dataclass(frozen=True)
class Leave(Message, kind="population.leave"):
    """A member leaves for good."""

    digest: bytes = blob(32, opaque="of the terms that were agreed to")

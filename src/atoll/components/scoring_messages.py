"""Messages of a session that scores single rows, and what they reveal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atoll.core.limits import ID_BYTES
from atoll.core.message import Message, array, blob, boolean, integer, text
from atoll.core.names import Role
from atoll.core.reveal import Reveal

# Requests share a batch until it has so many rows; one request may have as many as a batch holds.
BATCH_ROWS = 512
MOST_ROWS = 10_000
_ROWS = BATCH_ROWS + MOST_ROWS

_IDS = "the ids of the rows that are asked for (bytes)"
_SIZES = "how many rows are asked for, and how long each id is"
_FOUND = "which of the ids that are asked for the host has (a bit each, in bytes)"
_SCORED = (
    "which of the ids that are asked for are scored (a bit each, in bytes): those that all parties "
    "have, or all of them, where several hosts are sent nothing else"
)


@dataclass(frozen=True)
class Ask(Message, kind="scoring.ask", version=1):
    """Guest to host: the ids of a batch one after the other, or that the session ends."""

    batch: int = integer(0, 1 << 53, opaque="a running number")
    ending: bool = boolean(opaque="whether the session ends, without a batch")
    sizes: Any = array("u2", (None,), _ROWS, reveals=_SIZES)
    ids: bytes = blob(_ROWS * ID_BYTES, low=0, reveals=_IDS)


@dataclass(frozen=True)
class Found(Message, kind="scoring.found", version=1):
    """Host to guest: the ids that it has, or the code with which its node refuses the batch."""

    batch: int = integer(0, 1 << 53, opaque="the number of the batch")
    code: str = text(32, opaque="a code of the agreement's bounds, known to both")
    found: bytes = blob((_ROWS + 7) // 8, low=0, reveals=_FOUND)


@dataclass(frozen=True)
class Score(Message, kind="scoring.score", version=1):
    """Guest to host: which rows of the batch are scored now, in their order; perhaps none.

    A row that the host has not is scored as one without any value.
    """

    batch: int = integer(0, 1 << 53, opaque="the number of the batch")
    rows: bytes = blob((_ROWS + 7) // 8, low=0, reveals=_SCORED)


# By batch: ``asked`` rows, whose ids have ``asked_bytes`` bytes.
REVEALS = (
    Reveal(Role.GUEST, Role.HOST, Ask.kind, "sizes", "asked", _SIZES),
    Reveal(Role.GUEST, Role.HOST, Ask.kind, "ids", "asked_bytes", _IDS),
    Reveal(Role.HOST, Role.GUEST, Found.kind, "found", "ceil_div(asked, 8)", _FOUND),
    Reveal(Role.GUEST, Role.HOST, Score.kind, "rows", "ceil_div(asked, 8)", _SCORED),
)

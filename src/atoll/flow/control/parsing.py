"""The forms of what a peer sends, and its decoding: sizes first, one error code."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, StrictInt, StrictStr

from atoll.core import codec
from atoll.core.errors import AtollError, PeerError
from atoll.core.strict import text

CODE_FORM = re.compile(r"ATL-[A-Z]{3}-[0-9]{3}")
JOB_ID = re.compile(r"[0-9]{14}-[0-9a-f]{8}")
VERSIONS = 1 << 53
ELEMENTS = 1 << 18
PHASE_LETTERS = 128

Code = Annotated[str, text(CODE_FORM.pattern)]
JobId = Annotated[str, text(JOB_ID.pattern)]
Phase = Annotated[StrictStr, Field(min_length=1, max_length=PHASE_LETTERS)]
Count = Annotated[StrictInt, Field(ge=0, le=VERSIONS)]


def malformed(reason: str, party: str | None = None) -> PeerError:
    """Return the error for facts that are none."""
    return PeerError(
        "ATL-FLW-001", f"what a party tells of a job has another form: {reason}", party=party
    )


def peer_code(code: str | None) -> str | None:
    """Return an own code as peers may be sent it: one of another form is our fault."""
    return code if code is None or CODE_FORM.fullmatch(code) else "ATL-INT-001"


def peer_phase(phase: str | None) -> str | None:
    """Return an own phase as peers may be sent it: not empty, and not too long."""
    return phase[:PHASE_LETTERS] if phase else None


def decoded(data: bytes, limit: int) -> Any:
    """Decode canonical bytes of a peer. Errors: ATL-FLW-001 too large, too many, not canonical."""
    if len(data) > limit:
        raise malformed("it is longer than its limit")
    # A byte can become an object of a hundred: count before anything is made of them.
    if len(data) > ELEMENTS and elements(data, ELEMENTS) > ELEMENTS:
        raise malformed("it has too many elements")
    try:
        return codec.decode(data, limit=limit)
    except AtollError as error:
        raise malformed("it is not canonical") from error


_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_LARGE = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


def elements(data: bytes, limit: int) -> int:
    """Count the values in msgpack bytes, at most ``limit + 1`` of them; nothing is allocated."""
    at, count = 0, 0
    while at < len(data) and count <= limit:
        first = data[at]
        at += 1
        count += 1
        if 0xA0 <= first <= 0xBF:
            at += first & 0x1F
        elif first in _FIXED:
            at += _FIXED[first]
        elif first in _SIZED:
            width = _SIZED[first]
            at += width + int.from_bytes(data[at : at + width], "big")
        elif first in _LARGE:
            at += _LARGE[first]
    return count

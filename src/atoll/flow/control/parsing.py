"""The forms of what a peer sends, and its decoding: sizes first, one error code."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from atoll.core import codec
from atoll.core.errors import AtollError, PeerError
from atoll.core.printable import clean
from atoll.core.strict import printable, text

CODE_FORM = re.compile(r"ATL-[A-Z]{3}-[0-9]{3}")
JOB_ID = re.compile(r"[0-9]{14}-[0-9a-f]{8}")
VERSIONS = 1 << 53
PHASE_LETTERS = 128


Code = Annotated[str, text(CODE_FORM.pattern)]
JobId = Annotated[str, text(JOB_ID.pattern)]
Phase = Annotated[
    StrictStr, Field(min_length=1, max_length=PHASE_LETTERS), AfterValidator(printable)
]
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
    """Return an own phase as peers may be sent it: not empty, not too long, printable."""
    return clean(phase[:PHASE_LETTERS]) if phase else None


def decoded(data: bytes | memoryview, limit: int) -> Any:
    """Decode canonical bytes of a peer. Errors: ATL-FLW-001 too large, too many, not canonical."""
    if len(data) > limit:
        raise malformed("it is longer than its limit")
    try:
        return codec.decode(data, limit=limit, memory=codec.document_memory(limit))
    except AtollError as error:
        raise malformed(error.message) from error

"""One-time codes by which a client joins a population.

A code is text for a mail: where the population's server listens, the SHA-256 of its public key, and
a 128-bit secret that works once and until a moment. The client checks the key before it sends
anything; the aggregator keeps a hash of the secret alone. Source: PROTOCOLS 11.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, StrictBytes, StrictStr

from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.core.names import party_id
from atoll.core.strict import WireValue, read

PREFIX = "atoll-client-1."
SECRET_BYTES = 16
CODE_CHARACTERS = 4096


@dataclass(frozen=True)
class JoinCode(WireValue):
    """What a code holds. ``key`` is the SHA-256 of the server's public key (DER)."""

    id: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    population: Annotated[StrictStr, AfterValidator(party_id)]
    address: Annotated[StrictStr, Field(min_length=3, max_length=512, pattern=r"^.+:[0-9]{1,5}$")]
    key: Annotated[StrictBytes, Field(min_length=32, max_length=32)]
    secret: Annotated[StrictBytes, Field(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]

    def text(self) -> str:
        """Return this as text."""
        return PREFIX + base64.urlsafe_b64encode(codec.encode(asdict(self))).decode().rstrip("=")


def read_code(text: str) -> JoinCode:
    """Read a code. Errors: ATL-POP-015 it is none."""
    stripped = "".join(text.split())
    try:
        if len(stripped) > CODE_CHARACTERS or not stripped.startswith(PREFIX):
            raise ValueError
        tail = stripped.removeprefix(PREFIX)
        data = base64.b64decode(tail + "=" * (-len(tail) % 4), altchars=b"-_", validate=True)
        return read(JoinCode, codec.decode(data, limit=CODE_CHARACTERS))
    except (ValueError, AtollError) as error:
        raise UserError(
            "ATL-POP-015", "this is not a code of a population", hint="copy the whole code again"
        ) from error


def secret_hash(secret: bytes) -> bytes:
    """Return what an aggregator keeps of a secret, 32 bytes."""
    return hashlib.sha256(b"atoll/population-code/v1" + secret).digest()

"""Commitments to what a party brings into a job: others see them, and can try no guess against one.

    commitment = SHA-256(canonical ["atoll/commitment/v1", party, what, secret, digest])

``secret`` is 32 bytes of the owner for this job alone; it never leaves the owner's node. Without it
no digest can be tried (a bare digest of a table gives away a few unknown labels to who tries them
all); with it the owner can show later what it was committed to, and nothing else. The party's name
is in it, so that no one can pass on another's commitment as its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from atoll.core import codec

SECRET_BYTES = 32
What = Literal["table", "part of a model"]
TABLE: What = "table"
PART: What = "part of a model"
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def commit(party: str, what: What, secret: bytes, digest: str) -> str:
    """Return the commitment of a party to a digest, in hexadecimal; an empty digest: to nothing."""
    return codec.digest(["atoll/commitment/v1", party, what, secret, digest])


def opens(commitment: str, party: str, what: What, secret: bytes, digest: str) -> bool:
    """Return whether a commitment is the one to this digest."""
    return commitment == commit(party, what, secret, digest)


@dataclass(frozen=True)
class Opening:
    """What stays at home: the secret (hexadecimal), and by step what was committed to.

    ``tables`` are digests of the content of own tables, ``parts`` of own parts of registered models
    (empty: none was there).
    """

    secret: _Digest = field(repr=False)
    tables: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    def commitments(self, party: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the commitments to tables and to parts of models, by step."""
        secret = bytes.fromhex(self.secret)
        tables = {s: commit(party, TABLE, secret, digest) for s, digest in self.tables.items()}
        parts = {s: commit(party, PART, secret, digest) for s, digest in self.parts.items()}
        return tables, parts

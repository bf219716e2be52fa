"""Commitments to what a party brings into a job: others see them, and can try no guess against one.

    commitment = SHA-256(canonical ["atoll/commitment/v1", party, what, secret, digest])
    secret     = HMAC-SHA-256(key, canonical ["atoll/commitment-secret/v1", what, about, digest])

``key`` is 32 bytes of the owner for this job alone; it never leaves the owner's node. ``about`` is
the name of the table, or the step that takes the part of a model. Without the secret no digest can
be tried (a bare digest of a table gives away a few unknown labels to who tries them all); who shows
it with the table shows what that one commitment is to, and nothing of any other: each has a secret
of its own. So equal commitments of a job are to one table of one name; all others differ, those to
nothing too. The party's name is in it, so that no one can pass on another's commitment as its own.
"""

from __future__ import annotations

import hmac
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
    """What stays at home: the key of the secrets (hexadecimal, ``secret``), and by step what was
    committed to.

    ``tables`` are digests of the content of own tables, ``parts`` of own parts of registered models
    (empty: none was there).
    """

    secret: _Digest = field(repr=False)
    tables: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    def secret_of(self, what: What, about: str, digest: str) -> bytes:
        """Return what opens one commitment, and no other: of a table by its name, a part by its
        step.
        """
        message = codec.encode(["atoll/commitment-secret/v1", what, about, digest])
        return hmac.digest(bytes.fromhex(self.secret), message, "sha256")

    def commitments(
        self, party: str, names: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the commitments to tables and to parts of models, by step.

        ``names`` are those of the tables, by step.
        """

        def made(what: What, about: str, digest: str) -> str:
            return commit(party, what, self.secret_of(what, about, digest), digest)

        tables = {step: made(TABLE, names[step], digest) for step, digest in self.tables.items()}
        return tables, {step: made(PART, step, digest) for step, digest in self.parts.items()}

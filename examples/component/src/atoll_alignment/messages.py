"""What travels. Each field says what its receiver learns from it, or why it learns nothing."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.message import Message, blob, boolean, integer

DIGEST_BYTES = 32
ROWS = "how many rows the host's table has"
DIGEST = "a digest of all ids of the host in their order, under the job's session"
ALIGNED = "whether the host's rows are the guest's, in the same order"


@dataclass(frozen=True)
class Rows(Message, kind="alignment.rows", version=1):
    """From each host to the guest."""

    rows: int = integer(0, 1 << 40, reveals=ROWS)
    digest: bytes = blob(DIGEST_BYTES, reveals=DIGEST)


@dataclass(frozen=True)
class Verdict(Message, kind="alignment.verdict", version=1):
    """From the guest to each host."""

    aligned: bool = boolean(reveals=ALIGNED)

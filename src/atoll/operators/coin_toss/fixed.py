"""No toss: the seed follows from a number that is part of the job and that all parties sign."""

from __future__ import annotations

import hashlib

from atoll.core.codec import encode


def run(number: int) -> bytes:
    """Return the 32-byte seed of a job's number (0 … 2^63 - 1). Nothing is sent.

    It depends on the number alone, so that a split stays the same while other things change.
    """
    return hashlib.sha256(encode(["atoll/coin-toss/v1", "fixed", number])).digest()

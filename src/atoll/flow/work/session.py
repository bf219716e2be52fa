"""Session ids: what ties everything made in one task to this job, step, attempt and run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from atoll.core import codec
from atoll.core.random import PublicRandom


def session_id(
    job: str, step: str, attempt: int, seed: bytes, nonces: Mapping[str, bytes], begin: int = 0
) -> bytes:
    """Return the 32-byte session id of a step.

    ``job`` is the job's digest and ``nonces`` holds one fresh nonce of every party, so that no
    party alone can make two sessions meet. ``seed`` is what the job's coin toss gave (empty: in the
    toss itself) and ``begin`` the round that the attempt goes on at: seats that hold different ones
    do not meet either.
    """
    context = ["atoll/session/v3", job, step, attempt, seed, dict(nonces), begin]
    return hashlib.sha256(codec.encode(context)).digest()


def step_id(plan: str, step: str, public: PublicRandom) -> bytes:
    """Return the 32 bytes that name a step of a plan under the job's seed, in every attempt."""
    context = ["atoll/step/v1", plan, step, public.derive(step, "step id")]
    return hashlib.sha256(codec.encode(context)).digest()

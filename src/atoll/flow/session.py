"""Session ids: what ties everything made in one task to this job, step, attempt and run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from atoll.core import codec


def session_id(job: str, step: str, attempt: int, nonces: Mapping[str, bytes]) -> bytes:
    """Return the 32-byte session id of a step.

    ``job`` is the job's digest and ``nonces`` holds one fresh nonce of every party, so that no
    party alone can make two sessions meet.
    """
    context = ["atoll/session/v1", job, step, attempt, dict(nonces)]
    return hashlib.sha256(codec.encode(context)).digest()

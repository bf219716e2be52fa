"""Errors of a node as they come back: the same classes, codes, places and hints as on its side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atoll.core.errors import (
    AtollError,
    CancelledError,
    DataError,
    InternalError,
    NetworkError,
    PeerError,
    UserError,
)
from atoll.flow.access.errors import ThrottledError, UnauthenticatedError
from atoll.jobs.errors import (
    ConflictError,
    DeniedError,
    EnvironmentFault,
    NotFoundError,
    TamperedError,
)

__all__ = [
    "AtollError",
    "JobFailedError",
    "ThrottledError",
    "TimedOutError",
    "UnauthenticatedError",
    "from_answer",
]

_KINDS: dict[str, type[AtollError]] = {
    kind.__name__: kind
    for kind in (
        CancelledError,
        ConflictError,
        DataError,
        DeniedError,
        EnvironmentFault,
        InternalError,
        NetworkError,
        NotFoundError,
        PeerError,
        TamperedError,
        UnauthenticatedError,
        UserError,
    )
}
_STATUS: dict[int, type[AtollError]] = {
    401: UnauthenticatedError,
    403: DeniedError,
    404: NotFoundError,
    409: ConflictError,
    502: NetworkError,
    503: EnvironmentFault,
}
RETRYABLE = frozenset({429, 502, 503, 504})
# Characters that are kept of what a node states in an error.
CODE = 64
TEXT = 4096
_TEXTS = ("party", "phase", "place", "hint")


class TimedOutError(NetworkError):
    """Something did not happen within the time that was given for it."""

    exit_code = 7


class JobFailedError(AtollError):
    """A job that was waited for did not succeed; its code, party and phase are the job's own."""


def from_answer(status: int, body: Any, retry_after: float | None = None) -> AtollError:
    """Return the error of an answer; what is no error of ours becomes ATL-SDK-010."""
    details = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(details, Mapping) or not isinstance(details.get("code"), str):
        return _foreign(status)
    texts = {name: details[name] for name in _TEXTS if isinstance(details.get(name), str)}
    where = {name: text[:TEXT] for name, text in texts.items()}
    code, message = details["code"][:CODE], str(details.get("message", ""))[:TEXT]
    error = _make(status, str(details.get("kind", "")), retry_after)(code, message, **where)
    # What another party has refused it refuses again.
    error.retryable = status in RETRYABLE and details.get("kind") != "CallRefusedError"
    return error


def _make(status: int, kind: str, retry_after: float | None) -> Callable[..., AtollError]:
    if status == 429 or kind == ThrottledError.__name__:
        wait = 1.0 if retry_after is None else retry_after
        return lambda code, message, **where: ThrottledError(
            code, message, retry_after=wait, **where
        )
    if status == 504:
        return TimedOutError
    fallback = InternalError if status >= 500 else UserError
    return _KINDS.get(kind) or _STATUS.get(status, fallback)


def _foreign(status: int) -> AtollError:
    error = EnvironmentFault(
        "ATL-SDK-010",
        f"the answer (HTTP {status}) is not one of a node of this version",
        hint="is the address that of a node, and is there a proxy between?",
    )
    error.retryable = status in RETRYABLE
    return error

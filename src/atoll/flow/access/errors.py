"""Refusals of access, each with the status that HTTP gives it."""

from __future__ import annotations

from typing import Any

from atoll.core.errors import UserError
from atoll.jobs.errors import ConflictError, DeniedError, NotFoundError


class UnauthenticatedError(UserError):
    """No known user: no token, a wrong password, or a token that is no longer valid (401)."""

    exit_code = 4


class ThrottledError(UserError):
    """Too many attempts; ``retry_after`` states in how many seconds the next one counts (429)."""

    exit_code = 4

    def __init__(self, code: str, message: str, *, retry_after: float, **where: Any) -> None:
        super().__init__(code, message, **where)
        self.retry_after = retry_after


__all__ = [
    "ConflictError",
    "DeniedError",
    "NotFoundError",
    "ThrottledError",
    "UnauthenticatedError",
]

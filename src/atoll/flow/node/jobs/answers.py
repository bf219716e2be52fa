"""What those are answered who asked the control thread and got no result."""

from __future__ import annotations

from atoll.core.errors import AtollError, CancelledError, InternalError
from atoll.jobs.errors import EnvironmentFault


def stopping() -> CancelledError:
    """Return what those are answered who waited when the node stopped."""
    return CancelledError("ATL-NOD-021", "the node is stopping", hint="ask again once it is up")


def busy() -> EnvironmentFault:
    """Return what those are answered who waited for too long."""
    return EnvironmentFault("ATL-NOD-035", "the node did not answer in time", hint="ask again")


def unexpected(error: Exception) -> AtollError:
    """Return an error that may be shown: the text of a foreign one may hold data."""
    if isinstance(error, AtollError):
        return error
    return InternalError("ATL-INT-001", f"an unexpected {type(error).__name__}")

"""What role code is given in a session: the requests of its own party, and its own counter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from atoll.core.errors import AtollError


class Request(Protocol):
    """One request, to be answered or failed once; what comes later is dropped."""

    @property
    def body(self) -> Mapping[str, Any]:
        """What was asked, as JSON; no one checked it yet."""
        ...

    def answer(self, body: Mapping[str, Any]) -> None:
        """Answer it with a JSON object."""
        ...

    def fail(self, error: AtollError) -> None:
        """Refuse it; the session goes on."""
        ...


class Requests(Protocol):
    """The requests of a session. Only the seat that asks gets any."""

    def next(self, wait_seconds: float) -> Request | None:
        """Return the next request; None if there is none in time, or the session shall end."""
        ...

    def spend(self, units: int) -> None:
        """Have the own node count units, durably, before this returns. Call it before each use.

        Errors: the node's, ATL-AGR-002 to ATL-AGR-005 among them; nothing was counted then.
        """
        ...

    @property
    def closing(self) -> bool:
        """Whether the session shall end as soon as what was taken is answered."""
        ...

"""Time as a handed-in thing, so that waiting can be tested without waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds on a clock that never runs backwards."""

    def now(self) -> float:
        """Return the present time in seconds."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the set time in seconds."""
        return self._now

    def advance_to(self, moment: float) -> None:
        """Move forward to ``moment``; earlier moments change nothing."""
        self._now = max(self._now, moment)

"""Counts what is refused of partners, so that none of them fills the log."""

from __future__ import annotations

import logging
import threading
from collections import Counter

from atoll.core.errors import AtollError

# So many refusals of a partner by one code are logged each; of more, where a count has doubled.
_LOGGED = 20


def worth_a_line(before: int, count: int) -> bool:
    """Return whether a count that has grown is logged: so a partner makes lines by its logarithm
    alone.
    """
    return count <= _LOGGED or count.bit_length() > before.bit_length()


class Refusals:
    """Refusals by partner, kind and code. Any thread."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def log(self, party: str, what: str, error: AtollError, times: int = 1) -> None:
        """Count so many refusals by one code, and log them if they are few or a power of two."""
        key = (party, what, error.code)
        with self._lock:
            before = self._counts[key]
            self._counts[key] = count = before + times
        if worth_a_line(before, count):
            who = party or "a stranger"
            self._log.warning("%s of %s was refused (%d by this code): %s", what, who, count, error)

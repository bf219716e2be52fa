"""Slows down guessing: after some free failures each further one makes the next wait longer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_KEYS = 10_000


@dataclass
class _Entry:
    failures: int = 0
    until: float = 0.0


class Throttle:
    """Failures by key (a user's name, a client's address), in memory, for so many keys at most.

    An attempt counts as a failure when it begins and is taken back when it succeeds, so that
    attempts at the same time do not slip through. ``wall`` is in seconds since 1970.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        *,
        free: int,
        first_seconds: float = 1.0,
        longest_seconds: float = 900.0,
    ) -> None:
        self._wall = wall
        self._free = free
        self._first = first_seconds
        self._longest = longest_seconds
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, key: str) -> float:
        """Count an attempt and return 0, or return the seconds to wait and count nothing."""
        with self._lock:
            now = self._wall()
            entry = self._entry(key)
            if now < entry.until:
                return entry.until - now
            if entry.until and now - entry.until > self._longest:
                entry.failures = self._free
            entry.failures += 1
            over = entry.failures - self._free
            if over > 0:
                entry.until = now + min(self._longest, self._first * 2.0 ** min(over - 1, 30))
            return 0.0

    def succeeded(self, key: str) -> None:
        """Forget what failed before."""
        with self._lock:
            self._entries.pop(key, None)

    def took_back(self, key: str) -> None:
        """Undo one attempt that turned out to be none, without forgetting the ones before."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                entry.failures = max(0, entry.failures - 1)
                entry.until = 0.0 if entry.failures <= self._free else entry.until

    def state(self, key: str) -> tuple[int, float]:
        """Return the failures and until when the key must wait, to be kept in the database."""
        with self._lock:
            entry = self._entries.get(key, _Entry())
            return entry.failures, entry.until

    def learn(self, key: str, failures: int, until: float) -> None:
        """Take over what the database kept, if it is more than is known."""
        with self._lock:
            entry = self._entry(key)
            entry.failures = max(entry.failures, failures)
            entry.until = max(entry.until, until)

    def _entry(self, key: str) -> _Entry:
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > MOST_KEYS:
            self._entries.popitem(last=False)
        return entry

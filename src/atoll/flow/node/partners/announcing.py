"""Shows the partners this node's certificate: at the start, and when its key was rotated.

A partner that has seen a newer key refuses those before it, so each is called until it has; one
that cannot be dialled sees the key when it calls the next time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from atoll.core.errors import AtollError

_LOG = logging.getLogger(__name__)
_AT_ONCE = 8
# No partner any more, or none that is dialled.
_GONE = ("ATL-NET-006", "ATL-NET-042")
AGAIN_SECONDS = 60.0


class Announcer:
    """``show`` calls a partner (or raises). Who was not reached is called again each minute."""

    def __init__(
        self, show: Callable[[str], object], *, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._show = show
        self._again = again_seconds
        self._owed: set[str] = set()
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcing", daemon=True)

    def start(self, parties: Collection[str]) -> None:
        """Begin, with these partners; they are called in the background."""
        self._owe(parties)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def announce(self, parties: Collection[str]) -> Sequence[str]:
        """Call these partners now; return those that were not reached, which stay owed."""
        missed = self._call(sorted(parties))
        self._owe(missed)
        return missed

    @property
    def owed(self) -> set[str]:
        """Who is to be called yet."""
        with self._lock:
            return set(self._owed)

    def _owe(self, parties: Collection[str]) -> None:
        with self._lock:
            self._owed.update(parties)
        if parties:
            self._news.set()

    def _call(self, parties: Sequence[str]) -> Sequence[str]:
        if not parties:
            return ()
        with ThreadPoolExecutor(min(len(parties), _AT_ONCE), "announcing") as pool:
            reached = list(pool.map(self._reached, parties))
        return [party for party, found in zip(parties, reached, strict=True) if not found]

    def _reached(self, party: str) -> bool:
        try:
            self._show(party)
        except AtollError as error:
            if error.code in _GONE:
                return True
            _LOG.info("%s was not shown the node's certificate: %s", party, error)
            return False
        return True

    def _run(self) -> None:
        while not self._closing.is_set():
            self._news.wait()
            self._news.clear()
            while not self._closing.is_set():
                with self._lock:
                    owed = sorted(self._owed)
                    self._owed.clear()
                self._owe(self._call(owed))
                if not self.owed or self._closing.wait(self._again):
                    break

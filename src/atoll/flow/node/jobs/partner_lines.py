"""Work that partners cause: a line for each partner, served in turns by threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = 2

Work = Callable[[], None]


class PartnerLines:
    """At most ``most`` jobs of each partner wait; one of a partner is worked at. Any thread.

    The partner that was served longest ago is next, so none holds up another one but while each
    thread is at work for a third.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="partner")
        self._lock = threading.Lock()
        # By partner in turn, by job in order.
        self._lines: dict[str, dict[str, Work]] = {}
        self._busy: set[str] = set()
        self._threads = 0
        self._closed = False

    def put(self, partner: str, job: str, work: Work) -> bool:
        """Have something done for a partner's job; False if its line is full.

        What waits for the same job already is replaced. ``work`` must not raise.
        """
        with self._lock:
            line = self._lines.get(partner, {})
            if job not in line and len(line) >= self._most:
                return False
            self._lines.setdefault(partner, line)[job] = work
            if self._threads < THREADS and not self._closed:
                self._threads += 1
                self._pool.submit(self._serve)
            return True

    def drop(self, partner: str, job: str) -> None:
        """Forget what waits for a job."""
        with self._lock:
            line = self._lines.get(partner, {})
            line.pop(job, None)
            if not line:
                self._lines.pop(partner, None)

    def close(self) -> None:
        """End the threads; what has not begun is dropped."""
        with self._lock:
            self._closed = True
            self._lines.clear()
        self._pool.shutdown(wait=True)

    def _serve(self) -> None:
        served = None
        while (found := self._next(served)) is not None:
            served, work = found
            work()

    def _next(self, served: str | None) -> tuple[str, Work] | None:
        """Return the partner whose turn it is, and its work; None: the thread may go."""
        with self._lock:
            if served is not None:
                self._busy.discard(served)
            partner = next((p for p in self._lines if p not in self._busy), None)
            if partner is None or self._closed:
                self._threads -= 1
                return None
            line = self._lines.pop(partner)
            work = line.pop(next(iter(line)))
            if line:
                # The last in turn from now on.
                self._lines[partner] = line
            self._busy.add(partner)
            return partner, work

"""The engine of one machine: a pool of threads; Arrow, NumPy and native kernels free the GIL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from atoll.core.errors import UserError
from atoll.core.settings import Settings

A = TypeVar("A")
B = TypeVar("B")


class LocalEngine:
    """Maps over partitions on ``threads`` threads; 0 takes the setting, else all cores."""

    def __init__(self, threads: int = 0) -> None:
        if threads < 0:
            raise UserError("ATL-TAB-028", "the number of threads cannot be negative")
        self.threads = threads or Settings.of_environment().threads or os.cpu_count() or 1
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._inside = threading.local()

    def map(self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Return the results in the order of the items; the first error ends the whole.

        A map within a map runs on the thread that called it, so that it cannot wait for itself.
        """
        whole = list(items)
        if len(whole) < 2 or self.threads == 1 or getattr(self._inside, "yes", False):
            return [function(item) for item in whole]

        def work(item: A) -> B:
            self._inside.yes = True
            return function(item)

        futures = [self._executor().submit(work, item) for item in whole]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="atoll-table")
            return self._pool

    def close(self) -> None:
        """Stop the threads; a later map starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


_default: LocalEngine | None = None
_default_lock = threading.Lock()


def default_engine() -> LocalEngine:
    """Return the engine that tables share unless they are given another."""
    global _default
    with _default_lock:
        if _default is None:
            _default = LocalEngine()
        return _default

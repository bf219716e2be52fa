"""Who waits for news of a job is woken when they are committed, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[], None]


class Notifier:
    """Listeners by job; ``notify`` calls those of a job, in the writer's thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._listeners: dict[str, list[Listener]] = {}

    @contextmanager
    def listening(self, job: str, listener: Listener) -> Iterator[None]:
        """Have ``listener`` called at each commit of news of this job; it must be quick."""
        with self._guard:
            self._listeners.setdefault(job, []).append(listener)
        try:
            yield
        finally:
            with self._guard:
                left = self._listeners[job]
                left.remove(listener)
                if not left:
                    del self._listeners[job]

    def __len__(self) -> int:
        """How many listen."""
        with self._guard:
            return sum(len(some) for some in self._listeners.values())

    def notify(self, job: str) -> None:
        """Wake all that wait for this job."""
        with self._guard:
            listeners = list(self._listeners.get(job, ()))
        for listener in listeners:
            listener()

    def notify_all(self) -> None:
        """Wake all listeners, as when the node ends."""
        with self._guard:
            listeners = [one for some in self._listeners.values() for one in some]
        for listener in listeners:
            listener()

"""Events: what a run tells while it goes on, one JSON object a line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Protocol


class Events(Protocol):
    """Takes events; may be called from several threads."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Take one event."""
        ...


def silent(event: str, **fields: Any) -> None:
    """Take an event and tell nobody."""


class JsonLines:
    """Writes each event as one JSON line. Progress is thinned to ten lines a second."""

    def __init__(
        self, stream: IO[str], party: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._party = party
        self._now = now
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def __call__(self, event: str, **fields: Any) -> None:
        """Write one event."""
        with self._lock:
            if event == "progress" and self._too_soon(fields):
                return
            line = json.dumps({"event": event, "party": self._party, **fields}, sort_keys=True)
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                # Whoever listened is gone; the run itself goes on.
                return

    def _too_soon(self, fields: dict[str, Any]) -> bool:
        key = f"{fields.get('step')}/{fields.get('phase')}"
        moment = self._now()
        last = fields.get("done") == fields.get("total")
        if not last and moment - self._last.get(key, -1.0) < 0.1:
            return True
        self._last[key] = moment
        return False

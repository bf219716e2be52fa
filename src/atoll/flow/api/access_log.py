"""The log's line for each request, but of strangers' only so many: the log's size is bounded, and
they would push out what it holds of others.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.places import shown

log = logging.getLogger("atoll.api.access")

STRANGERS_LINES = 30
"""So many lines a minute there are of requests without a user, all together; others are counted."""
_SECONDS = 60.0
_USERS_PATH, _STRANGERS_PATH = 200, 64


class Damper:
    """Lets so many lines through each minute, and counts the others."""

    def __init__(self, lines: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._clock = clock
        self._since = clock()
        self._count = 0

    def admit(self) -> int | None:
        """Return how many were left out in the minutes before; None to leave this one out."""
        now, left = self._clock(), 0
        if now - self._since >= _SECONDS:
            left, self._since, self._count = max(0, self._count - self._lines), now, 0
        self._count += 1
        return left if self._count <= self._lines else None


class AccessLog:
    """Writes one line of JSON a request: no query, no header and no body is in it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._strangers = Damper(STRANGERS_LINES, clock)

    def write(self, exchange: HttpExchange) -> None:
        """Write the line of a request that was answered."""
        actor = exchange.actor
        left = self._strangers.admit() if actor is None else 0
        if left is None:
            return
        path = shown(exchange.path, _STRANGERS_PATH if actor is None else _USERS_PATH)
        line: dict[str, Any] = {
            "id": exchange.id,
            "method": shown(exchange.method, 16),
            # No address of ours has other characters, and each would be written as twelve.
            "path": path.encode("ascii", "replace").decode(),
            "status": exchange.status,
            "ms": round((time.monotonic() - exchange.started) * 1000, 1),
            "received": exchange.received,
            "sent": exchange.sent,
        }
        if actor is not None:
            line["user"] = actor.user
        if exchange.code:
            line["code"] = exchange.code
        if left:
            line["left_out_before"] = left
        log.info(json.dumps(line, ensure_ascii=True))


class Warnings(logging.Filter):
    """Damps the warnings of the HTTP server, each of which a stranger can cause."""

    def __init__(self) -> None:
        super().__init__()
        self._damper = Damper(STRANGERS_LINES)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        if record.levelno != logging.WARNING:
            return True
        left = self._damper.admit()
        if left:
            record.msg, record.args = f"{record.getMessage()} ({left} left out before)", ()
        return left is not None

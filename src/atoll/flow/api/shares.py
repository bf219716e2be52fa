"""What each user may hold of the node at once, so that none takes what the others need.

A request holds its share until its work is over, also where its answer went out before (a request
that is too late). Requests that anybody may send have no user: all of them count as one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, TypeVar

import anyio.to_thread
from fastapi import Request

from atoll.flow.access.errors import ThrottledError
from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.settings import ApiSettings
from atoll.jobs.errors import EnvironmentFault

Kind = Literal["requests", "bodies", "uploads", "downloads", "looks", "checks"]
_HOUR = 3600.0
LARGE = 64 << 10
"""A body of more bytes, or of a length that is not stated, counts among the large ones."""

T = TypeVar("T")
_NAMES: Mapping[Kind, str] = {
    "requests": "requests",
    "bodies": "requests with large bodies",
    "uploads": "uploads",
    "downloads": "downloads",
    "looks": "looks at files",
    "checks": "checks of tables",
}


class Shares:
    """What users hold now. Used in the event loop's thread alone."""

    def __init__(self, settings: ApiSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most_changes = settings.user_changes
        self._changes: dict[str, tuple[float, int]] = {}
        self._most: Mapping[Kind, int] = {
            "requests": settings.connections // 2,
            "bodies": settings.user_bodies,
            "uploads": settings.user_uploads,
            "downloads": settings.user_downloads,
            "looks": settings.user_looks,
            "checks": 1,
        }
        self._threads = settings.user_threads
        self._held: Counter[tuple[str, Kind]] = Counter()
        self._workers: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @contextmanager
    def hold(self, kind: Kind, user: str) -> Iterator[None]:
        """Count one more of a kind for a user. Errors: ATL-API-021 as many as one may have."""
        if self._held[user, kind] >= self._most[kind]:
            raise ThrottledError(
                "ATL-API-021",
                f"a user has at most {self._most[kind]} {_NAMES[kind]} at once",
                retry_after=1.0,
                hint="send it again when one of the others is done",
            )
        self._held[user, kind] += 1
        try:
            yield
        finally:
            self._held[user, kind] -= 1
            if not self._held[user, kind]:
                del self._held[user, kind]

    def note_change(self, user: str) -> None:
        """Count a request that the audit log notes. Errors: ATL-API-024 too many in an hour."""
        now = self._clock()
        since, count = self._changes.get(user, (now, 0))
        if now - since >= _HOUR:
            since, count = now, 0
        if count >= self._most_changes:
            raise ThrottledError(
                "ATL-API-024",
                f"a user makes at most {self._most_changes} changes in an hour",
                retry_after=since + _HOUR - now,
                hint="send it again later",
            )
        self._changes[user] = since, count + 1

    @asynccontextmanager
    async def thread(self, user: str) -> AsyncIterator[None]:
        """Wait, without a thread, until a user may have one more of the threads of requests."""
        turn, users = self._workers.get(user, (asyncio.Semaphore(self._threads), 0))
        self._workers[user] = turn, users + 1
        try:
            async with turn:
                yield
        finally:
            users = self._workers[user][1] - 1
            self._workers[user] = turn, users
            if not users:
                del self._workers[user]


async def apart(app: Any, call: Callable[[], T]) -> T:
    """Run what every request needs (who asks, the audit) on threads that no work holds."""
    return await anyio.to_thread.run_sync(call, limiter=app.state.keepers)


async def look(request: Request, kind: Literal["looks", "checks"], call: Callable[[], T]) -> T:
    """Look at a file for a user: on threads of its own, since it may take long.

    Errors: ATL-API-021 the user has as many already, ATL-API-022 all users together have.
    """
    state, exchange = request.app.state, HttpExchange.of(request.scope)
    user = exchange.actor.user if exchange.actor else ""
    exchange.held.enter_context(state.shares.hold(kind, user))
    limiter: anyio.CapacityLimiter = state.lookers
    if limiter.available_tokens < 1:
        raise EnvironmentFault(
            "ATL-API-022",
            "the node looks at as many files as it may at once",
            hint="send it again in a moment",
        )
    return await anyio.to_thread.run_sync(call, limiter=limiter)

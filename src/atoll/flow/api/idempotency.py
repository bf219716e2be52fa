"""Keys that make a repeated POST harmless: the same key and body get the same answer again.

An answer is kept for who got it: another token of the same user, or the same one with other
permissions, may not see all that is in it, and does by a key of its own what it may do.

Kept in memory for a day and for a bounded number of answers of each user, so that no user's keys
push out another's; a submitted job's key is kept by the job itself, so that it also holds after a
restart.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from atoll.flow.access import SYSTEM
from atoll.flow.api.errors import StatusError
from atoll.flow.api.exchange import HttpExchange

HEADER = "idempotency-key"
KEY_LENGTH = 128

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass
class _Entry:
    body: bytes
    until: float
    running: bool = True
    status: int = 0
    answer: bytes | None = None
    media_type: str = "application/json"


_Name = tuple[str, str, str, frozenset[str]]
_Kept = OrderedDict[_Name, _Entry]


class Idempotency:
    """Remembers the answers to keyed requests: of each user so many, the oldest go first."""

    def __init__(self, entries: int = 1024, seconds: float = 86400.0, answer: int = 1 << 16):
        self._entries = entries
        self._seconds = seconds
        self._answer = answer
        self._users: dict[str, _Kept] = {}

    async def once(
        self, request: Request, exchange: HttpExchange, handler: _Handler, *, secret: bool
    ) -> Response:
        """Answer a request, from memory if its key was used before.

        Errors: ATL-API-006 the key stands for another request, or one that is not done;
        ATL-API-011 not a key.
        """
        key = request.headers.get(HEADER)
        if key is None:
            return await handler(request)
        if not 0 < len(key) <= KEY_LENGTH or not key.isascii() or not key.isprintable():
            raise StatusError(
                400,
                "ATL-API-011",
                f"an idempotency key has 1 to {KEY_LENGTH} printable ASCII characters",
            )
        actor = exchange.actor or SYSTEM
        user = actor.user
        # Also a user who was removed and made again has other tokens.
        name = (f"{request.method} {exchange.path}", key, actor.token, actor.permissions)
        digest = hashlib.sha256(await request.body()).digest()
        self._forget()
        mine = self._users.setdefault(user, OrderedDict())
        known = mine.get(name)
        if known is not None:
            return self._again(known, digest)
        kept = mine[name] = _Entry(digest, time.monotonic() + self._seconds)
        self._bound(mine)
        try:
            response = await handler(request)
        except BaseException:
            # What was refused has changed nothing, so the key is free again.
            mine.pop(name, None)
            raise
        finally:
            kept.running = False
        self._keep(kept, response, secret)
        return response

    def _forget(self) -> None:
        """Leave out whose time is over, and users of whom nothing is kept."""
        now = time.monotonic()
        for user, mine in list(self._users.items()):
            while mine and (first := next(iter(mine.values()))).until <= now and not first.running:
                mine.popitem(last=False)
            if not mine:
                del self._users[user]

    def _bound(self, mine: _Kept) -> None:
        """Leave out the oldest beyond the bound; those that run stay (they are bounded, too)."""
        if len(mine) > self._entries:
            oldest = next((name for name, kept in mine.items() if not kept.running), None)
            if oldest is not None:
                del mine[oldest]

    def _again(self, kept: _Entry, digest: bytes) -> Response:
        if kept.body != digest:
            raise StatusError(
                409,
                "ATL-API-006",
                "this idempotency key was used for another request",
                hint="use a new key for each new request",
            )
        if kept.answer is None:
            raise StatusError(
                409,
                "ATL-API-006",
                "the request of this idempotency key is not done, or its answer is not kept",
                hint="look for what it made; a secret is shown once",
            )
        headers = {"Idempotent-Replay": "true"}
        return Response(kept.answer, kept.status, headers, kept.media_type)

    def _keep(self, kept: _Entry, response: Response, secret: bool) -> None:
        body = getattr(response, "body", None)
        if not secret and isinstance(body, bytes) and len(body) <= self._answer:
            kept.answer, kept.status = body, response.status_code
            kept.media_type = response.media_type or "application/json"

"""What is known of a request while it is answered; it lives in the ASGI scope."""

from __future__ import annotations

import secrets
import time
from collections.abc import MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from atoll.flow.access import Actor
from atoll.flow.api.endpoints import Endpoint

_KEY = "atoll.exchange"


@dataclass
class HttpExchange:
    """A request and its answer, for limits, log and audit; ``held`` ends with its work.

    ``unread``: much of its body may still be on its way.
    """

    method: str
    path: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: float = field(default_factory=time.monotonic)
    actor: Actor | None = None
    by_cookie: bool = False
    endpoint: Endpoint | None = None
    operation: str = ""
    target: str = ""
    status: int = 0
    code: str = ""
    unread: bool = False
    received: int = 0
    sent: int = 0
    held: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def begin(cls, scope: MutableMapping[str, Any]) -> HttpExchange:
        """Start the record of a request."""
        exchange = cls(scope["method"], scope["path"])
        scope[_KEY] = exchange
        return exchange

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> HttpExchange:
        """Return the record of a request that has begun."""
        exchange: HttpExchange = scope[_KEY]
        return exchange

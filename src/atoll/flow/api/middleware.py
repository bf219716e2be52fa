"""Around every request: its id, its limits in bytes and seconds, safe headers, log and audit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atoll.core.errors import AtollError
from atoll.flow.api.access_log import AccessLog
from atoll.flow.api.endpoints import SAFE
from atoll.flow.api.errors import StatusError, answer, fault
from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.limits import Bounds, Limits
from atoll.flow.api.shares import LARGE, apart

_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
# The rest of such a body is not read, so the connection cannot be used again.
_UNREAD = frozenset({408, 413, 429, 504})

Audit = Callable[[HttpExchange], None]


class Envelope:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, limits: Limits, audit: Audit, count: Audit) -> None:
        self._count = count
        self._app = app
        self._limits = limits
        self._audit = audit
        self._log = AccessLog()
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = HttpExchange.begin(scope)
        reply = _Reply(scope, exchange, send, self._audit)
        bounds = self._limits.of(exchange.method, exchange.path)
        body = _Body(exchange, receive, bounds, self._limits.settings.stall_seconds)
        try:
            body.check_length(scope)
            await self._serve(scope, body, reply)
        except ClientDisconnect:
            await reply.refuse(_broken_off())
        except AtollError as error:
            await reply.refuse(error)
        except Exception as error:
            await reply.fail(error)
        finally:
            self._count(exchange)
            self._log.write(exchange)

    async def _serve(self, scope: Scope, body: _Body, reply: _Reply) -> None:
        """Run the app until it has begun to answer in time; then let it take its time."""
        work = asyncio.ensure_future(self._work(scope, body, reply))
        started = asyncio.ensure_future(reply.started.wait())
        try:
            while not (work.done() or started.done()):
                left = body.deadline() - time.monotonic()
                if left <= 0:
                    break
                await asyncio.wait({work, started}, timeout=left, return_when="FIRST_COMPLETED")
            if work.done() or started.done():
                await work
                return
            # A thread cannot be stopped: it ends by itself and its answer goes nowhere.
            self._late.add(work)
            work.add_done_callback(self._forget)
            await reply.refuse(_late())
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            started.cancel()

    async def _work(self, scope: Scope, body: _Body, reply: _Reply) -> None:
        with HttpExchange.of(scope).held:
            await self._app(scope, body.receive, reply.send)

    def _forget(self, work: asyncio.Task[None]) -> None:
        self._late.discard(work)
        if not work.cancelled():
            work.exception()


def _broken_off() -> AtollError:
    return StatusError(408, "ATL-API-008", "the sender went away before the body was whole")


def _late() -> AtollError:
    return StatusError(
        504,
        "ATL-API-007",
        "the answer takes longer than a request may",
        hint="what was asked for may still happen: look before you ask again",
    )


class _Body:
    """Counts and times the bytes of a request's body."""

    def __init__(
        self, exchange: HttpExchange, receive: Receive, bounds: Bounds, stall: float
    ) -> None:
        self._exchange = exchange
        self._receive = receive
        self._limit = bounds.bytes
        self._answer = bounds.answer_seconds
        self._until = time.monotonic() + bounds.body_seconds
        self._stall = stall
        self._done: float | None = None

    def deadline(self) -> float:
        """Return when the answer must have begun: so long after the body was there."""
        return (self._until if self._done is None else self._done) + self._answer

    def check_length(self, scope: Scope) -> None:
        """Refuse by the declared length, before a byte is read. Errors: ATL-API-004."""
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or int(value) > self._limit):
                raise self._too_large()
            if name == b"transfer-encoding" or (name == b"content-length" and int(value) > LARGE):
                self._exchange.unread = True
        if scope["method"] in SAFE:
            self._done = time.monotonic()

    async def receive(self) -> Message:
        """Hand on a piece of the body. Errors: ATL-API-004, ATL-API-008."""
        if self._done is not None:
            return await self._receive()
        left = min(self._until - time.monotonic(), self._stall)
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            raise StatusError(
                408,
                "ATL-API-008",
                "the body came too slowly",
                hint="send it again over a faster connection, or in smaller tables",
            ) from None
        self._exchange.received += len(message.get("body", b""))
        if self._exchange.received > self._limit:
            raise self._too_large()
        if not message.get("more_body", False):
            self._done = time.monotonic()
            self._exchange.unread = False
        return message

    def _too_large(self) -> AtollError:
        return StatusError(
            413,
            "ATL-API-004",
            f"the body is larger than {self._limit} bytes",
            hint="tables go to /api/v1/data/NAME/content; the limits are settings",
        )


class _Reply:
    """Sends the answer with our headers, after the audit log has taken note of it."""

    def __init__(self, scope: Scope, exchange: HttpExchange, send: Send, audit: Audit) -> None:
        self._scope = scope
        self._exchange = exchange
        self._send = send
        self._audit = audit
        self.started = asyncio.Event()
        self.closed = False
        self._noted = False

    async def send(self, message: Message) -> None:
        """Hand on a piece of the answer."""
        if self.closed:
            return
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            if self._audited():
                self._noted = True
                await apart(self._scope["app"], lambda: self._audit(self._exchange))
            message = {**message, "headers": [*message.get("headers", ()), *self._own(message)]}
            self.started.set()
        else:
            self._exchange.sent += len(message.get("body", b""))
        await self._send(message)

    def _audited(self) -> bool:
        exchange = self._exchange
        if exchange.actor is None or self._noted:
            return False
        noted = exchange.endpoint is not None and exchange.endpoint.noted
        return noted or exchange.status == 403

    def _own(self, message: Message) -> list[tuple[bytes, bytes]]:
        present = {name.lower() for name, _ in message.get("headers", ())}
        own = [(b"x-request-id", self._exchange.id.encode())]
        if self._exchange.status in _UNREAD or self._exchange.unread:
            own.append((b"connection", b"close"))
        return own + [pair for pair in _HEADERS if pair[0] not in present]

    async def refuse(self, error: AtollError) -> None:
        """Answer an error that came from this layer, if nothing was sent yet."""
        self._exchange.code = error.code
        await self._whole(answer(error))

    async def fail(self, error: Exception) -> None:
        """Answer an unexpected error."""
        self._exchange.code = "ATL-INT-001"
        await self._whole(fault(error, self._exchange.id))

    async def _whole(self, response: Any) -> None:
        if self.started.is_set() or self.closed:
            return
        scope = {"type": "http", "method": self._exchange.method, "headers": []}
        await response(scope, _nothing, self.send)
        self.closed = True


async def _nothing() -> Message:
    return {"type": "http.disconnect"}

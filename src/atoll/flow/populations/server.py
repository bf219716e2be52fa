"""A population's server: HTTP/1.1 in TLS 1.3 on one thread; what it answers is the service's.

The body of a request is read only once its sender is known, and no more of it than it may have.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, ClassVar

import uvicorn

from atoll.channel.identity.certificates import pem, present
from atoll.channel.outbound.certificates import SERVER_LIFE, key_hash, read_certificate
from atoll.channel.outbound.dialer import BUSY, PATH, TYPE
from atoll.channel.outbound.tls import server_context
from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.flow.api.accepting import AcceptingServer, affordable
from atoll.flow.api.protocol import PatientProtocol
from atoll.flow.api.server import START_SECONDS, listen
from atoll.flow.populations.folder import SERVER_KEY, Population
from atoll.flow.populations.limits import REFUSALS, LimitRules
from atoll.flow.populations.service import Caller, PopulationService
from atoll.flow.populations.store import PopulationStore
from atoll.jobs.errors import EnvironmentFault
from atoll.learning.horizontal.population.clients import Outbound

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
CONNECTIONS = 8192
# Bodies of pieces (4 MiB) that are read at once; of one client one, as of its answers of that size.
LARGE = 32
# Of one client; its oldest goes, as a connection that broke may not be known to have.
CONNECTIONS_OF_ONE = 4
# Of a whole body, and of the next part of it.
BODY_SECONDS, PART_SECONDS = 60.0, 10.0
IDLE_SECONDS, HANDSHAKE_SECONDS = 330, 10.0
# Clients may have slow links: of an answer that waits, some is taken in this time.
STALL_SECONDS = 60.0
_REFRESH = 1.0
_SMALL = 64 << 10


class MemberProtocol(PatientProtocol):
    """HTTP whose requests carry, in their state, what TLS proved of the other end."""

    # Of all servers of the process; an orderly end of TLS may outlast the loop.
    transports: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()
    # By the hash of a client's key, in the order in which they came.
    members: ClassVar[dict[bytes, list[MemberProtocol]]] = {}
    _key: bytes = b""

    def connection_made(self, transport: Any) -> None:
        """Note the certificate of a new connection."""
        super().connection_made(transport)
        self.transports.add(transport)
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        der = None if secured is None else secured.getpeercert(binary_form=True)
        self.app_state = {**self.app_state, "certificate": der}
        if der is not None:
            self._key = key_hash(read_certificate(der).public_key())  # type: ignore[arg-type]
            held = self.members.setdefault(self._key, [])
            held.append(self)
            if len(held) > CONNECTIONS_OF_ONE:
                held[0].transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no more."""
        held = self.members.get(self._key, [])
        if self in held:
            held.remove(self)
            if not held:
                del self.members[self._key]
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End with the server; where nothing is under way, without waiting for the other side."""
        super().shutdown()
        if self._waiting():
            self.transport.abort()


class _BusyError(Exception):
    """No further body is read now."""


class App:
    """The ASGI application; made and used on the server's thread."""

    def __init__(self, make: Callable[[], PopulationService]) -> None:
        self._make = make
        self._service: PopulationService | None = None
        # Who sends a large body, and who is sent a large answer, now.
        self._sending: set[int | None] = set()
        self._sent: set[int | None] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop with the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._service = self._make()
        refreshing = asyncio.create_task(self._refresh(self._service))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        refreshing.cancel()
        self._service.close()
        loop = asyncio.get_running_loop()
        for transport in list(MemberProtocol.transports):
            if getattr(transport, "_loop", loop) is loop:
                transport.abort()
        await asyncio.sleep(0)
        await send({"type": "lifespan.shutdown.complete"})

    @staticmethod
    async def _refresh(service: PopulationService) -> None:
        while True:
            service.refresh()
            await asyncio.sleep(_REFRESH)

    async def _request(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        service, path = self._service, scope["path"]
        what = path.removeprefix(PATH) if path.startswith(PATH) else ""
        most = 0 if service is None else service.most_bytes(what)
        if service is None or not most or scope["method"] != "POST":
            await _reply(send, 404, b"")
            return
        length = _length(scope)
        try:
            address = (scope.get("client") or ("unknown",))[0]
            caller = service.admit(what, scope["state"]["certificate"], address, length or 0)
            if length is None or length > most:
                service.too_long(caller)
                await _reply(send, 411 if length is None else 413, b"")
                return
            unheld = service.unheld(caller) if what == "piece" else None
            if unheld is not None:
                await asyncio.wait_for(_body(receive, most, keep=False), BODY_SECONDS)
                await _reply(send, 200, unheld)
                return
            with _place(self._sending, caller, LARGE if most > _SMALL else 0):
                body = await asyncio.wait_for(_body(receive, most), BODY_SECONDS)
            with _place(self._sent, caller, CONNECTIONS if what == "fetch" else 0):
                await _reply(send, 200, service.answer(what, caller, body))
        except _BusyError:
            service.busy(caller, what, length or 0)
            await _reply(send, 503, codec.encode(BUSY))
        except (TimeoutError, ConnectionError):
            await _reply(send, 408, b"")
        except AtollError as error:
            status = 429 if error.code in REFUSALS else 400
            await _reply(send, status, codec.encode(error.public))


@contextmanager
def _place(held: set[int | None], caller: Caller, most: int) -> Iterator[None]:
    """Hold one of ``most`` places, of which a client has one at a time; 0: none is needed."""
    if not most:
        yield
        return
    if len(held) >= most or caller.member in held:
        raise _BusyError
    held.add(caller.member)
    try:
        yield
    finally:
        held.remove(caller.member)


def _length(scope: MutableMapping[str, Any]) -> int | None:
    """Return the length of the body that a request states, None where it states none."""
    stated = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(stated[0]) if len(stated) == 1 and stated[0].isdigit() else None


async def _body(receive: Receive, most: int, *, keep: bool = True) -> bytes:
    """Return a body, an empty one where it is not to be kept.

    Errors: ConnectionError it was broken off, or is longer than it may be; TimeoutError its next
    part does not come.
    """
    parts, size = [], 0
    while True:
        event = await asyncio.wait_for(receive(), PART_SECONDS)
        part = event.get("body", b"")
        size += len(part)
        if event["type"] != "http.request" or size > most:
            raise ConnectionError
        if keep:
            parts.append(part)
        if not event.get("more_body"):
            return b"".join(parts)


async def _reply(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", TYPE.encode()), (b"content-length", b"%d" % len(body))]
    if status not in (200, 400, 503):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    # Each part waits until those before were taken, so that little of an answer is copied.
    for first in range(0, max(1, len(body)), _SMALL):
        part, more = body[first : first + _SMALL], first + _SMALL < len(body)
        await send({"type": "http.response.body", "body": part, "more_body": more})
        # A connection that was lost meanwhile is noticed, and no more is written to it.
        await asyncio.sleep(0)


class PopulationServer:
    """Serves a population while it is open. Errors of ``start``: ATL-API-016 the address."""

    def __init__(
        self,
        population: Population,
        clients: Outbound,
        host: str,
        port: int,
        limits: LimitRules | None = None,
    ) -> None:
        self._population, self._host, self._port = population, host, port
        self._store: PopulationStore | None = None

        def make() -> PopulationService:
            self._store = population.store()
            return PopulationService(population, self._store, clients, limits=limits)

        self._server = AcceptingServer(_config(App(make)), HANDSHAKE_SECONDS)
        self._context = self._secured()
        self._server.config.ssl = self._context
        self._thread: threading.Thread | None = None
        self._renewed = present()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    def start(self) -> None:
        """Listen, and return once requests are answered."""
        listener = listen(self._host, self._port, backlog=1024)
        self._port = int(listener.getsockname()[1])
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="atoll-population", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                listener.close()
                raise EnvironmentFault("ATL-API-016", "the population's server did not start")
            self._thread.join(0.01)

    def keep_current(self) -> None:
        """Issue the server a further certificate in time; new connections use it."""
        now = present()
        if now - self._renewed > SERVER_LIFE / 2:
            path = self._population.issue_server(now)
            self._context.load_cert_chain(path, self._population.root / SERVER_KEY)
            self._renewed = now

    def stop(self) -> None:
        """Take no more requests, and return when all is closed."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(10.0)
            self._thread = None

    def _secured(self) -> ssl.SSLContext:
        path = self._population.issue_server(present())
        authority = pem(self._population.authority).decode()
        try:
            return server_context(path, self._population.root / SERVER_KEY, authority)
        except (OSError, ssl.SSLError) as error:
            raise UserError(
                "ATL-POP-022", "the population's folder is damaged", place=SERVER_KEY
            ) from error


def _config(app: App) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=MemberProtocol.within(HANDSHAKE_SECONDS, STALL_SECONDS),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=affordable(CONNECTIONS),
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=8 << 10,
    )
    config.load()
    return config

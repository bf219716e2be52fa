"""Takes connections for an HTTP server, and bounds those that do not get through TLS.

asyncio's own servers count neither these nor their time against the server's limits, and write a
traceback for each connection that finds no descriptor.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import uvicorn

from atoll.flow.api.access_log import STRANGERS_LINES, Damper

log = logging.getLogger("atoll.api")

UNFINISHED = 64
"""So many connections may be in the TLS handshake at once; of more the oldest goes."""
_OTHER_FILES = 1024
_PAUSE_SECONDS = 0.1
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Accept = Callable[[], Awaitable[tuple[socket.socket, Any]]]


def affordable(connections: int) -> int:
    """Return so many connections, or fewer: this process's work needs descriptors, too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return connections
    return min(connections, max(files // 2, files - _OTHER_FILES))


class Acceptor:
    """Hands each connection that got through TLS in ``seconds`` to a protocol that ``make`` makes.

    A new one is closed at once while ``full``. Where too many are in the handshake, the oldest of
    the address that has most of them goes.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        secured: ssl.SSLContext | None,
        seconds: float,
        full: Callable[[], bool],
    ) -> None:
        self._make, self._secured, self._full = make, secured, full
        self._seconds = None if secured is None else seconds
        # In the order in which they came; of each its address.
        self._unfinished: dict[asyncio.Task[None], str] = {}
        self._damper = Damper(STRANGERS_LINES)

    async def run(self, accept: Accept) -> None:
        """Take connections until cancelled; then none is left in the handshake."""
        try:
            while True:
                try:
                    connection, address = await accept()
                except OSError as error:
                    await self._failed(error)
                    continue
                if self._full():
                    connection.close()
                    continue
                if len(self._unfinished) >= UNFINISHED:
                    self._drop()
                task = asyncio.create_task(self._finish(connection))
                self._unfinished[task] = str(address[0])
                task.add_done_callback(partial(self._ended, connection))
        finally:
            for task in list(self._unfinished):
                task.cancel()

    async def _finish(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        await loop.connect_accepted_socket(
            self._make, connection, ssl=self._secured, ssl_handshake_timeout=self._seconds
        )

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._unfinished.pop(task, None)
        # Whoever is not through TLS learns nothing of why.
        if task.cancelled() or task.exception() is not None:
            connection.close()

    async def _failed(self, error: OSError) -> None:
        left = self._damper.admit()
        if left is not None:
            log.warning("no connection was taken: %s (%d left out before)", error.strerror, left)
        if error.errno in _EXHAUSTED:
            self._drop()
            # The connection still waits, and would be found again at once.
            await asyncio.sleep(_PAUSE_SECONDS)

    def _drop(self) -> None:
        if not self._unfinished:
            return
        ((most, _),) = Counter(self._unfinished.values()).most_common(1)
        task = next(task for task, address in self._unfinished.items() if address == most)
        # It ends later, and is not counted until then.
        del self._unfinished[task]
        task.cancel()


class AcceptingServer(uvicorn.Server):
    """uvicorn's server, whose connections an ``Acceptor`` takes from one listening socket."""

    def __init__(self, config: uvicorn.Config, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds
        self._accepting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections of the first socket."""
        await super().startup([])
        if not sockets:
            return
        listener, loop = sockets[0], asyncio.get_running_loop()
        listener.setblocking(False)
        most = self.config.limit_concurrency or 0
        acceptor = Acceptor(
            self._protocol,
            self.config.ssl,
            self._handshake_seconds,
            # Those who come when there are as many as may be are answered so; of more, none.
            lambda: len(self.server_state.connections) >= most + UNFINISHED,
        )
        self._accepting = loop.create_task(acceptor.run(lambda: loop.sock_accept(listener)))
        self._accepting.add_done_callback(self._ended)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and end those that are there."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        made: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = made(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("the server takes no more connections", exc_info=task.exception())
            self.should_exit = True

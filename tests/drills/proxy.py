"""A link between two nodes that can be held: nothing passes, nothing is lost, until it is let go.

So a partition looks like one of a real network, where TCP sends again what did not arrive. Each
direction is held by itself; ``cut`` breaks what is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_PIECE = 1 << 16
FORTH, BACK = "forth", "back"


@dataclass
class Link:
    """Passes bytes from whoever connects to ``address`` on to ``target`` (host:port)."""

    target: str
    address: str = ""
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _open: dict[str, asyncio.Event] = field(default_factory=dict)

    async def listen(self) -> asyncio.Server:
        """Begin to listen."""
        self._open = {FORTH: asyncio.Event(), BACK: asyncio.Event()}
        for event in self._open.values():
            event.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return server

    def hold(self, *directions: str) -> None:
        """Hold back what goes in these directions; new connections wait as well."""
        for direction in directions or (FORTH, BACK):
            self._open[direction].clear()

    def release(self) -> None:
        """Let everything pass."""
        for event in self._open.values():
            event.set()

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        host, _, port = self.target.rpartition(":")
        with contextlib.suppress(OSError):
            await self._open[FORTH].wait()
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            self._writers.append(far_writer)
            await asyncio.gather(
                self._pass(reader, far_writer, self._open[FORTH]),
                self._pass(far_reader, writer, self._open[BACK]),
            )
        writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                await gate.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


class Links:
    """Links on a thread of their own; the methods may be called from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self._links: list[Link] = []

    def add(self, target: str) -> Link:
        """Make a link."""
        link = Link(target)
        self._servers.append(asyncio.run_coroutine_threadsafe(link.listen(), self._loop).result(10))
        self._links.append(link)
        return link

    def hold(self, link: Link, *directions: str) -> None:
        """See ``Link.hold``."""
        self._loop.call_soon_threadsafe(link.hold, *directions)

    def release(self) -> None:
        """Let everything pass."""
        for link in self._links:
            self._loop.call_soon_threadsafe(link.release)

    def cut(self) -> None:
        """Break all connections of all links."""
        for link in self._links:
            self._loop.call_soon_threadsafe(link.cut)

    def close(self) -> None:
        """End everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for link in self._links:
            link.release()
            link.cut()
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def links() -> Iterator[Links]:
    """Have links for a while."""
    made = Links()
    try:
        yield made
    finally:
        made.close()

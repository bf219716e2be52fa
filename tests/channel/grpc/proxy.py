"""A TCP proxy between two parties that can cut, stall and damage what passes."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Flow:
    """One connection through the proxy."""

    client: socket.socket
    server: socket.socket


@dataclass
class Proxy:
    """Passes bytes on until told otherwise. ``passed`` counts those from client to server."""

    target: str
    passed: int = 0
    connections: int = 0
    _flows: list[Flow] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _cut_at: int | None = None
    _damage_at: int | None = None
    _stalled: bool = False
    _closed: bool = False

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._bell, self._ring = socket.socketpair()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where the proxy listens."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def cut_after(self, count: int) -> None:
        """Cut every connection once ``count`` more bytes have gone from client to server."""
        with self._lock:
            self._cut_at = self.passed + count

    def damage_after(self, count: int) -> None:
        """Flip one bit ``count`` bytes from here on the way from client to server."""
        with self._lock:
            self._damage_at = self.passed + count

    def cut(self) -> None:
        """Cut every connection; new ones pass."""
        with self._lock:
            for flow in self._flows:
                for end in (flow.client, flow.server):
                    # Wakes the thread, which drops the connection.
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Swallow everything from now on, and keep the connections open."""
        with self._lock:
            self._stalled = True

    def close(self) -> None:
        """End the thread and every connection."""
        self._closed = True
        self._ring.send(b"x")
        self._thread.join()
        for flow in list(self._flows):
            self._drop(flow)
        for end in (self._listener, self._bell, self._ring):
            end.close()
        self._selector.close()

    def _work(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data is not None:
                    with self._lock:
                        self._pass(*key.data)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        host, port = self.target.rsplit(":", 1)
        try:
            server = socket.create_connection((host, int(port)))
        except OSError:
            client.close()
            return
        self.connections += 1
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flow = Flow(client, server)
        with self._lock:
            self._flows.append(flow)
        self._selector.register(client, selectors.EVENT_READ, (flow, client, server))
        self._selector.register(server, selectors.EVENT_READ, (flow, server, client))

    def _pass(self, flow: Flow, source: socket.socket, sink: socket.socket) -> None:
        if flow not in self._flows:
            return
        try:
            data = bytearray(source.recv(1 << 16))
        except OSError:
            data = bytearray()
        if not data:
            self._drop(flow)
            return
        if self._stalled:
            return
        ends = False
        if source is flow.client:
            data, ends = self._touched(data)
        try:
            sink.sendall(data)
        except OSError:
            ends = True
        if ends:
            self._drop(flow)

    def _touched(self, data: bytearray) -> tuple[bytearray, bool]:
        start, self.passed = self.passed, self.passed + len(data)
        if self._damage_at is not None and start <= self._damage_at < self.passed:
            data[self._damage_at - start] ^= 1
            self._damage_at = None
        if self._cut_at is not None and self._cut_at <= self.passed:
            data, self._cut_at = data[: max(0, self._cut_at - start)], None
            return data, True
        return data, False

    def _drop(self, flow: Flow) -> None:
        if flow in self._flows:
            self._flows.remove(flow)
            for end in (flow.client, flow.server):
                self._selector.unregister(end)
                end.close()

"""The HTTP protocol, but a client that is slow to send or to take loses its connection."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

TAKEN_BYTES = 64 << 10
"""Of an answer that waits to be taken a client takes at least so much in ``stall_seconds``."""


class PatientProtocol(H11Protocol):
    """uvicorn's h11 protocol with two clocks.

    One runs from the first byte (or the start) to a request, for ``header_seconds``. The other
    looks every ``stall_seconds`` whether what waits to be sent was taken, all of it or
    ``TAKEN_BYTES``; it runs as long as the connection is there, also once it is to be closed.
    """

    header_seconds = 10.0
    stall_seconds = 30.0
    _slow: asyncio.TimerHandle | None = None
    _look: asyncio.TimerHandle | None = None
    _waited = 0
    _seen = 0
    transport: Any

    @classmethod
    def within(cls, header_seconds: float, stall_seconds: float) -> type[PatientProtocol]:
        """Return a protocol that waits so long."""
        waits = {"header_seconds": header_seconds, "stall_seconds": stall_seconds}
        return type("PatientProtocol", (cls,), waits)

    def connection_made(self, transport: Any) -> None:
        """Start the clocks."""
        super().connection_made(_Counted(transport))  # type: ignore[arg-type]
        self._arm()
        self._look = self.loop.call_later(self.stall_seconds, self._check_taken)

    def data_received(self, data: bytes) -> None:
        """Read on; the clock stops once a request is there."""
        super().data_received(data)
        if self._waiting():
            self._arm()
        else:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._disarm()
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _arm(self) -> None:
        if self._slow is None:
            self._slow = self.loop.call_later(self.header_seconds, self._give_up)

    def _disarm(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _give_up(self) -> None:
        self._slow = None
        if self._waiting() and not self.transport.is_closing():
            self.transport.close()

    def _check_taken(self) -> None:
        """Drop the connection if too little was taken of what waited at the look before."""
        waits = self.transport.waits()
        gone = self.transport.written - waits
        if gone - self._seen < min(self._waited, TAKEN_BYTES):
            # To close it in order would wait until all is taken.
            self.transport.abort()
            return
        self._waited, self._seen = waits, gone
        self._look = self.loop.call_later(self.stall_seconds, self._check_taken)


class _Counted:
    """A transport that counts what is written to it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.written = 0
        # Under TLS most of what waits lies in the transport below.
        self._tls = getattr(transport, "_ssl_protocol", None)
        self._below = None if self._tls is None else self._tls._transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send data, or keep it until it can be sent."""
        self.written += len(data)
        self._transport.write(data)

    def waits(self) -> int:
        """Return how many bytes wait to be sent."""
        if self._tls is None or self._below is None:
            return int(self._transport.get_write_buffer_size())
        return int(self._tls._get_write_buffer_size() + self._below.get_write_buffer_size())

    def abort(self) -> None:
        """Close the connection now; what waits is lost."""
        (self._transport if self._below is None else self._below).abort()

"""The HTTP protocol, but a client that is slow to send its headers loses its connection."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """uvicorn's h11 protocol with a time limit from the first byte (or the start) to a request."""

    header_seconds = 10.0
    _slow: asyncio.TimerHandle | None = None

    @classmethod
    def within(cls, seconds: float) -> type[PatientProtocol]:
        """Return a protocol that waits so long."""
        return type("PatientProtocol", (cls,), {"header_seconds": seconds})

    def connection_made(self, transport: Any) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Read on; the clock stops once a request is there."""
        super().data_received(data)
        if self._waiting():
            self._arm()
        else:
            self._disarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._disarm()
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

"""Answers that are made piece by piece while they are sent, on threads that no other work needs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import anyio
import anyio.to_thread
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Pieces(StreamingResponse):
    """An answer of pieces, each made when the one before was taken.

    What makes them is closed when the answer ends, whole or broken off: it may hold a file. Routes
    that answer so declare it (``download``), so that a user has a bounded number of them at once.
    """

    def __init__(self, pieces: Iterable[bytes], **options: Any) -> None:
        super().__init__((), **options)
        self.pieces = iter(pieces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        limiter: anyio.CapacityLimiter = scope["app"].state.downloaders
        self.body_iterator = self._drawn(limiter)
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close, limiter=limiter)

    async def _drawn(self, limiter: anyio.CapacityLimiter) -> AsyncIterator[bytes]:
        while True:
            piece = await anyio.to_thread.run_sync(next, self.pieces, None, limiter=limiter)
            if piece is None:
                return
            yield piece

    def _close(self) -> None:
        close = getattr(self.pieces, "close", None)
        # A stopping server leaves a thread at work: what it holds ends with it.
        with contextlib.suppress(ValueError):
            if close is not None:
                close()

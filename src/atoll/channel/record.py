"""Transcripts: everything that one party sent and received, for tests and replay.

Refuses to run outside tests and simulation: a transcript keeps what a party must forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from atoll.channel.api import Buffer, Transport
from atoll.core.names import Scope
from atoll.core.settings import require_insecure


@dataclass(frozen=True)
class Entry:
    """One message as it passed."""

    direction: Literal["sent", "received"]
    peer: str
    scope: Scope
    tag: str
    body: bytes


class RecordTransport:
    """Passes everything on and keeps it in ``entries``. Errors: ATL-SET-001 outside tests."""

    def __init__(self, inner: Transport) -> None:
        require_insecure("a recording channel")
        self.inner = inner
        self.party = inner.party
        self.peers = inner.peers
        self.entries: list[Entry] = []

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Record and pass on."""
        self.entries.append(Entry("sent", peer, scope, tag, bytes(body)))
        self.inner.send(peer, scope, tag, body, timeout)

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Receive and record."""
        body = self.inner.receive(peer, scope, tag, timeout)
        self.entries.append(Entry("received", peer, scope, tag, bytes(body)))
        return body

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Receive and record, with the order of arrival."""
        peer, body = self.inner.receive_any(peers, scope, tag, timeout)
        self.entries.append(Entry("received", peer, scope, tag, bytes(body)))
        return peer, body

    def abort(self, code: str, phase: str) -> None:
        """Pass on."""
        self.inner.abort(code, phase)

    def close(self) -> None:
        """Pass on."""
        self.inner.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

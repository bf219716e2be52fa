"""A transport that misbehaves on purpose, at chosen messages.

Messages of one party are counted from 0, sent and received alike, in the order in which they pass;
those of a tag are counted by themselves as well.
Refuses to run outside tests and simulation.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from atoll.channel.api import Buffer, Transport
from atoll.core.names import Scope
from atoll.core.settings import require_insecure

Kind = Literal["drop", "delay", "duplicate", "reorder", "truncate", "corrupt", "kill"]


class Killed(BaseException):
    """The party died here; nothing may catch it and go on."""


@dataclass(frozen=True)
class Fault:
    """What happens at message ``at``, of all or of those with ``tag``.

    ``delay`` holds a sent message back until ``count`` others have been sent; ``reorder`` swaps
    it with the next; ``truncate`` cuts its last byte; ``corrupt`` flips a bit in its middle.
    """

    kind: Kind
    at: int
    count: int = 1
    tag: str | None = None


class FaultyTransport:
    """Passes messages on but for the faults. Errors: ATL-SET-001 outside tests.

    ``on_kill`` does the dying (mark the network, or kill the process); then ``Killed`` is raised.
    """

    def __init__(
        self, inner: Transport, faults: Sequence[Fault], on_kill: Callable[[], None] | None = None
    ) -> None:
        require_insecure("a faulty channel")
        self.inner = inner
        self.party = inner.party
        self.peers = inner.peers
        self.passed = 0
        self._faults = {(fault.tag, fault.at): fault for fault in faults}
        self._tagged: Counter[str] = Counter()
        self._on_kill = on_kill
        self._held: list[tuple[int, Callable[[], None]]] = []
        self._lock = threading.Lock()

    def _next(self, tag: str) -> Fault | None:
        with self._lock:
            fault = self._faults.get((None, self.passed))
            fault = self._faults.get((tag, self._tagged[tag]), fault)
            self.passed += 1
            self._tagged[tag] += 1
        if fault is not None and fault.kind == "kill":
            if self._on_kill is not None:
                self._on_kill()
            raise Killed
        return fault

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Send, with the fault of this message."""
        fault = self._next(tag)
        kind = fault.kind if fault else None
        if kind == "truncate":
            body = bytes(body[:-1])
        elif kind == "corrupt":
            changed = bytearray(body)
            changed[len(changed) // 2] ^= 1
            body = bytes(changed)

        def deliver() -> None:
            self.inner.send(peer, scope, tag, body, timeout)

        if fault is not None and kind in ("delay", "reorder"):
            self._held.append((fault.count if kind == "delay" else 1, deliver))
            return
        if kind != "drop":
            deliver()
        if kind == "duplicate":
            deliver()
        self._release()

    def _release(self) -> None:
        due = [deliver for count, deliver in self._held if count <= 1]
        self._held = [(count - 1, deliver) for count, deliver in self._held if count > 1]
        for deliver in due:
            deliver()

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Receive, dying first if this message is the one."""
        self._next(tag)
        return self.inner.receive(peer, scope, tag, timeout)

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Receive from any, dying first if this message is the one."""
        self._next(tag)
        return self.inner.receive_any(peers, scope, tag, timeout)

    def abort(self, code: str, phase: str) -> None:
        """Pass on."""
        self.inner.abort(code, phase)

    def close(self) -> None:
        """Deliver what is still held back, then close."""
        for _, deliver in self._held:
            deliver()
        self._held = []
        self.inner.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

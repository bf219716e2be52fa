"""Channels: what role code reads and writes, and what a transport must offer beneath.

Role code is plain blocking Python:

    channel.send("bank", "size", Count(rows=3))
    count = channel.receive("bank", "size", Count)

Messages of one (sender, scope, tag) arrive once each and in order. Every wait has a deadline.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from atoll.core.errors import AtollError, UserError
from atoll.core.limits import MESSAGE_BYTES, Limits
from atoll.core.message import Message
from atoll.core.names import Scope
from atoll.core.reveal import Disclosures

M = TypeVar("M", bound=Message)
Buffer = bytes | memoryview


class Transport(Protocol):
    """Moves bytes between this party and its peers: once each, in order per (peer, scope, tag).

    Errors of every call: ATL-NET-001 peer lost (silent too long), ATL-NET-002 the deadline passed,
    ATL-NET-003 the peer left with nothing queued, ATL-NET-004 the peer failed (its code and
    phase), ATL-NET-005 too large a message. ``timeout`` is in seconds from now.
    """

    party: str
    peers: tuple[str, ...]

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Hand over one message; may block while the peer's window is full."""
        ...

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Wait for the next message of this peer, scope and tag."""
        ...

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Wait for the next message of any of these peers; return who sent it."""
        ...

    def abort(self, code: str, phase: str) -> None:
        """Report to every peer that this party failed: code and phase only, then close."""
        ...

    def close(self) -> None:
        """Close the session with the peers and free every resource; may be called again."""
        ...


@dataclass
class Traffic:
    """Bytes and messages with one peer under one tag, and the rounds: replies that were awaited."""

    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    rounds: int = 0


class Counters:
    """Traffic per (peer, task, tag), filled by channels and safe to read from other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traffic: dict[tuple[str, str, str], Traffic] = defaultdict(Traffic)
        self._spoke: set[tuple[str, str]] = set()

    def sent(self, peer: str, task: str, tag: str, count: int) -> None:
        """Count one message of ``count`` bytes to a peer."""
        with self._lock:
            entry = self._traffic[peer, task, tag]
            entry.bytes_sent += count
            entry.messages_sent += 1
            self._spoke.add((peer, task))

    def received(self, peer: str, task: str, tag: str, count: int) -> None:
        """Count one message from a peer; the first after this party spoke ends a round."""
        with self._lock:
            entry = self._traffic[peer, task, tag]
            entry.bytes_received += count
            entry.messages_received += 1
            if (peer, task) in self._spoke:
                self._spoke.discard((peer, task))
                entry.rounds += 1

    def snapshot(self) -> dict[tuple[str, str, str], Traffic]:
        """Return a copy of the traffic by (peer, task, tag)."""
        with self._lock:
            return {key: Traffic(**vars(entry)) for key, entry in self._traffic.items()}

    def total(self, *, task: str | None = None, peer: str | None = None) -> Traffic:
        """Return the sum over all tags, of one task or peer where named."""
        whole = Traffic()
        for (at_peer, at_task, _), entry in self.snapshot().items():
            if task in (None, at_task) and peer in (None, at_peer):
                for name, value in vars(entry).items():
                    setattr(whole, name, getattr(whole, name) + value)
        return whole


@dataclass
class Channel:
    """A typed view of a transport within one scope; ``fork`` gives a lane of its own.

    ``disclosures`` counts each revealing field that this party sends; ``phase`` names what is going
    on for errors. Errors: those of ``Transport``, ATL-COD-001/002 for what does not decode.
    """

    transport: Transport
    scope: Scope
    limits: Limits = field(default_factory=Limits)
    counters: Counters = field(default_factory=Counters)
    disclosures: Disclosures = field(default_factory=Disclosures)
    lane: str = ""
    phase_name: str = ""

    @property
    def party(self) -> str:
        """This party's id."""
        return self.transport.party

    def send(self, receiver: str, tag: str, message: Message) -> None:
        """Encode and send a message; its reveals are counted before it leaves."""
        body = message.encode()
        if len(body) > MESSAGE_BYTES:
            raise UserError(
                "ATL-NET-005",
                f"a {message.kind} message is larger than 64 MiB",
                hint="send it as a stream of messages",
            )
        full = self.lane + tag
        self.disclosures.add(self.party, receiver, message.kind, message.revealed())
        with self._located(receiver, tag):
            self.transport.send(receiver, self.scope, full, body, self.limits.receive_seconds)
        self.counters.sent(receiver, self.scope.task, full, len(body))

    def receive(self, sender: str, tag: str, kind: type[M], *, deadline: float | None = None) -> M:
        """Wait for the next message of ``sender`` under ``tag``, at most ``deadline`` seconds."""
        full = self.lane + tag
        wait = self.limits.receive_seconds if deadline is None else deadline
        with self._located(sender, tag):
            body = self.transport.receive(sender, self.scope, full, wait)
            self.counters.received(sender, self.scope.task, full, len(body))
            return kind.decode(body)

    def receive_any(
        self, senders: Sequence[str], tag: str, kind: type[M], *, deadline: float | None = None
    ) -> tuple[str, M]:
        """Wait for the next message of any of ``senders``; return who sent it and the message."""
        full = self.lane + tag
        wait = self.limits.receive_seconds if deadline is None else deadline
        with self._located(None, tag):
            sender, body = self.transport.receive_any(senders, self.scope, full, wait)
        with self._located(sender, tag):
            self.counters.received(sender, self.scope.task, full, len(body))
            return sender, kind.decode(body)

    def fork(self, name: str) -> Channel:
        """Return a lane for parallel work; its tags never meet those of this one."""
        return Channel(
            self.transport,
            self.scope,
            self.limits,
            self.counters,
            self.disclosures,
            f"{self.lane}{name}/",
            self.phase_name,
        )

    def within(self, task: str) -> Channel:
        """Return a channel for another task of the same job and attempt."""
        scope = Scope(self.scope.job, task, self.scope.attempt)
        return Channel(self.transport, scope, self.limits, self.counters, self.disclosures)

    @contextmanager
    def _located(self, peer: str | None, tag: str) -> Iterator[None]:
        try:
            yield
        except AtollError as error:
            raise error.located(
                party=peer, phase=self.phase_name or f"{self.scope.task}/{tag}"
            ) from error.__cause__


Progress = Callable[[str, int, int], None]
Metric = Callable[[str, float, int], None]


def no_progress(phase: str, done: int, total: int) -> None:
    """Report progress to no one."""


def no_metric(name: str, value: float, number: int) -> None:
    """Report a metric to no one."""

"""Parties in one process: queues instead of sockets, real or virtual time.

In virtual time the clock stands still while anyone works and jumps to the next deadline when every
attached thread waits, so that lost messages and dead peers cost no real time and no test sleeps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from atoll.channel.api import Buffer
from atoll.core.clock import Clock, ManualClock, SystemClock
from atoll.core.errors import AtollError, NetworkError, PeerError, UserError
from atoll.core.limits import MESSAGE_BYTES
from atoll.core.names import Scope

T = TypeVar("T")
_Key = tuple[str, str, Scope, str]


@dataclass
class _State:
    """What the network knows of one party."""

    died: float | None = None
    closed: bool = False
    failure: tuple[str, str] | None = None


@dataclass
class _Waiter:
    """A thread that waits: for messages under which keys, until when, and how it is woken."""

    keys: Sequence[_Key]
    until: float
    woken: threading.Condition


@dataclass
class _Attendance:
    """How many threads work, those of them that wait, and which wait for a key."""

    present: int = 0
    waiting: dict[int, _Waiter] = field(default_factory=dict)
    by_key: dict[_Key, set[int]] = field(default_factory=dict)

    def wait(self, thread: int, waiter: _Waiter) -> None:
        """Note that a thread waits."""
        self.waiting[thread] = waiter
        for key in waiter.keys:
            self.by_key.setdefault(key, set()).add(thread)

    def wake(self, threads: Iterable[int]) -> None:
        """Count threads as working again, and wake them."""
        for thread in list(threads):
            waiter = self.waiting.pop(thread, None)
            if waiter is None:
                continue
            for key in waiter.keys:
                self.by_key[key].discard(thread)
                if not self.by_key[key]:
                    del self.by_key[key]
            waiter.woken.notify_all()


class MemoryNetwork:
    """The shared middle of the memory transports of ``parties``.

    ``virtual`` chooses virtual time; then each working thread must be attached (see ``attached``).
    """

    def __init__(
        self, parties: Sequence[str], *, virtual: bool = False, silence: float = 30.0
    ) -> None:
        self.parties = tuple(parties)
        self.clock: Clock = ManualClock() if virtual else SystemClock()
        self._silence = silence
        self._lock = threading.RLock()
        self._queues: dict[_Key, deque[Buffer]] = {}
        self._states = {party: _State() for party in self.parties}
        self._attendance = _Attendance()

    def transport(self, party: str) -> MemoryTransport:
        """Return the end of ``party``."""
        return MemoryTransport(self, party)

    def kill(self, party: str) -> None:
        """Let a party die silently: its peers notice when it has been silent for long enough."""
        with self._lock:
            self._states[party].died = self.clock.now()
            self._changed()

    def enter(self) -> None:
        """Count the calling thread as working."""
        with self._lock:
            self._attendance.present += 1

    def leave(self) -> None:
        """Count the calling thread as gone."""
        with self._lock:
            self._attendance.present -= 1
            self._changed()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Count the calling thread as working for the length of a block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def put(self, key: _Key, body: Buffer) -> None:
        """Queue a message."""
        with self._lock:
            self._queues.setdefault(key, deque()).append(body)
            # A message wakes no one but who waits for it.
            self._attendance.wake(self._attendance.by_key.get(key, ()))

    def end(self, party: str, failure: tuple[str, str] | None) -> None:
        """Mark a party as closed, or as failed with a code and phase."""
        with self._lock:
            state = self._states[party]
            if not state.closed:
                state.closed, state.failure = True, failure
            self._changed()

    def check(self, peer: str) -> None:
        """Raise if this peer has failed. Errors: ATL-NET-004."""
        failure = self._states[peer].failure
        if failure is not None:
            code, phase = failure
            raise PeerError("ATL-NET-004", f"the peer failed with {code}", party=peer, phase=phase)

    def take(self, keys: Sequence[_Key], timeout: float) -> tuple[str, Buffer]:
        """Wait for a message under any of the keys; return its sender and the body."""
        senders = [key[0] for key in keys]
        deadline = self.clock.now() + timeout

        def ready() -> tuple[str, Buffer] | None:
            # As on a wire: what a peer sent before it failed comes before its failure.
            for key in keys:
                queue = self._queues.get(key)
                if queue:
                    return key[0], queue.popleft()
            for sender in senders:
                self.check(sender)
            self._raise_if_hopeless(senders, deadline)
            return None

        return self._wait(keys, ready, lambda: self._next_moment(senders, deadline))

    def _raise_if_hopeless(self, senders: Sequence[str], deadline: float) -> None:
        now = self.clock.now()
        if all(self._states[sender].closed for sender in senders):
            raise NetworkError("ATL-NET-003", "the peer left", party=senders[0])
        for sender in senders:
            state = self._states[sender]
            if state.died is not None and now >= state.died + self._silence:
                raise NetworkError("ATL-NET-001", "peer lost", party=sender)
        if now >= deadline:
            party = senders[0] if len(senders) == 1 else None
            raise NetworkError("ATL-NET-002", "no message before the deadline", party=party)

    def _next_moment(self, senders: Sequence[str], deadline: float) -> float:
        deaths = [self._states[sender].died for sender in senders]
        return min([deadline, *(died + self._silence for died in deaths if died is not None)])

    def _changed(self) -> None:
        # Whoever is woken works again until it has looked: time may not jump before.
        self._attendance.wake(self._attendance.waiting)

    def _wait(
        self,
        keys: Sequence[_Key],
        ready: Callable[[], T | None],
        moment: Callable[[], float],
    ) -> T:
        thread, attendance = threading.get_ident(), self._attendance
        with self._lock:
            woken = threading.Condition(self._lock)
            while True:
                value = ready()
                if value is not None:
                    return value
                until = moment()
                attendance.wait(thread, _Waiter(keys, until, woken))
                if not isinstance(self.clock, ManualClock):
                    woken.wait(max(until - self.clock.now(), 0.0))
                    attendance.wake((thread,))
                elif len(attendance.waiting) >= attendance.present:
                    self.clock.advance_to(min(w.until for w in attendance.waiting.values()))
                    self._changed()
                else:
                    woken.wait()


class MemoryTransport:
    """One party's end of a ``MemoryNetwork``; see ``channel.api.Transport``."""

    def __init__(self, network: MemoryNetwork, party: str) -> None:
        self.network = network
        self.party = party
        self.peers = tuple(peer for peer in network.parties if peer != party)

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Queue one message for a peer. Errors: ATL-NET-004, ATL-NET-005, ATL-NET-006."""
        if peer not in self.peers:
            raise UserError("ATL-NET-006", "no such peer", party=peer)
        if len(body) > MESSAGE_BYTES:
            raise UserError("ATL-NET-005", "the message is larger than 64 MiB")
        self.network.check(peer)
        self.network.put((self.party, peer, scope, tag), bytes(body))

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Wait for the next message of this peer, scope and tag."""
        return self.receive_any((peer,), scope, tag, timeout)[1]

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Wait for the next message of any of these peers; return who sent it."""
        for peer in peers:
            if peer not in self.peers:
                raise UserError("ATL-NET-006", "no such peer", party=peer)
        return self.network.take([(peer, self.party, scope, tag) for peer in peers], timeout)

    def abort(self, code: str, phase: str) -> None:
        """Report to every peer that this party failed."""
        self.network.end(self.party, (code, phase))

    def close(self) -> None:
        """Close the session with the peers."""
        self.network.end(self.party, None)

    def lanes(self, count: int) -> Callable[[], None]:
        """Count ``count`` lanes as working in place of the calling thread.

        Each lane calls the result as it ends; the last one hands its place back to the caller, so
        that at no moment the party seems to have left.
        """
        left = [None] * (count - 1)
        for _ in left:
            self.network.enter()

        def ended() -> None:
            # Taking from a list is atomic; whoever finds it empty is the last.
            try:
                left.pop()
            except IndexError:
                return
            self.network.leave()

        return ended


def failure_code(error: BaseException) -> str:
    """Return the code that a peer may be sent for an error."""
    return error.code if isinstance(error, AtollError) else "ATL-INT-001"

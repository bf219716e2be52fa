"""Keeps the partners' nodes informed, and answers their calls.

One thread a partner sends what that partner has not acknowledged, at once when something changed
and now and then otherwise, so that silence means something. Four threads answer calls, two of
one partner at once, and the partners take turns. Calls that may look at tables, which takes as long
as the tables are large, have four threads of their own, one for a partner: nothing else waits for
them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from atoll.channel.grpc.gateway import Call, Gateway
from atoll.channel.identity import Identity
from atoll.core.errors import AtollError, PeerError
from atoll.flow.control import SyncMessage, encode_sync, parse_sync
from atoll.flow.node.jobs.answers import unexpected
from atoll.flow.node.jobs.control import Control
from atoll.flow.node.jobs.endings import end_refused
from atoll.flow.node.jobs.refusals import Refusals
from atoll.flow.node.jobs.waiting_calls import WaitingCalls

_LOG = logging.getLogger(__name__)
_ANSWERING = 4
_AT_ONCE = 2
# Kinds of calls that may look at tables.
_LOOKING = frozenset({"declare"})
# So long a node that stops may wait for the threads that answer.
_LISTEN_SECONDS = 0.25
_PAUSES = (0.1, 0.3, 1.0, 2.0, 5.0)

# Another authority, another name, expired, not valid yet, refused by the peer, rotated away.
_CERTIFICATE = frozenset(f"ATL-NET-{number:03}" for number in (11, 12, 13, 14, 16, 49))

Answer = Callable[[Call], bytes]


@dataclass
class _Line:
    """The thread that keeps one partner informed."""

    peer: str
    news: threading.Event
    thread: threading.Thread
    ended: bool = False


class Syncing:
    """The conversation with all partners' nodes; ``answers`` holds the other kinds of calls."""

    def __init__(
        self,
        gateway: Gateway,
        control: Control,
        identity: Callable[[], Identity],
        answers: Mapping[str, Answer],
        *,
        call_seconds: float,
        sync_seconds: float,
    ) -> None:
        self._gateway = gateway
        self._control = control
        self._identity = identity
        self._answers = answers
        self._call_seconds = call_seconds
        self._sync_seconds = sync_seconds
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._waiting = WaitingCalls(_AT_ONCE)
        self._looking = WaitingCalls(1)
        self._refusals = Refusals(_LOG)
        self._threads = [
            threading.Thread(target=self._take_calls, name="calls", daemon=True),
            *(
                threading.Thread(
                    target=self._answer_calls, args=(line,), name="answers", daemon=True
                )
                for line in (self._waiting, self._looking)
                for _ in range(_ANSWERING)
            ),
        ]

    def start(self) -> None:
        """Begin to answer, and to send to those partners that can be reached."""
        for thread in self._threads:
            thread.start()
        self.follow(self._identity())

    def follow(self, identity: Identity) -> None:
        """Take note of who the partners are now."""
        wanted = {name for name, peer in identity.peers.items() if peer.address is not None}
        with self._lock:
            for peer in wanted - self._lines.keys():
                news = threading.Event()
                thread = threading.Thread(
                    target=self._send_loop, args=(peer,), name=f"sync {peer}", daemon=True
                )
                self._lines[peer] = _Line(peer, news, thread)
                thread.start()
            for peer in self._lines.keys() - wanted:
                line = self._lines.pop(peer)
                line.ended = True
                line.news.set()

    def wake(self, peers: tuple[str, ...]) -> None:
        """Have these partners notified at once. One without an address asks by itself."""
        with self._lock:
            for peer in peers:
                if peer in self._lines:
                    self._lines[peer].news.set()

    def close(self) -> None:
        """End the threads."""
        self._closing.set()
        self._waiting.close()
        self._looking.close()
        with self._lock:
            lines = list(self._lines.values())
            for line in lines:
                line.ended = True
                line.news.set()
        for thread in [*self._threads, *(line.thread for line in lines)]:
            thread.join(_LISTEN_SECONDS + 1.0)

    # -- sending --------------------------------------------------------------------------------

    def _send_loop(self, peer: str) -> None:
        with self._lock:
            line = self._lines.get(peer)
        if line is None:
            return
        failures = 0
        last = 0.0
        refused: float | None = None
        while not line.ended:
            line.news.wait(self._sync_seconds if not failures else _pause(failures))
            if line.ended:
                return
            line.news.clear()
            try:
                due = time.monotonic() - last >= self._sync_seconds
                if self._exchange(peer, due=due or failures > 0):
                    last = time.monotonic()
                failures, refused = 0, None
            except AtollError as error:
                failures += 1
                refused = self._refused(peer, error.code, refused)
                if failures in (1, 10) or failures % 100 == 0:
                    _LOG.warning("partner %s was not notified: %s", peer, error)

    def _refused(self, peer: str, code: str, since: float | None) -> float | None:
        """Have jobs end whose partner is refused for its certificate, or refuses ours, for long."""
        if code not in _CERTIFICATE:
            return None
        started = time.monotonic() if since is None else since
        self._control.post(partial(end_refused, peer=peer, code=code, since=started))
        return started

    def _exchange(self, peer: str, *, due: bool) -> bool:
        """Send a partner what is new, and take its answer, until there is nothing new."""
        spoke = False
        sent: list[tuple[str, int]] = []
        while not self._closing.is_set():
            message = self._control.see(partial(_message, peer=peer, due=due and not spoke))
            if message is None:
                return spoke
            former, sent = sent, [(update.job, update.version) for update in message.updates]
            if sent and sent == former:
                # It does not take these in (a job that it pruned, perhaps): later once more.
                return spoke
            body = encode_sync(message)
            answer = parse_sync(self._gateway.call(peer, "sync", body, self._call_seconds))
            self._control.take(peer, answer)
            spoke = True
        return spoke

    # -- answering ------------------------------------------------------------------------------

    def _take_calls(self) -> None:
        """Have the calls wait by partner; who waits for too many answers is refused at once."""
        while not self._closing.is_set():
            try:
                call = self._gateway.next_call(_LISTEN_SECONDS)
            except AtollError as error:
                if not self._closing.is_set():
                    _LOG.error("calls cannot be taken: %s", error)
                    self._closing.wait(_LISTEN_SECONDS)
                continue
            if call is None:
                continue
            line = self._looking if call.kind in _LOOKING else self._waiting
            if not line.put(call):
                self._refuse(call, PeerError("ATL-NET-044", "too many calls of a partner wait"))

    def _answer_calls(self, line: WaitingCalls) -> None:
        while (call := line.take()) is not None:
            try:
                self._answer(call)
            finally:
                line.done(call)

    def _answer(self, call: Call) -> None:
        try:
            if call.kind == "sync":
                body = self._synced(call)
            elif call.kind in self._answers:
                body = self._answers[call.kind](call)
            else:
                raise PeerError("ATL-NOD-022", "no call of this kind is answered here")
            self._gateway.answer(call, body)
        except Exception as error:
            self._refuse(call, unexpected(error))

    def _refuse(self, call: Call, error: AtollError) -> None:
        # A kind is whatever a partner calls it: those that are none count as one.
        kind = call.kind if call.kind in {"sync", *self._answers} else "call"
        self._refusals.log(call.party, f"a {kind}", error)
        try:
            self._gateway.refuse(call, error.code)
        except AtollError as gone:
            _LOG.warning("the refusal was not sent: %s", gone)

    def _synced(self, call: Call) -> bytes:
        received = parse_sync(call.body)

        # Acknowledged is only what the database holds, so the answer is made afterwards.
        self._control.take(call.party, received, self._call_seconds)
        message = self._control.see(partial(_message, peer=call.party, due=True))
        return encode_sync(message or SyncMessage())


def _message(control: Control, *, peer: str, due: bool) -> SyncMessage | None:
    """Return what to send a partner; None if that is nothing and no sign of life is due."""
    exchange = control.exchange(peer)
    pending_sync = control.pending_sync.of(exchange, control.records)
    if not exchange.pending(pending_sync):
        shared = (r for r in control.records.values() if peer in r.job.parties)
        if not (due and any(record.end is None for record in shared)):
            return None
    message = exchange.message(control.records, pending_sync)
    control.sync_traffic.count_sent(peer, message.updates)
    if due:
        # What a partner's node forgot, or never received, comes to light.
        found = control.pending_sync.probes(peer, control.records, control.now.monotonic)
        message = replace(message, held={**found, **message.held})
    return message


def _pause(failures: int) -> float:
    return _PAUSES[min(failures, len(_PAUSES)) - 1]

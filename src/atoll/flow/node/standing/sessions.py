"""Sessions of standing agreements: opened when someone asks, shared by all who ask, ended in time.

The asking node numbers a session and has each partner's node open its seat; then its own worker
meets theirs. Rows are counted by each node for itself before its worker uses them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from typing import Any

from atoll.channel.grpc.gateway import Call, Gateway
from atoll.core.errors import AtollError, UserError
from atoll.flow.node.jobs.answers import unexpected
from atoll.flow.node.standing.agreement import Agreement, SessionBook
from atoll.flow.node.standing.inviting import ENDED, OPEN, Inviting, SessionMessage
from atoll.flow.node.standing.seats import Seats
from atoll.flow.node.standing.session import Session, UntouchedError, lost
from atoll.flow.work.task_events import REQUEST_BYTES, TaskEvent, compact
from atoll.jobs.errors import DeniedError, EnvironmentFault

_LOG = logging.getLogger(__name__)
_THREADS = 8
_POLL_SECONDS = 1.0
_ROOM_SECONDS = 2.0
# A partner's batch is not seen here from its count to its end: it is left this time.
_IN_USE_SECONDS = 5.0
_WAITING, _WAITING_BYTES = 10_000, 64 << 20


@dataclass(frozen=True)
class SessionSettings:
    """Seconds: after how long without a request a session ends, how long a call to a partner may
    take, and how long sessions have to end when the node stops. At most ``most`` are open.
    """

    idle_seconds: float = 60.0
    call_seconds: float = 20.0
    drain_seconds: float = 2.0
    most: int = 8


class Sessions:
    """See the module, and ``SessionService``. Close it before the pool of workers."""

    def __init__(
        self,
        book: SessionBook,
        seats: Seats,
        gateway: Gateway,
        settings: SessionSettings,
        *,
        log: Callable[[TaskEvent], None] = lambda event: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._seats = seats
        self._party = gateway.party
        self._inviting = Inviting(book, gateway, settings.call_seconds)
        self._settings = settings
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._opening: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._asking: dict[str, Session] = {}
        self._all: dict[tuple[str, int], Session] = {}
        self._making = 0
        self._held = threading.Event()
        self._closing = threading.Event()
        self._work = ThreadPoolExecutor(_THREADS, "sessions")
        self._thread = threading.Thread(target=self._watch, name="idle sessions", daemon=True)
        self._thread.start()

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, agreement: str, body: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """See ``SessionService.ask``."""
        size = len(compact(body))
        if size > REQUEST_BYTES:
            raise UserError(
                "ATL-AGR-006",
                f"a request is larger than {REQUEST_BYTES >> 20} MiB",
                place="body",
                hint="ask for fewer rows at once",
            )
        deadline = self._now() + seconds
        try:
            return self._asked(agreement, body, size, deadline)
        except UntouchedError:
            # Nothing was counted for it; that session was older than the request, perhaps.
            try:
                return self._asked(agreement, body, size, deadline)
            except UntouchedError as again:
                raise again.cause from None

    def _asked(
        self, agreement: str, body: Mapping[str, Any], size: int, deadline: float
    ) -> Mapping[str, Any]:
        while True:
            session = self._usable(agreement, deadline)
            if self._now() >= deadline:
                # Opening it took all the time; nothing was handed in, so nothing is counted.
                raise lost("no session was opened in the time that was given")
            count, waiting = session.waiting
            if count >= _WAITING or waiting + size > _WAITING_BYTES:
                raise EnvironmentFault(
                    "ATL-WRK-002", "too many requests wait already", hint="ask again later"
                )
            asked = session.ask(body, size)
            if asked is not None:
                break
        number, entry = asked
        try:
            return entry.answer.result(max(deadline - self._now(), 0.0))
        except FutureTimeoutError:
            session.forget(number)
            raise lost("no answer came in the time that was given") from None

    def _usable(self, agreement: str, deadline: float) -> Session:
        """Return the open session of an agreement, or open one; others wait for it meanwhile."""
        with self._lock:
            found = self._asking.get(agreement)
        if found is not None and found.usable:
            return found
        # Checked first, so that a lock is kept for agreements alone and not for whatever is asked.
        self._book.live(agreement)
        with self._lock:
            opening = self._opening[agreement]
        if not opening.acquire(timeout=max(deadline - self._now(), 0.0)):
            raise lost("no session was opened in the time that was given")
        try:
            with self._lock:
                found = self._asking.get(agreement)
            if found is not None and found.usable:
                return found
            return self._open(agreement)
        finally:
            opening.release()

    def _open(self, name: str) -> Session:
        agreement = self._book.live(name)
        if agreement.party != self._party:
            raise DeniedError(
                "ATL-AGR-008",
                f"under this agreement {agreement.party} asks, not this party",
                party=self._party,
                place=name,
            )
        self._refuse_closing()
        self._book.check_open(name)
        with self._room(self._party):
            number = self._inviting.invite(agreement)
            try:
                session = self._begin(agreement, number)
            except BaseException:
                self._book.close_session(name, number, (), ())
                self._inviting.send_ended(agreement, number)
                raise
        with self._lock:
            self._asking[name] = session
        return session

    def _refuse_closing(self) -> None:
        if self._closing.is_set():
            raise EnvironmentFault("ATL-WRK-002", "the node is stopping")

    @contextlib.contextmanager
    def _room(self, party: str) -> Iterator[None]:
        """Hold the place of a session that is being opened for ``party``; another gives way where
        all are taken. Workers are left to jobs. Errors: ATL-WRK-002 none does.
        """
        with self._lock:
            full = not self._has_room()
        if full:
            self._free_place(party)
        with self._changed:
            # One that ends at the caller is about to end here as well.
            room = self._changed.wait_for(self._has_room, _ROOM_SECONDS)
            self._making += room
        if not room:
            raise EnvironmentFault(
                "ATL-WRK-002",
                "as many sessions are open as may be",
                hint="wait until one is idle, or allow more workers",
            )
        try:
            yield
        finally:
            with self._changed:
                self._making -= 1
                self._changed.notify_all()

    def _free_place(self, party: str) -> None:
        """End one session: of the party that asks with most places, the one unused for longest.

        An idle one, unless a partner has more places than ``party`` would have: no partner can
        keep all from another.
        """
        with self._lock:
            held = [session for session in self._all.values() if session.usable]
        places = Counter(session.agreement.party for session in held)
        places[party] += 1
        held.sort(key=lambda session: (-places[session.agreement.party], session.used))
        any(self._gives_way(one, places[one.agreement.party] > places[party]) for one in held)

    def _gives_way(self, session: Session, has_more: bool) -> bool:
        now = self._now()
        if session.agreement.party == self._party:
            return session.close(now)
        if session.used > now - _IN_USE_SECONDS and not has_more:
            return False
        session.cancel(None)
        return True

    def _has_room(self) -> bool:
        return len(self._all) + self._making < self._settings.most

    def _begin(self, agreement: Agreement, number: int) -> Session:
        seat = self._seats.make(agreement, number)
        session = Session(agreement, number, seat, self._now)
        with self._lock:
            self._all[agreement.id, number] = session
            self._held.set()
        self._seats.begin(seat, partial(self._on_event, session))
        _LOG.info("session %d of agreement %s opened", number, agreement.id)
        return session

    # -- what partners send -----------------------------------------------------------------------

    def answer_call(self, call: Call) -> bytes:
        """Open the seat that a partner asks for, or end one whose other side has ended.

        Errors: ATL-AGR-007 another plan, ATL-AGR-008 the caller may not ask, those of
        ``SessionBook.open_session`` and ``Seats.make``.
        """
        message = SessionMessage.decode(bytes(call.body))
        if message.do == ENDED:
            self._ended_there(message, call.party)
            return message.encode()
        if message.do != OPEN:
            raise UserError("ATL-NOD-022", "no call of this kind is answered here")
        self._refuse_closing()
        agreement = self._book.live(message.agreement)
        if call.party != agreement.party or call.party == self._party:
            raise DeniedError("ATL-AGR-008", "another party may ask", party=call.party)
        if message.plan != agreement.plan.digest():
            raise DeniedError("ATL-AGR-007", "the plan is another one here", party=call.party)
        # Nothing gives way to what would be refused.
        self._book.check_open(agreement.id, message.session)
        self._make_room(agreement.id)
        # A number is a line in the ledger: who calls where no room is leaves none.
        with self._room(call.party):
            number = self._book.open_session(agreement.id, message.session)
            if number != message.session:
                # The caller takes a number that is free at both.
                self._book.close_session(agreement.id, number, (), ())
                return SessionMessage(OPEN, agreement.id, number + 1, message.plan).encode()
            try:
                self._begin(agreement, number)
            except BaseException:
                self._book.close_session(agreement.id, number, (), ())
                raise
        return message.encode()

    def _make_room(self, agreement: str) -> None:
        """End all but the newest: a partner that asks has one that is ending beside its new one."""
        with self._lock:
            held = sorted(number for name, number in self._all if name == agreement)
            old = [self._all[agreement, number] for number in held[:-1]]
        for session in old:
            session.cancel(None)

    def _ended_there(self, message: SessionMessage, party: str) -> None:
        with self._lock:
            session = self._all.get((message.agreement, message.session))
        if session is None:
            return
        others = session.agreement.plan.parties_of(session.agreement.step) - {self._party}
        if party in others:
            session.cancel(None)

    def ended(self, agreement: str) -> None:
        """See ``SessionService.ended``."""
        try:
            self._book.live(agreement)
            return
        except AtollError as error:
            reason = error
        with self._lock:
            found = [s for (name, _), s in self._all.items() if name == agreement]
        for session in found:
            session.cancel(reason)

    # -- what workers report ----------------------------------------------------------------------

    def _later(self, work: Callable[..., None], *about: Any) -> None:
        # A node that is stopping writes nothing more: its next start closes what is left open.
        with contextlib.suppress(RuntimeError):
            self._work.submit(work, *about)

    def _on_event(self, session: Session, event: TaskEvent) -> None:
        """Take an event on the pool's thread, which must not wait."""
        if event.kind == "answer":
            session.answered(event.data)
        elif event.kind == "spend":
            self._later(self._spend, session, event.data)
        elif event.kind == "log":
            self._later(self._log, event)
        elif event.terminal:
            with self._lock:
                self._all.pop((session.agreement.id, session.number), None)
                self._changed.notify_all()
                if self._asking.get(session.agreement.id) is session:
                    del self._asking[session.agreement.id]
            session.ended(event)
            self._later(self._finish, session, event)

    def _spend(self, session: Session, fields: Mapping[str, Any]) -> None:
        number, units = fields.get("id"), fields.get("units")
        try:
            if not isinstance(units, int) or units < 0:
                raise UserError("ATL-WRK-003", "units are a whole number")
            session.touch()
            held = {name: str(table.digest) for name, table in session.seat.spec.tables.items()}
            self._book.spend(session.agreement.id, session.number, units, held)
        except Exception as error:
            known = unexpected(error)
            _LOG.warning("session %d of %s: %s", session.number, session.agreement.id, known)
            session.seat.send("refused", id=number, error=known.to_dict())
            return
        session.seat.send("granted", id=number)

    def _finish(self, session: Session, event: TaskEvent) -> None:
        """Free what the session used, and write what it sent; unknown if its worker was lost."""
        agreement, number = session.agreement, session.number
        try:
            self._seats.free(session.seat)
            reveals, moved = event.data.get("reveals"), event.data.get("traffic", ())
            self._book.close_session(agreement.id, number, reveals, moved)
        except Exception as error:
            _LOG.error("the end of session %d of %s: %s", number, agreement.id, unexpected(error))
        _LOG.info("session %d of agreement %s ended: %s", number, agreement.id, event.state)
        if event.kind != "done":
            # A peer would find out by silence alone, where a process was killed.
            self._inviting.send_ended(agreement, number)

    # -- time -----------------------------------------------------------------------------------

    def _watch(self) -> None:
        period = min(_POLL_SECONDS, self._settings.idle_seconds / 4)
        while self._held.wait() and not self._closing.wait(period):
            idle = self._now() - self._settings.idle_seconds
            with self._lock:
                held = list(self._all.values())
                # Not once it closes: whoever does so has it set for good.
                if not held and not self._closing.is_set():
                    self._held.clear()
                mine = set(map(id, self._asking.values()))
            for session in held:
                if id(session) in mine:
                    session.close(None if self._outdated(session) else idle)
                elif self._outdated(session) or session.used < idle - self._settings.idle_seconds:
                    # Whoever asks ends it in order; one that does not may not hold a worker.
                    session.cancel(None)

    def _outdated(self, session: Session) -> bool:
        """Return whether it would go on to serve what was deleted, replaced or archived here."""
        try:
            return not self._seats.current(session.agreement, session.seat)
        except Exception as error:
            _LOG.error("session %d of %s: %s", session.number, session.agreement.id, error)
            return False

    def close(self) -> None:
        """End all sessions, in order as far as the time allows; may be called again."""
        self._closing.set()
        with self._lock:
            self._held.set()
            held, mine = list(self._all.values()), list(self._asking.values())
        for session in mine:
            session.close()
        deadline = self._now() + self._settings.drain_seconds
        for session in held:
            if session in mine:
                session.over.wait(max(deadline - self._now(), 0.0))
            if not session.over.is_set():
                session.cancel(None)
        for session in held:
            session.over.wait(max(deadline + self._settings.drain_seconds - self._now(), 0.0))
        self._thread.join()
        self._work.shutdown(wait=True)
        self._inviting.close()

"""One session at this node: its worker, the requests that wait for answers, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from atoll.core.errors import AtollError, CancelledError, NetworkError
from atoll.flow.node.standing.agreement import Agreement
from atoll.flow.node.standing.seats import Seat
from atoll.flow.work.task_events import TaskEvent, error_of

Answer = Mapping[str, Any]

# What a peer's end looks like here: the cause is at the other side.
_PEER = ("ATL-NET-", "ATL-WRK-001", "ATL-JOB-001", "ATL-CMP-080")


@dataclass
class Open:
    """A request that waits; ``touched`` once rows were counted while it did, ``forgotten`` once
    no one waits for its answer.
    """

    size: int
    answer: Future[Answer] = field(default_factory=Future)
    touched: bool = False
    forgotten: bool = False


class UntouchedError(Exception):
    """The session ended before anything was counted for a request: it may be asked again."""

    def __init__(self, cause: AtollError) -> None:
        super().__init__(cause.code)
        self.cause = cause


class Session:
    """See the module. Any thread may call; ``now`` is monotonic."""

    def __init__(
        self, agreement: Agreement, number: int, seat: Seat, now: Callable[[], float]
    ) -> None:
        self.agreement = agreement
        self.number = number
        self.seat = seat
        self.over = threading.Event()
        self.used = now()
        self.reason: AtollError | None = None
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[int, Open] = {}
        self._last = 0
        self._closing = False

    @property
    def usable(self) -> bool:
        """Whether it takes requests."""
        return not (self._closing or self.over.is_set())

    @property
    def waiting(self) -> tuple[int, int]:
        """How many requests wait, and their size in bytes."""
        with self._lock:
            return len(self._open), sum(entry.size for entry in self._open.values())

    def ask(self, body: Mapping[str, Any], size: int) -> tuple[int, Open] | None:
        """Hand a request to the worker; None if the session takes none any more."""
        with self._lock:
            if not self.usable:
                return None
            self._last += 1
            number, entry = self._last, Open(size)
            self._open[number] = entry
            self.used = self._now()
        if self.seat.send("request", id=number, body=dict(body)):
            return number, entry
        with self._lock:
            self._closing = True
            return None if self._open.pop(number, None) else (number, entry)

    def forget(self, number: int) -> None:
        """Wait no more for an answer: it is dropped, and so is the request if none has begun it.

        Until the worker says so it counts among those that wait, since it lies there.
        """
        with self._lock:
            entry = self._open.get(number)
            if entry is None:
                return
            entry.forgotten = True
        self.seat.send("forget", id=number)

    def answered(self, fields: Mapping[str, Any]) -> None:
        """Take an answer of the worker."""
        with self._lock:
            entry = self._open.pop(fields.get("id", 0), None)
            self.used = self._now()
        if entry is None:
            return
        if "error" in fields:
            entry.answer.set_exception(error_of(fields["error"]))
        else:
            entry.answer.set_result(fields["body"])

    def touch(self) -> None:
        """Note that rows are counted: what waits may be among them."""
        with self._lock:
            self.used = self._now()
            for entry in self._open.values():
                entry.touched = True

    def close(self, idle_since: float | None = None) -> bool:
        """Take no more requests and end in order; with ``idle_since`` only if idle since then."""
        with self._lock:
            asked = any(not entry.forgotten for entry in self._open.values())
            if idle_since is not None and (asked or self.used > idle_since):
                return False
            if self._closing:
                return False
            self._closing = True
        self.seat.send("close")
        return True

    def cancel(self, reason: AtollError | None) -> None:
        """End now; requests that wait fail with the reason."""
        with self._lock:
            self._closing = True
            self.reason = self.reason or reason
        self.seat.worker.cancel()

    def ended(self, event: TaskEvent) -> None:
        """Take the end of its task: whoever waits is notified."""
        with self._lock:
            self.over.set()
            left, self._open = list(self._open.values()), {}
        cause = self._cause(event)
        for entry in left:
            if entry.touched or self.reason is not None:
                entry.answer.set_exception(cause)
            else:
                entry.answer.set_exception(UntouchedError(cause))

    def _cause(self, event: TaskEvent) -> AtollError:
        if self.reason is not None:
            return self.reason
        error = error_of(event.data.get("error"))
        if event.kind == "done" or isinstance(error, CancelledError):
            return lost("the session ended before the answer came")
        if not error.code.startswith(_PEER):
            return error
        return lost(f"the session ended before the answer came ({error.code})", error.party)


def lost(message: str, party: str | None = None) -> NetworkError:
    """Return what a request fails with whose session ended, or whose time is over."""
    return NetworkError(
        "ATL-AGR-009",
        message,
        party=party,
        hint="ask again; what was counted stays counted",
    )

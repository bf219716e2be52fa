"""The requests of a session, at the worker that serves them: what comes by lines, as role code
takes it. The server's thread hands in, the task's threads take.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from atoll.core.errors import AtollError, CancelledError, InternalError, UserError
from atoll.flow.work.task_events import ANSWER_BYTES, compact, error_of
from atoll.jobs.errors import EnvironmentFault

# What the node sends a session: see ``TaskSpec.standing``.
LINES: Final = frozenset({"request", "forget", "granted", "refused", "close"})
_SPEND_SECONDS = 60.0

Emit = Callable[[str, Mapping[str, Any]], None]


@dataclass
class Asked:
    """One request; see ``components.standing.Request``."""

    number: int
    body: Mapping[str, Any]
    _emit: Emit
    _over: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: Mapping[str, Any]) -> None:
        """Answer it, once. Errors: ATL-INT-001 an answer that is too large or no JSON."""
        if len(compact(body)) > ANSWER_BYTES:
            raise InternalError("ATL-INT-001", "an answer is too large to be sent")
        self._end({"body": dict(body)})

    def fail(self, error: AtollError) -> None:
        """Refuse it, once."""
        self._end({"error": error.to_dict()})

    def _end(self, fields: Mapping[str, Any]) -> None:
        if self._over.acquire(blocking=False):
            self._emit("answer", {"id": self.number, **fields})


@dataclass
class _Spending:
    """The node's answer to one count, once it came."""

    answered: bool = False
    error: AtollError | None = None


class Inbox:
    """See ``components.standing.Requests``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._changed = threading.Condition()
        self._waiting: deque[Asked] = deque()
        self._spending: dict[int, _Spending] = {}
        self._number = 0
        self._closing = False
        self._cancelled = False

    @property
    def closing(self) -> bool:
        """Whether the session shall end once what waits is answered."""
        with self._changed:
            return self._closing

    def next(self, wait_seconds: float) -> Asked | None:
        """Return the next request; None after the wait, or when nothing waits and it shall end.

        Errors: ATL-JOB-001 the session was cancelled.
        """
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            while True:
                self._check()
                if self._waiting:
                    return self._waiting.popleft()
                left = deadline - time.monotonic()
                if self._closing or left <= 0:
                    return None
                self._changed.wait(left)

    def spend(self, units: int) -> None:
        """Have the node count units before they are used.

        Errors: the node's refusal, ATL-JOB-001 cancelled, ATL-WRK-012 it does not answer.
        """
        if units < 0:
            raise InternalError("ATL-INT-001", "units that are spent are no less than none")
        with self._changed:
            self._check()
            self._number += 1
            number, entry = self._number, _Spending()
            self._spending[number] = entry
        # Sent outside of the lock: a full pipe must not keep the answer from being taken.
        self._emit("spend", {"id": number, "units": units})
        deadline = time.monotonic() + _SPEND_SECONDS
        with self._changed:
            try:
                while not entry.answered:
                    self._check()
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise EnvironmentFault(
                            "ATL-WRK-012",
                            "the node did not answer in time whether rows may be used",
                            hint="look at the node's log and its database",
                        )
                    self._changed.wait(left)
            finally:
                self._spending.pop(number, None)
        if entry.error is not None:
            raise entry.error

    def take(self, do: str, value: Mapping[str, Any]) -> None:
        """Take one line of the node in; a malformed one is passed over."""
        number, body = value.get("id"), value.get("body")
        forgotten: list[Asked] = []
        with self._changed:
            if do == "close":
                self._closing = True
            elif not isinstance(number, int):
                return
            elif do == "request" and isinstance(body, dict):
                self._waiting.append(Asked(number, body, self._emit))
            elif do == "forget":
                forgotten = [asked for asked in self._waiting if asked.number == number]
                for asked in forgotten:
                    self._waiting.remove(asked)
            elif do in ("granted", "refused") and number in self._spending:
                entry = self._spending[number]
                entry.answered = True
                if do == "refused":
                    entry.error = error_of(value.get("error"))
            self._changed.notify_all()
        for asked in forgotten:
            # Reported outside of the lock, as ``spend`` is.
            asked.fail(CancelledError("ATL-JOB-001", "nobody waits for the answer any more"))

    def cancel(self) -> None:
        """Wake whoever waits: the session was cancelled."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _check(self) -> None:
        if self._cancelled:
            raise CancelledError("ATL-JOB-001", "the session was cancelled")


class NoRequests:
    """The requests of a task that is no session: there are none, and nothing may be spent."""

    closing = True

    def next(self, wait_seconds: float) -> None:
        """Return None."""

    def spend(self, units: int) -> None:
        """Refuse. Errors: ATL-WRK-003."""
        raise UserError("ATL-WRK-003", "a task of a job spends nothing of an agreement")

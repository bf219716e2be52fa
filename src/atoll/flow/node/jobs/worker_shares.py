"""Which tasks may hold the node's workers: a part is kept for own jobs, partners have bounds.

A task holds its worker while it waits for a message of its peers, so whoever lets others wait would
have all workers otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from atoll.core.errors import AtollError
from atoll.flow.node.settings import WorkersSection
from atoll.jobs.errors import EnvironmentFault

Key = tuple[str, str, int]
Begin = Callable[[], None]
Late = Callable[[AtollError], None]

_ALL = "all workers are at work"
_PARTNERS = "the other workers are kept for jobs of this node"
_MADE_UP = "as many workers as may run jobs that need no approval"


@dataclass(frozen=True)
class Holder:
    """For whom a worker works: None is this node; else the partner that initiated the job.

    ``made_up``: its job, over made-up tables, needs no approval; ``session``: it serves a
    standing agreement, whose sessions have bounds of their own.
    """

    partner: str | None
    made_up: bool = False
    session: bool = False


OWN = Holder(None)


@dataclass(frozen=True)
class WorkerLimits:
    """How many workers may be held at once, and how many seconds a task waits for one.

    ``most`` by all; ``own`` are left to jobs of this node; ``partner`` by tasks of the jobs of one
    partner, ``made_up`` by tasks that need no approval, of all partners, half of them by one.
    """

    most: int
    own: int
    partner: int
    made_up: int
    wait_seconds: float

    @classmethod
    def of(cls, chosen: WorkersSection) -> Self:
        """Return what the settings say; one worker at least is left to partners."""
        most = chosen.maximum
        own = min(most * chosen.own_percent // 100, most - 1)
        partner = max(most * chosen.partner_percent // 100, 1)
        made_up = max(most * chosen.synthetic_percent // 100, 1)
        return cls(most, own, partner, made_up, chosen.wait_seconds)


@dataclass(frozen=True)
class _Waiting:
    holder: Holder
    begin: Begin
    late: Late
    until: float


class WorkerShares:
    """Who holds a worker, and the tasks that wait for one, the first come first.

    Any thread may call. ``begin`` and ``late`` are called without the lock, by whichever thread
    frees a worker or by the timer's: they must be quick and must not raise.
    """

    def __init__(self, limits: WorkerLimits, now: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._now = now
        self._lock = threading.Lock()
        self._held: dict[Key, Holder] = {}
        self._waiting: dict[Key, _Waiting] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def ask(self, key: Key, holder: Holder, begin: Begin, late: Late) -> bool:
        """Call ``begin`` once ``key`` holds a worker, which ``release`` ends; True: it does now.

        Where none comes free within ``wait_seconds`` it calls ``late`` with ATL-WRK-002.
        """
        with self._lock:
            # Whatever may begin has begun already, so no one is overtaken.
            room = self._missing(holder) is None
            if room:
                self._held[key] = holder
            else:
                until = self._now() + self.limits.wait_seconds
                self._waiting[key] = _Waiting(holder, begin, late, until)
                self._set_timer()
        if room:
            begin()
        return room

    def take(self, key: Key, holder: Holder) -> None:
        """Hold a worker at once. Errors: ATL-WRK-002 none may be held."""
        with self._lock:
            missing = self._missing(holder)
            if missing is not None:
                raise _no_worker(missing)
            self._held[key] = holder

    def withdraw(self, key: Key) -> bool:
        """Let a task wait no longer; False if it does not wait (any more)."""
        with self._lock:
            return self._waiting.pop(key, None) is not None

    def release(self, key: Key) -> None:
        """Free what ``key`` holds, if anything, and let those begin that now may."""
        with self._lock:
            if self._held.pop(key, None) is None:
                return
            begun = self._admitted()
        for one in begun:
            one.begin()

    def expire(self) -> None:
        """Call ``late`` for those that have waited too long; the timer does this."""
        with self._lock:
            now = self._now()
            late = {key: one for key, one in self._waiting.items() if one.until <= now}
            reasons = [self._missing(one.holder) or _ALL for one in late.values()]
            for key in late:
                del self._waiting[key]
            self._timer = None
            self._set_timer()
        for one, reason in zip(late.values(), reasons, strict=True):
            one.late(_no_worker(f"{reason}; {self.limits.wait_seconds:g} s were waited"))

    def close(self) -> None:
        """Let nothing begin any more."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            if self._timer is not None:
                self._timer.cancel()

    def _admitted(self) -> list[_Waiting]:
        found = []
        for key, one in list(self._waiting.items()):
            if self._missing(one.holder) is None:
                self._held[key] = one.holder
                found.append(self._waiting.pop(key))
        return found

    def _set_timer(self) -> None:
        if self._timer is not None or self._closed or not self._waiting:
            return
        # All wait equally long, so the first is the first to be late.
        first = next(iter(self._waiting.values()))
        self._timer = threading.Timer(max(first.until - self._now(), 0.0), self.expire)
        self._timer.daemon = True
        self._timer.start()

    def _missing(self, holder: Holder) -> str | None:
        """Return why a holder may have no worker now; None: it may."""
        limits, held = self.limits, list(self._held.values())
        if self._closed:
            return "the node is stopping"
        if len(held) >= limits.most:
            return _ALL
        if holder.partner is None:
            return None
        theirs = [one for one in held if one.partner is not None]
        if len(theirs) >= limits.most - limits.own:
            return _PARTNERS
        if holder.session:
            return None
        tasks = [one for one in theirs if not one.session]
        of_one = [one for one in tasks if one.partner == holder.partner]
        if len(of_one) >= limits.partner:
            return f"tasks of {holder.partner} hold as many workers as they may"
        made_up, own_made_up = (sum(one.made_up for one in some) for some in (tasks, of_one))
        most = max(limits.made_up // 2, 1)
        if holder.made_up and (made_up >= limits.made_up or own_made_up >= most):
            return _MADE_UP
        return None


def _no_worker(reason: str) -> AtollError:
    hint = "wait for a task to end, or allow more workers"
    return EnvironmentFault("ATL-WRK-002", f"no worker is free: {reason}", hint=hint)

"""The node's slots: which of its jobs, and of its partners', may run now."""

from __future__ import annotations

import threading
from collections.abc import Callable

from atoll.flow.control import (
    Enqueue,
    Entry,
    JobRecord,
    Queue,
    QueueLimits,
    admit,
    check_open,
    enqueue,
    release,
)
from atoll.flow.control.queue import QueueRule


class Slots:
    """The queue of ``control.queue`` with the answers that its entries wait for."""

    def __init__(
        self, limits: QueueLimits, rule: QueueRule, owner: Callable[[str], str | None]
    ) -> None:
        self._queue = Queue(limits, rule)
        self._owner = owner
        self._grant: dict[str, tuple[int, Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def ask(self, record: JobRecord, command: Enqueue, grant: Callable[[], None]) -> None:
        """Put a job in line; ``grant`` is called (by any thread) once it has its slot."""
        who = record.initiator
        if command.role == "initiator":
            who = self._owner(record.id) or record.party
        entry = Entry(record.id, command.offer, command.role, who, command.priority)
        with self._lock:
            self._queue = enqueue(self._queue, entry, held=command.held)
            if not command.held:
                self._grant[record.id] = (command.offer, grant)
        self._admit()

    def release(self, job: str, offer: int, used: bool | None = None) -> None:
        """Give a slot back (``used``: whether anything began in it), or leave the line."""
        with self._lock:
            self._queue = release(self._queue, job, offer, used)
            if self._grant.get(job, (0,))[0] <= offer:
                self._grant.pop(job, None)
        self._admit()

    def counts(self) -> tuple[int, int]:
        """Return how many jobs wait and how many hold a slot."""
        with self._lock:
            return len(self._queue.waiting), len(self._queue.holding)

    def check_partner(self, partner: str, unfinished: int) -> None:
        """Refuse one proposal too many. Errors: ATL-FLW-016."""
        check_open(self._queue.limits, partner, unfinished)

    def _admit(self) -> None:
        with self._lock:
            self._queue, granted = admit(self._queue)
            answers = [
                found[1]
                for entry in granted
                if (found := self._grant.pop(entry.job, None)) is not None
            ]
        for answer in answers:
            answer()

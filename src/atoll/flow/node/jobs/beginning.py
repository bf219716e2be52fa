"""Own tasks between the command to start them and their worker: they wait for one, then begin."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from atoll.core.errors import AtollError, CancelledError
from atoll.flow.control import JobRecord, StartTask
from atoll.flow.node.jobs.tasks import TaskRunner, failure_of
from atoll.flow.node.jobs.worker_shares import OWN, Holder, Key
from atoll.flow.work.task_events import OnEvent, TaskEvent

WAITING = "waiting: worker"

Start = Callable[[JobRecord, StartTask], AtollError | None]
MadeUp = Callable[[JobRecord], bool]


class Beginning:
    """Tasks that wait for a worker, are being started or run; ``start`` returns why one cannot.

    ``start`` is called on ``pool``; what becomes of a task that does not start is an event.
    ``made_up``: whether a partner's job needs no approval here.
    """

    def __init__(
        self,
        tasks: TaskRunner,
        pool: ThreadPoolExecutor,
        start: Start,
        on_event: OnEvent,
        made_up: MadeUp,
    ) -> None:
        self._tasks = tasks
        self._pool = pool
        self._start = start
        self._on_event = on_event
        self._made_up = made_up
        self._lock = threading.Lock()
        self._starting: set[Key] = set()
        self._unwanted: set[Key] = set()
        self._holding: set[Key] = set()
        self._ended = False

    def begin(self, record: JobRecord, command: StartTask) -> None:
        """Start a task once it may have a worker."""
        if self._ended:
            return
        key = (record.id, command.step, command.attempt)
        with self._lock:
            self._starting.add(key)
            self._holding.add(key)
        enter = partial(self._enter, record, command)
        late = partial(self._not_begun, key)
        holder = OWN if record.drives else Holder(record.initiator, self._made_up(record))
        if not self._tasks.shares.ask(key, holder, enter, late):
            self._on_event(TaskEvent("phase", *key, {"phase": WAITING}))

    def end(self) -> None:
        """Start no more; those that wait count as lost after the next start of the node."""
        self._ended = True

    def kill(self, key: Key) -> bool:
        """End a task that has not begun, now or once it has; False: it is no such task."""
        with self._lock:
            if key not in self._starting:
                return False
            waited = self._tasks.shares.withdraw(key)
            if not waited:
                self._unwanted.add(key)
        if waited:
            self._not_begun(key, CancelledError("ATL-JOB-001", "the job was cancelled"))
        return True

    def over(self, key: Key) -> None:
        """Let others have the worker of a task that has ended."""
        with self._lock:
            held = key in self._holding
            self._holding.discard(key)
        if held:
            self._tasks.shares.release(key)

    def _enter(self, record: JobRecord, command: StartTask) -> None:
        # A node that is stopping starts nothing more.
        with contextlib.suppress(RuntimeError):
            if not self._ended:
                self._pool.submit(self._start_now, record, command)

    def _start_now(self, record: JobRecord, command: StartTask) -> None:
        key = (record.id, command.step, command.attempt)
        failure = self._start(record, command)
        with self._lock:
            self._starting.discard(key)
            unwanted = key in self._unwanted
            self._unwanted.discard(key)
        if failure is not None:
            self._on_event(failure_of(failure, key))
        elif unwanted:
            self._tasks.kill(*key)

    def _not_begun(self, key: Key, error: AtollError) -> None:
        with self._lock:
            self._starting.discard(key)
        self._on_event(failure_of(error, key))

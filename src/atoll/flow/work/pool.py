"""The pool of worker processes: warm ones for the next job, one job a process, no orphans.

One thread starts, reads, feeds and reaps all workers; it sleeps until one of them sends, dies or
has had its time. Everything else may be called from any thread and returns at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from atoll.core.errors import AtollError, CancelledError, InternalError
from atoll.flow.work.handle import Worker, WorkerFacts
from atoll.flow.work.process import Process
from atoll.flow.work.specification import TASK_LINE_BYTES, TaskSpec
from atoll.flow.work.starting import Starter
from atoll.flow.work.task_events import KINDS, OnEvent, TaskEvent
from atoll.jobs.errors import EnvironmentFault

_LOG = logging.getLogger(__name__)
_PRINTED_BYTES = 4096
_RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)


@dataclass(frozen=True)
class PoolSettings:
    """How many workers there are and how they run.

    ``folder`` is where they run; ``warm`` of them wait for a job; at most ``most`` are leased. One
    that is asked to cancel has ``grace_seconds`` before it is killed, one that starts has
    ``start_seconds``. Replacements start ``quiet_seconds`` after a lease and with ``nice``, so that
    a job that begins has the processor for itself. ``environment`` is added to the little that a
    worker gets of this process's own.
    """

    folder: Path
    warm: int = 1
    most: int = 8
    grace_seconds: float = 3.0
    start_seconds: float = 60.0
    nice: int = 10
    quiet_seconds: float = 1.0
    python: str = sys.executable
    arguments: tuple[str, ...] = ("-m", "atoll.flow.work")
    environment: Mapping[str, str] = field(default_factory=dict)
    forks: bool = True


class Pool:
    """See the module. Close it, or use it as a context manager."""

    def __init__(self, settings: PoolSettings, now: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._now = now
        self._lock = threading.RLock()
        self._workers: dict[int, Worker] = {}
        self._number = 0
        self._failures = 0
        self._not_before = 0.0
        self._closing = False
        self._pending: list[tuple[OnEvent, TaskEvent]] = []
        self._selector = selectors.DefaultSelector()
        self._read_end, self._write_end = ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        self._selector.register(self._read_end, selectors.EVENT_READ, None)
        self.starter = Starter(
            [settings.python, *settings.arguments],
            settings.folder,
            settings.environment,
            self._selector,
            now,
            forks=settings.forks,
            start_seconds=settings.start_seconds,
        )
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)
        self._thread.start()

    # -- for any thread -------------------------------------------------------------------------

    def lease(self, job: str) -> Worker:
        """Return a worker for a job: one that it has idle, else a warm one, else a fresh one.

        If all are leased, an idle one of another job ends. Errors: ATL-WRK-002 all are at work.
        """
        with self._lock:
            worker = self._choose(job)
            if worker.job is None and self._not_before <= self._now():
                self._not_before = self._now() + self.settings.quiet_seconds
            worker.job, worker.busy = job, True
            self._wake()
            return worker

    def _choose(self, job: str) -> Worker:
        if self._closing:
            raise EnvironmentFault("ATL-WRK-002", "the pool of workers is closed")
        alive = [w for w in self._workers.values() if not (w.ending or w.gone or w.cancelled)]
        for worker in alive:
            if worker.job == job and not worker.busy:
                return worker
        if self._at_work() >= self.settings.most:
            hint = "wait for a task to end, or allow more workers"
            raise EnvironmentFault("ATL-WRK-002", "all workers are at work", hint=hint)
        idle = [w for w in alive if w.job is not None and not w.busy]
        if self._at_work() + len(idle) >= self.settings.most:
            self.release(idle[0])
        spare = [w for w in alive if w.job is None]
        if ready := next((w for w in spare if w.ready), None):
            return ready
        for worker in spare:
            # One that starts with low priority would make its task wait for others to finish.
            if worker.process is None or worker.nice == 0:
                worker.nice = 0
                return worker
        return self._new(nice=0)

    def free(self) -> int:
        """Return how many more workers may be leased now."""
        with self._lock:
            return max(self.settings.most - self._at_work(), 0)

    def _at_work(self) -> int:
        """Return how many workers have a task, or are about to be given one."""
        return sum(w.busy or w.spec is not None for w in self._workers.values())

    def facts(self) -> list[WorkerFacts]:
        """Return every worker's state and use."""
        with self._lock:
            found = []
            for worker in self._workers.values():
                process = worker.process
                if process is not None and not worker.gone:
                    step = worker.spec.step if worker.spec else None
                    use = process.memory(), process.cpu_seconds()
                    known = worker.number, process.pid, worker.state, worker.job, step
                    found.append(WorkerFacts(*known, *use))
            return found

    def release_job(self, job: str, *, idle: bool = False) -> None:
        """End every worker of a job, or those that are ``idle``."""
        with self._lock:
            for worker in list(self._workers.values()):
                if worker.job == job and not (idle and worker.busy):
                    self.release(worker)

    def submit(self, worker: Worker, spec: TaskSpec, on_event: OnEvent) -> None:
        """See ``Worker.submit``."""
        with self._lock:
            if worker.gone or worker.ending or worker.cancelled:
                self._emit_lost(spec, on_event, "the worker process is gone", cancelled=False)
                self._wake()
                return
            if worker.job != spec.job_id or worker.spec is not None:
                raise InternalError("ATL-WRK-004", "the worker has another job or task")
            line = spec.line()
            if len(line) > TASK_LINE_BYTES:
                raise InternalError("ATL-WRK-003", "the task is too large to be sent to a worker")
            worker.busy, worker.spec, worker.on_event = True, spec, on_event
            self._write(worker, line)

    def send(self, worker: Worker, spec: TaskSpec, line: bytes) -> bool:
        """See ``Worker.send``."""
        with self._lock:
            known = worker.spec is spec and not (worker.gone or worker.ending or worker.cancelled)
            if known:
                self._write(worker, line)
            return known

    def cancel(self, worker: Worker) -> None:
        """See ``Worker.cancel``."""
        with self._lock:
            if worker.spec is None or worker.gone or worker.cancelled:
                return
            worker.cancelled = True
            worker.deadline = self._now() + self.settings.grace_seconds
            self._write(worker, b'{"do":"cancel"}\n')
            self._wake()

    def kill(self, worker: Worker) -> None:
        """See ``Worker.kill``."""
        with self._lock:
            worker.deadline = self._now()
            if worker.process is not None and not worker.gone:
                # At once: a task that is sent next must not be done before the pool's thread is.
                worker.process.kill()
            self._wake()

    def release(self, worker: Worker) -> None:
        """See ``Worker.release``."""
        with self._lock:
            if not worker.gone and not worker.ending:
                worker.ending = True
                worker.deadline = self._now() + self.settings.grace_seconds
                self._wake()

    def close(self) -> None:
        """End every worker and wait until none is left; may be called again."""
        with self._lock:
            self._closing = True
            for worker in self._workers.values():
                self.release(worker)
            self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- the pool's thread ----------------------------------------------------------------------

    def _new(self, *, nice: int) -> Worker:
        self._number += 1
        worker = Worker(self, self._number, nice=nice)
        self._workers[worker.number] = worker
        return worker

    def _write(self, worker: Worker, line: bytes) -> None:
        if worker.process is None or worker.outgoing:
            worker.outgoing.append(line)
        else:
            # At once, for the pool's thread may be busy with the start of another.
            worker.process.write(line)
            if worker.process.stdin is None:
                return
        self._wake()

    def _wake(self) -> None:
        # A full pipe wakes the thread just as well; a closed one needs no waking.
        with contextlib.suppress(OSError):
            os.write(self._write_end, b".")

    def _run(self) -> None:
        while True:
            self._maintain()
            with self._lock:
                if self._closing and not self._workers:
                    break
                wait = 0.0 if self._pending else self._next_moment()
            for key, _ in self._selector.select(wait):
                if key.data is self.starter:
                    self.starter.on_message()
                elif key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._read_end, 1 << 12)
                else:
                    self._on_readable(key.data, key.fd)
            self._deliver()
        self._deliver()
        self.starter.close()
        self._selector.close()
        os.close(self._read_end)
        os.close(self._write_end)

    def _maintain(self) -> None:
        """Hand over what is to be sent, kill what had its time, then start what is to start."""
        with self._lock:
            for worker in list(self._workers.values()):
                self._feed(worker)
            self._refill()
            fresh = [w for w in self._workers.values() if w.process is None and not w.gone]
            for worker in fresh:
                if worker.ending:
                    self._lose(worker, "the worker was not needed any more")
            fresh = [w for w in fresh if not w.gone]
            closing = self._closing
        if not closing:
            nice = min((w.nice for w in fresh), default=self.settings.nice)
            self.starter.maintain(nice=nice, wanted=bool(fresh))
        for worker in fresh:
            if self.starter.getting_ready:
                break
            # No one waits for the lock while the system makes a process.
            made = self._spawn(worker)
            with self._lock:
                self._adopt(worker, made)

    def _feed(self, worker: Worker) -> None:
        process = worker.process
        if process is None or worker.gone:
            return
        if worker.ending:
            self._close_input(worker, process)
        else:
            for line in worker.outgoing:
                process.write(line)
            self._watch_input(worker, process)
        worker.outgoing.clear()
        if worker.deadline is not None and worker.deadline <= self._now():
            worker.deadline = None
            process.kill()

    def _refill(self) -> None:
        spare = sum(w.job is None and not (w.ending or w.gone) for w in self._workers.values())
        if self._closing or self._not_before > self._now():
            return
        for _ in range(self.settings.warm - spare):
            self._new(nice=self.settings.nice)

    def _next_moment(self) -> float | None:
        moments = [w.deadline for w in self._workers.values() if w.deadline is not None]
        if self._not_before > self._now():
            moments.append(self._not_before)
        if self.starter.moment is not None:
            moments.append(self.starter.moment)
        return max(min(moments) - self._now(), 0.0) if moments else None

    def _spawn(self, worker: Worker) -> Process | OSError:
        try:
            return self.starter.start(nice=worker.nice)
        except OSError as error:
            return error

    def _adopt(self, worker: Worker, made: Process | OSError) -> None:
        if isinstance(made, OSError):
            self._failed_start()
            self._lose(worker, f"a worker could not be started: {made.strerror}")
            return
        worker.process = made
        if worker.deadline is None:
            worker.deadline = self._now() + self.settings.start_seconds
        for descriptor in (made.stdout, made.stderr, made.death):
            if descriptor is not None:
                self._selector.register(descriptor, selectors.EVENT_READ, worker)
        self._feed(worker)

    def _close_input(self, worker: Worker, process: Process) -> None:
        if worker.watched is not None:
            self._selector.unregister(worker.watched)
            worker.watched = None
        process.end()

    def _watch_input(self, worker: Worker, process: Process) -> None:
        """Watch for room in the pipe to its input exactly while something waits for that."""
        wanted = process.stdin
        if wanted == worker.watched:
            return
        if worker.watched is not None:
            self._selector.unregister(worker.watched)
        if wanted is not None:
            self._selector.register(wanted, selectors.EVENT_WRITE, worker)
        worker.watched = wanted

    def _on_readable(self, worker: Worker, descriptor: int) -> None:
        """Attend to one pipe of a worker, or to its death."""
        process = worker.process
        if process is None or worker.gone:
            return
        if descriptor == worker.watched:
            with self._lock:
                process.flush()
                self._watch_input(worker, process)
            return
        if descriptor == process.death:
            self._died(worker, process)
            return
        try:
            lines, ended = process.read(descriptor)
        except OverflowError:
            process.kill()
            lines, ended = [], True
        if descriptor == process.stdout:
            # What was printed before an event is reported before it.
            with contextlib.suppress(OverflowError):
                self._take(worker, process, process.stderr, process.drain(process.stderr))
        self._take(worker, process, descriptor, lines)
        if ended:
            self._selector.unregister(descriptor)
            worker.ended.add(descriptor)
            if process.death is None and len(worker.ended) == 2:
                self._died(worker, process)

    def _take(self, worker: Worker, process: Process, descriptor: int, lines: list[bytes]) -> None:
        for line in lines:
            value = _printed(line) if descriptor == process.stderr else _value(line)
            with self._lock:
                received = self._understood(worker, value)
            if received is not None:
                _notify(*received)

    def _understood(
        self, worker: Worker, value: dict[str, Any]
    ) -> tuple[OnEvent, TaskEvent] | None:
        """Take in what a worker sent; return listener and event, if it is of its present task."""
        kind, spec, listener = value.pop("event", None), worker.spec, worker.on_event
        if kind == "ready":
            worker.ready, self._failures = True, 0
            if not worker.ending and not worker.cancelled:
                worker.deadline = None
            return None
        task = value.pop("task", None)
        if spec is None or listener is None or kind not in KINDS:
            if kind == "log":
                _LOG.warning("worker %d: %s", worker.number, value.get("message"))
            return None
        if task is not None and task != [spec.job_id, spec.step, spec.attempt]:
            return None
        event = TaskEvent(kind, spec.job_id, spec.step, spec.attempt, value)
        if event.terminal:
            worker.spec, worker.on_event, worker.busy = None, None, False
            # What failed may have left threads at work; the next attempt gets a fresh process. Who
            # held a session releases its worker later, when another might have it.
            if kind != "done" or worker.cancelled or spec.standing:
                self.release(worker)
        return listener, event

    def _died(self, worker: Worker, process: Process) -> None:
        for descriptor in (process.stdout, process.stderr):
            if descriptor not in worker.ended:
                with contextlib.suppress(OverflowError):
                    self._take(worker, process, descriptor, process.drain(descriptor))
        with self._lock:
            watched = {process.stdout, process.stderr, process.death, worker.watched}
            for at in watched - worker.ended:
                if at is not None:
                    self._selector.unregister(at)
            worker.watched = None
            status = process.reap()
            if not worker.ready and not worker.ending:
                self._failed_start()
            self._lose(worker, f"the worker process ended by itself ({_manner(status)})")

    def _failed_start(self) -> None:
        """Wait longer and longer before another one is started to no use."""
        wait = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
        self._failures += 1
        self._not_before = self._now() + wait

    def _lose(self, worker: Worker, message: str) -> None:
        """Forget a worker that is gone, and report its task as lost soon."""
        worker.gone = True
        self._workers.pop(worker.number, None)
        spec, listener = worker.spec, worker.on_event
        worker.spec, worker.on_event, worker.busy = None, None, False
        if spec is not None and listener is not None:
            self._emit_lost(spec, listener, message, cancelled=worker.cancelled)

    def _emit_lost(
        self, spec: TaskSpec, listener: OnEvent, message: str, *, cancelled: bool
    ) -> None:
        error: AtollError = EnvironmentFault(
            "ATL-WRK-001", message, party=spec.party, phase=spec.step
        )
        kind = "lost"
        if cancelled:
            kind = "failed"
            error = CancelledError(
                "ATL-JOB-001", "the job was cancelled", party=spec.party, phase=spec.step
            )
        event = TaskEvent(kind, spec.job_id, spec.step, spec.attempt, {"error": error.to_dict()})
        self._pending.append((listener, event))

    def _deliver(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, []
        for listener, event in pending:
            _notify(listener, event)


def _notify(listener: OnEvent, event: TaskEvent) -> None:
    try:
        listener(event)
    except Exception:
        # A listener's fault may not end the thread that all workers depend on.
        _LOG.exception("an event of a worker could not be taken")


def _value(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _printed(line: bytes) -> dict[str, Any]:
    text = line[:_PRINTED_BYTES].decode("utf-8", "replace")
    return {"event": "log", "level": "warning", "logger": "output", "message": text}


def _manner(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit code {status}"

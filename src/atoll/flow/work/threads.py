"""Workers that are threads of this process: for components that exist in this process alone.

What a task does is the same as in a worker process; only nothing keeps it from the node, and one
that hangs cannot be killed. For notebooks and simulation (``atoll.sim.nodes``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from atoll.components.api import Catalogue
from atoll.core.errors import CancelledError, InternalError
from atoll.flow.work.handle import Worker, WorkerFacts
from atoll.flow.work.inputs import Memory
from atoll.flow.work.serve import EventWriter, Running, Server
from atoll.flow.work.specification import TaskSpec
from atoll.flow.work.task_events import OnEvent, TaskEvent
from atoll.jobs.errors import EnvironmentFault

_GRACE_SECONDS = 1.5
_CLOSE_SECONDS = 3.0
Sink = Callable[[str, Mapping[str, Any]], None]


class _Direct(EventWriter):
    """Hands events over instead of writing them."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(-1)
        self._sink = sink

    def emit(self, event: str, task: list[Any] | None, fields: Mapping[str, Any]) -> None:
        """Hand over one event."""
        with self._lock:
            if event == "progress" and self._too_soon(fields):
                return
        self._sink(event, fields)


class _Seat(Server):
    """The inside of one worker: runs one task at a time, on a thread."""

    def __init__(self, catalogue: Callable[[], Catalogue], sink: Sink) -> None:
        self._writer = _Direct(sink)
        self._known_here = catalogue
        self._memory = Memory()
        self._running: Running | None = None

    def begin(self, spec: TaskSpec) -> None:
        """Run a task on a thread of its own."""
        self._running = running = Running(spec, self._writer)
        name = f"task {spec.party}"
        threading.Thread(target=self._run, args=(running,), name=name, daemon=True).start()

    def pass_on(self, line: bytes) -> None:
        """Hand a line to the running task, as a worker's process reads it."""
        self._take(line)

    def stop(self) -> None:
        """Ask the task to end; where it does not notice, its peers are notified in its place."""
        running = self._running
        if running is not None and not running.over.is_set():
            running.stop()
            late = threading.Timer(_GRACE_SECONDS, running.give_up)
            late.daemon = True
            late.start()

    def over(self, seconds: float) -> bool:
        """Wait for the end of the task, if one runs."""
        return self._running is None or self._running.reported.wait(seconds)

    def _known(self, spec: TaskSpec) -> Catalogue:
        return self._known_here()

    def _runs_ours_alone(self, spec: TaskSpec) -> bool:
        # What keeps pandas out of a worker would keep it out of this whole process.
        return False


class Threads:
    """A pool (see ``pool.Pool``) of at most ``most`` threads; ``catalogue`` is asked at each task.

    Errors: ATL-WRK-002 so many are leased that no more may be, or it is closed.
    """

    def __init__(self, catalogue: Callable[[], Catalogue], most: int = 64) -> None:
        self._catalogue = catalogue
        self._most = most
        self._lock = threading.RLock()
        self._workers: dict[Worker, _Seat] = {}
        self._number = 0
        self._closed = False

    def lease(self, job: str) -> Worker:
        """Return a worker for a job: one that it has idle, or a new one."""
        with self._lock:
            for worker in self._workers:
                if worker.job == job and not worker.busy:
                    worker.busy = True
                    return worker
            if self._closed or self.free() == 0:
                raise EnvironmentFault("ATL-WRK-002", "all workers are at work")
            self._number += 1
            worker = Worker(self, self._number, nice=0)
            worker.job, worker.busy, worker.ready = job, True, True
            self._workers[worker] = _Seat(
                self._catalogue, lambda event, fields: self._on_event(worker, event, fields)
            )
            return worker

    def free(self) -> int:
        """Return how many more workers may be leased now."""
        with self._lock:
            return self._most - len(self._workers)

    def facts(self) -> list[WorkerFacts]:
        """Return every worker's state; memory and processor time are this process's alone."""
        with self._lock:
            return [
                WorkerFacts(
                    w.number, os.getpid(), w.state, w.job, w.spec.step if w.spec else None, 0, 0.0
                )
                for w in self._workers
            ]

    def submit(self, worker: Worker, spec: TaskSpec, on_event: OnEvent) -> None:
        """See ``Worker.submit``."""
        with self._lock:
            seat = self._workers.get(worker)
            if seat is None or worker.job != spec.job_id or worker.spec is not None:
                raise InternalError("ATL-WRK-004", "the worker has another job or task")
            worker.busy, worker.spec, worker.on_event = True, spec, on_event
        seat.begin(spec)

    def send(self, worker: Worker, spec: TaskSpec, line: bytes) -> bool:
        """See ``Worker.send``."""
        with self._lock:
            seat = self._workers.get(worker)
            if seat is None or worker.spec is not spec or worker.cancelled:
                return False
        seat.pass_on(line)
        return True

    def _on_event(self, worker: Worker, kind: str, fields: Mapping[str, Any]) -> None:
        with self._lock:
            spec, listener = worker.spec, worker.on_event
            if spec is None or listener is None:
                return
            event = TaskEvent(kind, spec.job_id, spec.step, spec.attempt, fields)
            if event.terminal:
                worker.spec, worker.on_event, worker.busy = None, None, False
                if kind != "done" or worker.cancelled or spec.standing:
                    self._workers.pop(worker, None)
        listener(event)

    def cancel(self, worker: Worker) -> None:
        """See ``Worker.cancel``."""
        with self._lock:
            worker.cancelled, seat = True, self._workers.get(worker)
        if seat is not None:
            seat.stop()

    def kill(self, worker: Worker) -> None:
        """Report the task as ended and let its thread end when it learns of it."""
        self.cancel(worker)
        error = CancelledError("ATL-JOB-001", "the job was cancelled")
        self._on_event(worker, "failed", {"error": error.to_dict()})

    def release(self, worker: Worker) -> None:
        """See ``Worker.release``."""
        if worker.spec is not None:
            self.kill(worker)
        with self._lock:
            worker.gone = True
            self._workers.pop(worker, None)

    def release_job(self, job: str, *, idle: bool = False) -> None:
        """End every worker of a job, or those that are ``idle``."""
        with self._lock:
            found = [w for w in self._workers if w.job == job and not (idle and w.busy)]
        for worker in found:
            self.release(worker)

    def close(self) -> None:
        """Ask every task to end, and wait for that a moment; may be called again."""
        with self._lock:
            self._closed = True
            seats = list(self._workers.values())
        for seat in seats:
            seat.stop()
        for seat in seats:
            seat.over(_CLOSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

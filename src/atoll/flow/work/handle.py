"""A leased worker as the node's threads hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from atoll.flow.work.process import Process
from atoll.flow.work.specification import TaskSpec
from atoll.flow.work.task_events import OnEvent, compact


class Owner(Protocol):
    """The pool that a worker belongs to."""

    def submit(self, worker: Worker, spec: TaskSpec, on_event: OnEvent) -> None:
        """Start a task."""
        ...

    def send(self, worker: Worker, spec: TaskSpec, line: bytes) -> bool:
        """Send its task a line."""
        ...

    def cancel(self, worker: Worker) -> None:
        """Ask its task to stop."""
        ...

    def kill(self, worker: Worker) -> None:
        """Kill its process."""
        ...

    def release(self, worker: Worker) -> None:
        """End its process."""
        ...


@dataclass(frozen=True)
class WorkerFacts:
    """A worker for status pages: its process, what it does, bytes and processor seconds."""

    number: int
    pid: int
    state: str
    job: str | None
    step: str | None
    memory: int
    cpu_seconds: float


class Worker:
    """A leased worker: a handle that any thread may use. Its process may still be starting."""

    def __init__(self, pool: Owner, number: int, *, nice: int) -> None:
        self.number = number
        self.job: str | None = None
        self.nice = nice
        self._pool = pool
        self.process: Process | None = None
        self.ready = False
        self.busy = False
        self.ending = False
        self.gone = False
        self.spec: TaskSpec | None = None
        self.on_event: OnEvent | None = None
        self.cancelled = False
        self.deadline: float | None = None
        self.outgoing: list[bytes] = []
        self.watched: int | None = None
        self.ended: set[int] = set()

    @property
    def pid(self) -> int | None:
        """The process, once it was started."""
        return self.process.pid if self.process else None

    @property
    def state(self) -> str:
        """One of starting, warm, leased, busy, ending, gone."""
        if self.gone:
            return "gone"
        if self.ending:
            return "ending"
        if self.spec is not None:
            return "busy"
        if self.job is not None:
            return "leased"
        return "warm" if self.ready else "starting"

    def submit(self, spec: TaskSpec, on_event: OnEvent) -> None:
        """Start a task; its events go to ``on_event``, the last one is terminal.

        A worker that is gone by now reports the task lost. Errors: ATL-WRK-004 another job's
        worker, or one that is busy; ATL-WRK-003 too large a specification.
        """
        self._pool.submit(self, spec, on_event)

    def send(self, spec: TaskSpec, do: str, **fields: Any) -> bool:
        """Send a session something: a request, what became of a count, that it shall close.

        False if that task does not run here any more: its end was sent, or is about to be.
        """
        return self._pool.send(self, spec, compact({"do": do, **fields}) + b"\n")

    def cancel(self) -> None:
        """Ask the task to stop; kill the process if it has not within the grace."""
        self._pool.cancel(self)

    def kill(self) -> None:
        """Kill the process now; its task is reported lost (or cancelled, if that was asked)."""
        self._pool.kill(self)

    def release(self) -> None:
        """End the process; a task that still runs is reported lost."""
        self._pool.release(self)

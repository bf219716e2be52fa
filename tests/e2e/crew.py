"""Worker processes without nodes: started, listened to, and always ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atoll.core.errors import AtollError, InternalError

_END_SECONDS = 8.0
_SHARED = ("ATL-NET-003", "ATL-NET-004")

Event = dict[str, Any]


@dataclass
class Worker:
    """A worker process and what it said."""

    party: str
    process: subprocess.Popen[str]
    events: queue.SimpleQueue[tuple[str, Event | None]]
    failure: Event | None = None
    stderr: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def listen(self) -> None:
        """Read its output on threads of their own."""
        for work in (self._read_events, self._read_errors):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self.threads.append(thread)

    def _read_events(self) -> None:
        stream = self.process.stdout
        for line in stream or ():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                self.events.put((self.party, event))
        self.events.put((self.party, None))

    def _read_errors(self) -> None:
        for line in self.process.stderr or ():
            self.stderr.append(line.rstrip("\n"))
            if os.environ.get("ATOLL_TRACEBACK") == "1":
                sys.stderr.write(f"{self.party}: {line}")

    def finish(self) -> None:
        """Wait for the end of the process and of what reads it, and close its pipes."""
        self.process.wait()
        for thread in self.threads:
            thread.join(_END_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Crew:
    """All workers of one run. Use ``crew``."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self._events: queue.SimpleQueue[tuple[str, Event | None]] = queue.SimpleQueue()
        self._ended: set[str] = set()

    def start(
        self, party: str, specification: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        """Start a worker in a session of its own, so that Ctrl-C reaches only us.

        ``settings`` are more environment variables for this worker.
        """
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(settings or {})}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "atoll.flow.worker", str(specification)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
        worker = Worker(party, process, self._events)
        self.workers[party] = worker
        worker.listen()

    def address(self, party: str, heard: Callable[[str, Event], None]) -> str:
        """Wait until a worker listens and return where. Errors: what ended it."""
        while party not in self._ended:
            found = self._next()
            if found is not None:
                heard(*found)
                if found[0] == party and found[1]["event"] == "listening":
                    return str(found[1]["address"])
        self.end()
        raise self._cause()

    def tell(self, party: str, value: Any) -> None:
        """Write one line of JSON to a worker, if it still hears us."""
        stream = self.workers[party].process.stdin
        with suppress(BrokenPipeError):
            if stream is not None:
                stream.write(json.dumps(value) + "\n")
                stream.flush()

    def follow(self, heard: Callable[[str, Event], None]) -> None:
        """Hand on events until all workers have ended. Errors: the cause, if one failed."""
        while self.workers.keys() - self._ended:
            found = self._next()
            if found is not None:
                heard(*found)
        for worker in self.workers.values():
            worker.finish()
        if any(worker.process.returncode for worker in self.workers.values()):
            raise self._cause()

    def _next(self) -> tuple[str, Event] | None:
        """Take the next event; None for the end of a worker."""
        name, event = self._events.get()
        if event is None:
            self._ended.add(name)
            return None
        if event.get("event") == "failed":
            self.workers[name].failure = event.get("error")
        return name, event

    def _cause(self) -> AtollError:
        """Return the error that came first: one that is not just the echo of the other's."""
        for worker in self.workers.values():
            worker.process.wait()
        failures = [w.failure for w in self.workers.values() if w.failure]
        failures.sort(key=lambda failure: failure.get("code") in _SHARED)
        if failures:
            return _Told(failures[0], max(w.process.returncode for w in self.workers.values()))
        first = next(w for w in self.workers.values() if w.process.returncode)
        last = first.stderr[-1] if first.stderr else "it said nothing"
        return InternalError(
            "ATL-CLI-003",
            f"the worker ended with {first.process.returncode}: {last}",
            party=first.party,
        )

    def end(self) -> None:
        """End what still runs: ask, then insist."""
        for worker in self.workers.values():
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        for worker in self.workers.values():
            try:
                worker.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                worker.process.kill()
            worker.finish()


class _Told(AtollError):
    """An error that a worker told of."""

    def __init__(self, failure: Event, exit_code: int) -> None:
        parts = {
            name: str(failure[name])
            for name in ("party", "phase", "place", "hint")
            if failure.get(name)
        }
        super().__init__(str(failure.get("code")), str(failure.get("message")), **parts)
        self.exit_code = exit_code if exit_code > 0 else 1


@contextmanager
def crew() -> Iterator[Crew]:
    """Give a crew whose workers are all gone at the end, however that comes."""
    made = Crew()
    try:
        yield made
    finally:
        made.end()

"""The inside of a worker process: reads what it is sent, runs one task at a time, reports on it."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from atoll.channel.api import Transport
from atoll.channel.grpc import GatewayTransport, WireSettings
from atoll.channel.party import Cancel
from atoll.components.api import Component
from atoll.components.catalogue import CATALOGUE
from atoll.components.code import component_code, platform_digest
from atoll.core.errors import AtollError, CancelledError, InternalError, UserError
from atoll.core.settings import require_insecure
from atoll.flow.work.execute import Execution, TaskContext
from atoll.flow.work.hide_pandas import hide_pandas
from atoll.flow.work.inputs import Memory
from atoll.flow.work.null_transport import NullTransport
from atoll.flow.work.own_process import no_core_dumps, perhaps_faulty
from atoll.flow.work.requests import LINES, Inbox
from atoll.flow.work.specification import TASK_LINE_BYTES, TaskSpec, read_task
from atoll.models.catalogue import KINDS, UNSTATED

_READ_BYTES = 1 << 16
_MESSAGE = 4096
_PROGRESS_SECONDS = 0.1
_REPORT_SECONDS = 1.5
# What components load where they use it, so that nodes do without; tasks must not wait for it.
_USED = ("pyarrow.csv", "pyarrow.parquet", "atoll.table.table", "atoll.table.sources", "numpy.ma")


def prepare() -> None:
    """Do once what every task needs: no core files, private outputs, imports, digests of code."""
    no_core_dumps()
    os.umask(0o077)
    for module in _USED:
        import_module(module)
    for component in CATALOGUE.values():
        component_code(component)
    platform_digest()


class EventWriter:
    """Writes events as JSON lines; any thread may call. Progress is thinned to ten a second."""

    def __init__(self, descriptor: int, now: Callable[[], float] = time.monotonic) -> None:
        self._descriptor = descriptor
        self._now = now
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def emit(self, event: str, task: list[Any] | None, fields: Mapping[str, Any]) -> None:
        """Write one event; the process ends if no reader is left."""
        with self._lock:
            if event == "progress" and self._too_soon(fields):
                return
            about = {} if task is None else {"task": task}
            line = json.dumps({**fields, "event": event, **about}) + "\n"
            data = memoryview(line.encode())
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                os._exit(1)

    def _too_soon(self, fields: Mapping[str, Any]) -> bool:
        phase, moment = str(fields.get("phase")), self._now()
        last = fields.get("done") == fields.get("total")
        if not last and moment - self._last.get(phase, -1.0) < _PROGRESS_SECONDS:
            return True
        self._last[phase] = moment
        return False


class _Logs(logging.Handler):
    """Turns log records into events of the present task."""

    def __init__(self, server: Server) -> None:
        super().__init__(logging.INFO)
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # The text of an exception may hold data, so only the message is sent.
            message = record.getMessage()[:_MESSAGE]
            level = record.levelname.lower()
            self._server.emit("log", level=level, logger=record.name, message=message)
        except Exception:
            self.handleError(record)


class Running:
    """A task on its thread."""

    def __init__(self, spec: TaskSpec, writer: EventWriter) -> None:
        self.spec = spec
        self.cancel = Cancel()
        self.inbox = Inbox(lambda event, fields: writer.emit(event, self.name, fields))
        self.transport: Transport | None = None
        self.execution: Execution | None = None
        self.asked = False
        self.over = threading.Event()
        self.reported = threading.Event()
        self._end = threading.Lock()

    @property
    def name(self) -> list[Any]:
        """What fences its events."""
        return [self.spec.job_id, self.spec.step, self.spec.attempt]

    def stop(self) -> None:
        """Ask it to stop and wake it from waiting for a peer."""
        self.asked = True
        self.cancel.request()
        self.inbox.cancel()
        wake = getattr(self.transport, "cancel", None)
        if wake is not None:
            wake()

    def may_report_end(self) -> bool:
        """Return whether its end is still to be reported; whoever asks first reports it."""
        return self._end.acquire(blocking=False)

    def give_up(self) -> None:
        """Notify the peers in its place, if it is too busy to notice."""
        if self.transport is not None and not self.over.is_set():
            phase = self.execution.phase if self.execution else "start"
            self.transport.abort("ATL-JOB-001", phase)


def _cancelled() -> CancelledError:
    return CancelledError("ATL-JOB-001", "the job was cancelled")


class Server:
    """Reads lines from ``source`` and reports events to ``sink``; one task at a time."""

    def __init__(
        self, source: int, sink: int, catalogue: Mapping[str, Component] | None = None
    ) -> None:
        self._source = source
        self._writer = EventWriter(sink)
        self._catalogue = CATALOGUE if catalogue is None else catalogue
        self._memory = Memory()
        self._running: Running | None = None
        self._rest = bytearray()
        self._wake_read, self._wake_write = os.pipe()
        self._give_up_at: float | None = None

    def emit(self, event: str, **fields: Any) -> None:
        """Report an event of the present task."""
        running = self._running
        self._writer.emit(event, running.name if running else None, fields)

    def serve(self) -> int:
        """Serve until the input ends or a signal asks for the end; return the exit code."""
        logging.getLogger().addHandler(_Logs(self))
        logging.getLogger().setLevel(logging.INFO)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self.emit("ready", pid=os.getpid())
        while True:
            wait = None
            if self._give_up_at is not None:
                wait = max(self._give_up_at - time.monotonic(), 0.0)
            readable, _, _ = select.select([self._source, self._wake_read], [], [], wait)
            if self._wake_read in readable:
                return self._ended_by(os.read(self._wake_read, 1)[0])
            if self._source in readable and not self._read():
                return 0
            if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                self._give_up_at = None
                if self._running is not None:
                    self._running.give_up()

    def _ended_by(self, number: int) -> int:
        running = self._running
        if running is not None:
            running.stop()
            if not running.reported.wait(_REPORT_SECONDS):
                running.give_up()
                self._report_end(running, "failed", self._failure(running, _cancelled()))
        return 128 + number

    def _read(self) -> bool:
        data = os.read(self._source, _READ_BYTES)
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        if len(rest) > TASK_LINE_BYTES:
            return False
        for line in lines:
            self._take(bytes(line))
        return bool(data)

    def _take(self, line: bytes) -> None:
        try:
            value = json.loads(line)
            do = value.get("do")
        except (ValueError, AttributeError, RecursionError):
            value, do = {}, None
        if do == "cancel":
            if self._running is not None and not self._running.over.is_set():
                self._running.stop()
                self._give_up_at = time.monotonic() + _REPORT_SECONDS
        elif do == "task":
            self._start(value)
        elif do in LINES and self._running is not None and not self._running.over.is_set():
            self._running.inbox.take(do, value)

    def _start(self, value: Any) -> None:
        if self._running is not None and not self._running.over.is_set():
            # A pool never does so; what runs goes on undisturbed.
            return
        try:
            spec = read_task(value)
        except UserError as error:
            self._running = None
            self._writer.emit("failed", None, {"error": error.to_dict()})
            return
        self._give_up_at = None
        self._running = running = Running(spec, self._writer)
        threading.Thread(target=self._run, args=(running,), name="task", daemon=True).start()

    def _run(self, running: Running) -> None:
        event, fields = "failed", dict[str, Any]()
        try:
            fields = self._execute(running)
            event = "done"
        except AtollError as error:
            fields = self._failure(running, error)
        except BaseException as error:
            fields = self._failure(
                running, InternalError("ATL-INT-001", f"an unexpected {type(error).__name__}")
            )
        finally:
            # Whoever gets the end may send the next task at once.
            running.over.set()
        self._report_end(running, event, fields)

    def _report_end(self, running: Running, event: str, fields: Mapping[str, Any]) -> None:
        if running.may_report_end():
            self._writer.emit(event, running.name, fields)
            running.reported.set()
        else:
            running.reported.wait(_REPORT_SECONDS)

    def _failure(self, running: Running, error: AtollError) -> dict[str, Any]:
        if os.environ.get("ATOLL_TRACEBACK") == "1":
            traceback.print_exc(file=sys.stderr)
        used = running.execution.used() if running.execution else {}
        if running.execution is None and running.transport is not None:
            running.transport.abort(error.code, "start")
        if running.asked and not isinstance(error, CancelledError):
            error = _cancelled()
        located = error.located(party=running.spec.party, phase="start")
        return {"error": located.to_dict(), **used}

    def _execute(self, running: Running) -> dict[str, Any]:
        spec = running.spec
        if self._runs_ours_alone(spec):
            hide_pandas()
        transport = running.transport = self._transport(spec)
        if running.asked:
            running.stop()
        running.execution = Execution(
            spec,
            TaskContext(
                transport=perhaps_faulty(transport, spec.attempt),
                catalogue=self._known(spec),
                events=lambda event, **fields: self._writer.emit(event, running.name, fields),
                limits=spec.limits.limits(),
                cancel=running.cancel,
                memory=self._memory,
                requests=running.inbox,
            ),
        )
        return running.execution.run()

    def _known(self, spec: TaskSpec) -> Mapping[str, Component]:
        """Return the catalogue that has the task's component, and the kinds of its inputs.

        Errors: ATL-CMP-010 to 014 one of others that is not what this node approved.
        """
        ours = not spec.component or spec.component in self._catalogue
        if ours and not (spec.approved and self._foreign(spec)):
            return self._catalogue
        # Few jobs need components of others; the rest do not pay for the search.
        from atoll.components.plugins import catalogue

        found = catalogue(spec.approved, ours=self._catalogue)
        refusal = found.refused.get(spec.component)
        if refusal is not None:
            raise UserError(refusal.code, refusal.message, hint=refusal.hint)
        return found

    def _runs_ours_alone(self, spec: TaskSpec) -> bool:
        """Return whether no step of the job runs code of others: component or scorer."""
        return all(
            step.component in self._catalogue and step.parameters.get("kind", UNSTATED) in KINDS
            for step in spec.job.steps.values()
        )

    def _foreign(self, spec: TaskSpec) -> bool:
        """Return whether an input may be of a kind that comes with a component of others."""
        return any("." in i.kind and i.kind not in KINDS for i in spec.inputs.values())

    def _transport(self, spec: TaskSpec) -> Transport:
        gateway, limits = spec.gateway, spec.limits
        peers = spec.peers
        if gateway is None and peers:
            require_insecure("a task without its peers")
        if gateway is None:
            return NullTransport(spec.party)
        if gateway.dialable.keys() != peers:
            raise InternalError("ATL-WRK-003", "this is no task for a worker", place="gateway")
        return GatewayTransport(
            spec.party,
            gateway.dialable,
            gateway=gateway.socket,
            socket=gateway.own_socket,
            token=bytes.fromhex(gateway.token),
            label=gateway.label,
            settings=WireSettings(
                silence_seconds=limits.silence_seconds,
                heartbeat_seconds=limits.heartbeat_seconds,
                connect_seconds=limits.connect_seconds,
            ),
        )

"""Carries out what the machines want, and answers them with events."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from atoll.core.errors import AtollError
from atoll.flow.control import (
    Admitted,
    Command,
    Complain,
    Decide,
    Declare,
    Declared,
    DeclareFailed,
    Ended,
    Enqueue,
    Explain,
    FindReusable,
    JobRecord,
    KillTask,
    Progressed,
    Publish,
    Release,
    ReusableFound,
    ReuseTask,
    StartTask,
    TaskReported,
)
from atoll.flow.node.jobs.admission import Slots
from atoll.flow.node.jobs.answers import unexpected
from atoll.flow.node.jobs.beginning import Beginning
from atoll.flow.node.jobs.control import Control
from atoll.flow.node.jobs.deciding import Decider
from atoll.flow.node.jobs.declaring import Declarer
from atoll.flow.node.jobs.endings import Endings
from atoll.flow.node.jobs.partner_lines import PartnerLines
from atoll.flow.node.jobs.partner_load import full
from atoll.flow.node.jobs.rows import JobRows
from atoll.flow.node.jobs.tasks import Recorder, TaskRunner, failure_of
from atoll.flow.store import Artifacts, Database, Events, Reuse, TrafficRow
from atoll.flow.store.writer import after_commit
from atoll.flow.work.task_events import TaskEvent
from atoll.jobs.errors import EnvironmentFault, NotFoundError

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_PROGRESS_SECONDS = 0.25
_PAUSE_SECONDS = 0.2
_POLL_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
_THREADS = 8
_CANCELLED = "ATL-JOB-001"

Hook = Callable[[JobRecord, Ended], None]


class NodeEffects:
    """See ``control.Effects``. ``attach`` it before anything moves."""

    def __init__(
        self,
        database: Database,
        rows: JobRows,
        recorder: Recorder,
        declarer: Declarer,
        decider: Decider,
        slots: Slots,
        *,
        wake: Callable[[tuple[str, ...]], None],
        ended: Hook = lambda record, command: None,
        complained: Callable[[JobRecord, Complain], None] = lambda record, command: None,
        wall: Callable[[], float] = time.time,
        proposals: int = 2000,
    ) -> None:
        """``proposals``: so many jobs of one partner may wait for this node's declaration."""
        self.tasks: TaskRunner
        self._control: Control
        self._beginning: Beginning
        self._database = database
        self._rows = rows
        self._recorder = recorder
        self._declarer = declarer
        self._decider = decider
        self._slots = slots
        self._wake = wake
        self._ended = ended
        self._complained = complained
        self._wall = wall
        self.endings = Endings()
        self._events = Events(database)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="effect")
        # Of partners' proposals, which may take long and are free: nothing else waits for them.
        self._proposals = PartnerLines(proposals)
        # One thread, so that what a task reports is written in the order in which it came.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._keys: dict[tuple[str, str, int], str] = {}
        self._reported: dict[tuple[str, str, int], float] = {}

    def attach(self, control: Control, tasks: TaskRunner) -> None:
        """Set whom to answer, and who runs tasks."""
        self._control = control
        self.tasks = tasks
        made_up = self._decider.needs_no_approval
        self._beginning = Beginning(tasks, self._pool, self._start, self.on_event, made_up)

    def drain(self, seconds: float) -> None:
        """Start no more tasks (after the next start of the node they count as lost), and give
        those that run some time to end.
        """
        self._beginning.end()
        deadline = time.monotonic() + seconds
        while self.tasks.count() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End the threads; what has not begun is dropped, a restart asks for it again."""
        self._closing.set()
        self._proposals.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.endings.close()
        self._writing.shutdown(wait=True, cancel_futures=False)

    # -- for the control thread -----------------------------------------------------------------

    def load(self, job: str) -> JobRecord | None:
        """Return a job from the database."""
        return self._rows.load(job)

    def known(self, jobs: Collection[str]) -> frozenset[str]:
        """Return those of these jobs that have a row."""
        return self._rows.known(jobs)

    def check_open(self, partner: str, job: str, unfinished: int) -> None:
        """See ``commanded.Effects``. Errors: ATL-FLW-004, ATL-FLW-016, ATL-POL-018."""
        self._slots.check_partner(partner, unfinished)
        self._rows.check_new(job, partner)
        self._decider.check_new(job)

    def check_again(self, partner: str, unfinished: int) -> None:
        """See ``commanded.Effects``. Errors: ATL-FLW-016."""
        self._slots.check_partner(partner, unfinished)

    def wake(self, peers: tuple[str, ...]) -> None:
        """Have these partners notified soon."""
        self._wake(peers)

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        """Write a job's row, its new events, and the tasks that are about to start."""
        for command in commands:
            if isinstance(command, Explain):
                self._rows.explain(record.id, _explained(command))
        sync_traffic: Sequence[TrafficRow] = ()
        if any(isinstance(command, Ended) for command in commands):
            counted = self._control.sync_traffic
            sync_traffic = counted.rows(record.id)
            # The control thread, to which the counts belong, waits for this commit.
            after_commit(connection, lambda: counted.forget(record.id))
            after_commit(connection, lambda: self.endings.begin(record.id))
        self._rows.save(connection, record, sync_traffic)
        for command in commands:
            if isinstance(command, StartTask):
                self._recorder.began(connection, record.id, command.step, command.attempt)

    def carry_out(self, record: JobRecord, command: Command) -> None:
        """Carry out one command, elsewhere if it may take time."""
        match command:
            case Publish(peers=peers):
                self._wake(peers)
            case Enqueue():
                self._enqueue(record, command)
            case Release(offer=offer, used=used):
                self._slots.release(record.id, offer, used)
                self.tasks.release(record.id, idle=True)
            case StartTask():
                self._beginning.begin(record, command)
            case KillTask():
                self._kill(record, command)
            case Complain():
                self._complained(record, command)
            case Explain():
                pass  # Written with the job's row.
            case Ended():
                self._proposals.drop(record.initiator, record.id)
                self._end(record, command)
            case Declare() if not record.drives:
                self._look_at_proposal(record, command)
            case _:
                self._pool.submit(self._answer, record, command)

    def _look_at_proposal(self, record: JobRecord, command: Declare) -> None:
        partner, work = record.initiator, partial(self._answer, record, command)
        if not self._proposals.put(partner, record.id, work):
            self._no_part(record, full(partner, "too many jobs that wait for a declaration"))

    def _enqueue(self, record: JobRecord, command: Enqueue) -> None:
        job, offer = record.id, command.offer
        self._slots.ask(
            record,
            command,
            lambda: self._control.event(job, lambda now: Admitted(offer=offer, now=now)),
        )

    def _start(self, record: JobRecord, command: StartTask) -> AtollError | None:
        """Start a task; return why it cannot run."""
        key = (record.id, command.step, command.attempt)
        try:
            about = (record, command.step, command.attempt)
            self._patiently(partial(self._decider.begin, *about, spends=command.spends))
            own_key = self._patiently(lambda: self.tasks.own_key(record, command.step, command.key))
            with self._lock:
                self._keys[key] = own_key
            self._patiently(lambda: self.tasks.start(record, command.step, command.attempt))
        except Exception as error:
            _trace(error)
            return unexpected(error)
        return None

    def _kill(self, record: JobRecord, command: KillTask) -> None:
        key = (record.id, command.step, command.attempt)
        if self._beginning.kill(key):
            return
        if not self.tasks.kill(*key):
            # Perhaps it has ended meanwhile: what it says is on its way, and is charged first.
            report = partial(self._report, key, "cancelled", _CANCELLED, revealed=True)
            with contextlib.suppress(RuntimeError):
                self._writing.submit(report)

    def _end(self, record: JobRecord, command: Ended) -> None:
        self._pool.submit(self._end_now, record, command)

    def _end_now(self, record: JobRecord, command: Ended) -> None:
        try:
            self.tasks.release(record.id)
            self._patiently(lambda: self._decider.settle(record.id, record.run))
            self._patiently(lambda: self._ended(record, command))
        except Exception as error:
            _LOG.error("the end of job %s: %s", record.id, unexpected(error))
        finally:
            self.endings.done(record.id)
            shutil.rmtree(self.tasks.outputs(record.id), ignore_errors=True)

    # -- answers --------------------------------------------------------------------------------

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do something again and again while only a full disk or the database is against it."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                return work()
            except EnvironmentFault as error:
                if not error.code.startswith("ATL-STO-") or self._closing.wait(pause):
                    raise
                _LOG.error("trying again: %s", error)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _answer(self, record: JobRecord, command: Command) -> None:
        try:
            match command:
                case Declare():
                    self._declare(record, command)
                case Decide():
                    decided = self._patiently(lambda: self._decider.decide(record, command))
                    self._control.event(record.id, decided)
                    made = self._control.peek(record.id)
                    self._patiently(lambda: self._decider.settle_ended(made))
                case FindReusable(keys=keys):
                    self._patiently(lambda: self._find(record, keys))
                case ReuseTask():
                    self._reuse(record, command)
        except Exception as error:
            _trace(error)
            known = unexpected(error)
            _LOG.error("job %s: %s", record.id, known)
            # Without an answer the job would wait; a node that is closing asks again at its start.
            if not self._closing.is_set():
                self._control.stop(record.id, record.party, known.code)

    def _declare(self, record: JobRecord, command: Declare) -> None:
        try:
            partner = None if record.drives else record.initiator
            made = self._declarer.declare(command.job, partner, proposed=True)
            self._patiently(lambda: self._decider.declared(record.id, command.job, made))
        except Exception as error:
            _trace(error)
            known = unexpected(error)
            self._no_part(record, known)
            return
        self._control.event(
            record.id,
            lambda now: Declared(
                made.tables,
                made.components,
                made.certificate,
                now,
                made.audience,
                made.parts,
                made.opening,
            ),
        )

    def _no_part(self, record: JobRecord, error: AtollError) -> None:
        _LOG.warning("job %s: this node cannot take part: %s", record.id, error)
        self._rows.explain(record.id, error)
        self._control.event(
            record.id, lambda now: DeclareFailed(code=error.code, place=error.place, now=now)
        )

    def _find(self, record: JobRecord, keys: Mapping[str, str]) -> None:
        reuse, artifacts = Reuse(self._database), Artifacts(self._database)
        origins: dict[str, tuple[str, ...]] = {}
        for name, key in keys.items():
            origins[name] = ()
            try:
                found = reuse.find(self.tasks.own_key(record, name, key))
            except NotFoundError:
                # What the step would read here is gone; running it will fail with the reason.
                continue
            if found is not None and artifacts.list(found[0], step=found[1]).rows:
                job, step, attempt = found
                origins[name] = (f"{job}/{step}/{attempt}",)
        self._control.event(record.id, lambda now: ReusableFound(origins=origins, now=now))

    def _reuse(self, record: JobRecord, command: ReuseTask) -> None:
        key = (record.id, command.step, command.attempt)

        def work(connection: Connection) -> None:
            self._recorder.reused(connection, *key, command.origin)

        try:
            self._patiently(lambda: self._database.write(work))
        except AtollError as error:
            _LOG.warning("job %s: outputs cannot be used again: %s", record.id, error)
            self._report(key, "failed", "ATL-FLW-017", revealed=False)
            return
        self._report(key, "reused", None, revealed=False)

    def _report(
        self, key: tuple[str, str, int], state: Any, code: str | None, *, revealed: bool
    ) -> None:
        job, step, attempt = key
        self._control.event(
            job, lambda now: TaskReported(step, attempt, state, now, code=code, revealed=revealed)
        )

    # -- what tasks report ------------------------------------------------------------------------

    def on_event(self, event: TaskEvent) -> None:
        """Take what a task reports; called on the pool's thread, so the work is done elsewhere."""
        if event.terminal:
            self._beginning.over((event.job, event.step, event.attempt))
        # A node that is stopping writes nothing more: after the start the task counts as lost.
        with contextlib.suppress(RuntimeError):
            self._writing.submit(self._write_event, event)

    def _write_event(self, event: TaskEvent) -> None:
        try:
            if event.terminal:
                self._finish(event)
            else:
                self._note(event)
        except Exception as error:
            _trace(error)
            _LOG.error("an event of a task was not written: %s", unexpected(error))

    def _note(self, event: TaskEvent) -> None:
        key = (event.job, event.step, event.attempt)
        if event.kind == "log":
            self._recorder.log(event)
            return
        if event.kind in ("traffic", "metric"):
            # Not waited for, so that many share a commit; the end of the task is written after.
            keep = self._recorder.traffic if event.kind == "traffic" else self._recorder.metric
            self._submit(lambda c: keep(c, event))
            return
        if event.kind == "resumed":
            about = (event.job, event.step, event.attempt, event.data.get("round"))
            _LOG.info("job %s: step %s, attempt %d, resumed at round %s", *about)
        now = time.monotonic()
        last = event.data.get("done") == event.data.get("total")
        if event.kind == "progress" and not last:
            if now - self._reported.get(key, 0.0) < _PROGRESS_SECONDS:
                return
            self._reported[key] = now
        self._submit(lambda c: self._append(c, event))
        self._control.event(event.job, lambda moment: Progressed(now=moment))

    def _submit(self, write: Callable[[Connection], None]) -> None:
        self._database.submit(write, patient=True).add_done_callback(_complain)

    def _append(self, connection: Connection, event: TaskEvent) -> None:
        self._events.append(
            event.job,
            self._wall(),
            event.kind,
            step=event.step,
            attempt=event.attempt,
            data=event.data,
            connection=connection,
        )

    def _finish(self, event: TaskEvent) -> None:
        key = (event.job, event.step, event.attempt)
        self._reported.pop(key, None)
        with self._lock:
            reuse = self._keys.pop(key, None)
        event = self._charged(event)
        problem = event.data.get("error") or {}
        revealed = self._decider.revealed(event.data)

        def write(connection: Connection) -> None:
            self._recorder.ended(connection, event, reuse)

        job, step, attempt = key
        self._control.event(
            job,
            lambda now: TaskReported(
                step,
                attempt,
                event.state,  # type: ignore[arg-type]
                now,
                code=problem.get("public") or problem.get("code"),
                phase=problem.get("phase"),
                revealed=revealed,
            ),
            write,
        )

    def _charged(self, event: TaskEvent) -> TaskEvent:
        """Take over what a task made, and charge what it revealed before the next may start."""
        key = (event.job, event.step, event.attempt)
        try:
            if event.state == "success":
                self.tasks.adopt(event)
        except Exception as error:
            _trace(error)
            event = failure_of(unexpected(error), key, event.data)
        try:
            record = self._patiently(lambda: self._control.peek(event.job))
            self._patiently(
                lambda: self._decider.charge(
                    record, event.step, event.attempt, event.data, event.state
                )
            )
        except Exception as error:
            _trace(error)
            event = failure_of(unexpected(error), key, event.data)
        return event


def _explained(command: Explain) -> AtollError:
    return AtollError(
        command.code,
        command.message,
        party=command.party,
        place=command.place,
        hint=command.hint,
    )


def _complain(written: Future[None]) -> None:
    error = None if written.cancelled() else written.exception()
    if isinstance(error, Exception):
        _LOG.error("an event of a task was not written: %s", unexpected(error))


def _trace(error: Exception) -> None:
    if not isinstance(error, AtollError):
        _LOG.debug("unexpected", exc_info=error)

"""The control thread: it alone moves the machines of all jobs of this node.

Whatever happens comes into one queue: words of partners, of workers, of people, of the clock. The
thread takes what is there, lets the machines move, writes everything in one transaction, and only
then lets it have effect (start a task, notify a partner, answer whoever waits). So a node that is
killed at any point goes on from what its database states.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from atoll.core.errors import AtollError
from atoll.flow.control import (
    Ended,
    Event,
    FactsReceived,
    JobRecord,
    Moment,
    PeerSync,
    Restarted,
    Rules,
    StopAsked,
    SyncMessage,
    Tick,
    Update,
    step,
)
from atoll.flow.node.jobs.answers import busy, stopping, unexpected
from atoll.flow.node.jobs.batch import Batch, Write
from atoll.flow.node.jobs.commanded import Effects
from atoll.flow.node.jobs.fault_injection import commit_fault
from atoll.flow.node.jobs.intake import Intake
from atoll.flow.node.jobs.partner_load import LoadLimits, PartnerLoad, begins_run, refuse
from atoll.flow.node.jobs.pending_sync import PendingSync
from atoll.flow.node.jobs.sync_traffic import SyncTraffic
from atoll.flow.store import Database, after_commit
from atoll.jobs.errors import EnvironmentFault

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_BATCH = 256
# So long a round takes in what partners sent; then comes what else there is.
_TURN_SECONDS = 0.1
# An ended job stays at hand for a while, so that every partner is sent how it ended.
KEEP_SECONDS = 600.0
# Trying again cannot help: a row of ours that does not fit.
_FINAL = frozenset({"ATL-STO-012"})


Item = Callable[["Control", Batch], None]


class Control:
    """The machines of a node's jobs. ``post`` and ``ask`` may be called from any thread."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        effects: Effects,
        *,
        limits: LoadLimits = LoadLimits(),
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self.records: dict[str, JobRecord] = {}
        self.exchanges: dict[str, PeerSync] = {}
        self.last_contact: dict[str, float] = {}
        # What other threads may see: never more than the database holds.
        self._committed: dict[str, JobRecord] = {}
        self._database = database
        self._effects = effects
        self._wall = wall
        self._monotonic = monotonic
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        # Taken out of it, and not done yet.
        self._next: deque[Item] = deque()
        self._closing = False
        self._trouble: AtollError | None = None
        self._kept: dict[str, float] = {}
        self._load = PartnerLoad(limits, monotonic)
        self._intake = Intake(effects)
        self.pending_sync = PendingSync()
        self._given_up: set[str] = set()
        self.sync_traffic = SyncTraffic()
        self._next_tick = 0.0
        self._fault = commit_fault()
        self._thread = threading.Thread(target=self._loop, name="control", daemon=True)

    # -- for any thread -------------------------------------------------------------------------

    def start(self, records: Mapping[str, JobRecord]) -> None:
        """Take up the jobs that the database holds, and begin."""
        self.records.update(records)
        self._committed.update(records)
        for record in records.values():
            self.pending_sync.note(record)
            self._load.note(record)
        # Whoever held a slot gets it back before others ask for it.
        for job in sorted(records, key=lambda name: not records[name].holding):
            self._inbox.put(_event(job, lambda now: Restarted(now=now)))
        self._thread.start()

    def post(self, item: Item) -> None:
        """Have something done on the control thread."""
        self._inbox.put(item)

    def event(self, job: str, make: Callable[[Moment], Event], *writes: Write) -> None:
        """Give a job's machine an event, with rows to be written in the same transaction."""
        self._inbox.put(_event(job, make, writes))

    def ask(self, work: Callable[[Control, Batch], T], timeout: float = 30.0) -> T:
        """Run ``work`` on the control thread and return its result once it is committed.

        Errors: whatever it raises, or the database; ATL-NOD-021 the node is stopping, ATL-NOD-035
        it is too busy.
        """
        future: Future[T] = Future()

        def item(control: Control, batch: Batch) -> None:
            if future.done():
                return
            try:
                result = work(control, batch)
            except Exception as error:
                future.set_exception(error)
                return
            batch.after.append(lambda: future.set_result(result))
            batch.failed.append(future.set_exception)

        return self._answer_of(item, future, timeout)

    def see(self, work: Callable[[Control], T], timeout: float = 30.0) -> T:
        """Run ``work`` once, after all that came before is committed, and return its result.

        It changes no job. Errors: as ``ask``.
        """
        future: Future[T] = Future()

        def read() -> None:
            try:
                future.set_result(work(self))
            except Exception as error:
                future.set_exception(error)

        def item(control: Control, batch: Batch) -> None:
            batch.after.append(read)

        return self._answer_of(item, future, timeout)

    def take(self, peer: str, message: SyncMessage, timeout: float = 30.0) -> None:
        """Take in what a partner's node sent, in turn with other partners, and commit it.

        Errors: as ``ask``; what was not taken in when the time is over is dropped.
        """
        taken: Future[None] = Future()

        def item(control: Control, batch: Batch) -> None:
            self.last_contact[peer] = self._monotonic()
            try:
                self._intake.take(control, batch, self._load, peer, message, taken)
            except Exception as error:
                taken.set_exception(error)

        try:
            self._answer_of(item, taken, timeout)
        finally:
            taken.cancel()

    def _answer_of(self, item: Item, future: Future[T], timeout: float) -> T:
        if self._closing:
            raise stopping()
        self._inbox.put(item)
        try:
            return future.result(timeout)
        except TimeoutError:
            raise self._trouble or (stopping() if self._closing else busy()) from None

    def peek(self, job: str) -> JobRecord | None:
        """Return a job as it was committed last, never older than rows that were read before."""
        with self._database.published():
            found = self._committed.get(job)
        return found or self._effects.load(job)

    def close(self) -> None:
        """Finish what is in the queue and end."""
        self._closing = True
        self._inbox.put(lambda control, batch: None)
        if self._thread.ident is not None:
            self._thread.join(30.0)

    # -- on the control thread ------------------------------------------------------------------

    @property
    def now(self) -> Moment:
        """The present moment."""
        return Moment(self._monotonic(), self._wall())

    def record(self, job: str) -> JobRecord | None:
        """Return a job's record, from the database if it is not at hand."""
        found = self.records.get(job) or self._effects.load(job)
        if found is not None and job not in self.records:
            self._take_up(found)
        return found

    def move(self, job: str, event: Event, batch: Batch) -> JobRecord:
        """Move a job's machine. Errors: those of ``control.step`` for what cannot be."""
        former = self.record(job)
        record, commands = step(former, event, self.rules)
        if former is not None:
            try:
                for one in self._load.make_own_room(former, record, self._ended(batch, job)):
                    self._drop(one)
            except AtollError as error:
                record, commands = refuse(former, error, event.now, self.rules)
        # Moments alone are not worth a write: every job gets one with each tick.
        if commands or record != former:
            batch.change(record, commands)
        elif job not in batch.changed:
            self._committed[job] = record
        self.records[job] = record
        if former is None or record.version != former.version:
            self.pending_sync.note(record)
        if former is None or record.facts is not former.facts:
            self._load.note(record)
        if record.end is not None:
            self._kept[job] = self._monotonic()
        else:
            self._kept.pop(job, None)
        return record

    def exchange(self, peer: str) -> PeerSync:
        """Return the state of syncing with a partner."""
        return self.exchanges.setdefault(peer, PeerSync(peer))

    def receive(self, peer: str, update: Update, batch: Batch) -> None:
        """Take in a partner's facts of one job."""
        try:
            record = self.recalled(peer, update.job, batch)
            if record is None:
                self._effects.check_open(peer, update.job, self._unfinished(peer))
            else:
                self._load.count_update(peer, record, update)
                if record.end is not None and begins_run(peer, record, update):
                    self._effects.check_again(peer, self._unfinished(peer))
            ended = self._ended(batch, update.job)
            for one in self._load.make_room(peer, record, update, ended):
                self._drop(one)
            self.move(update.job, FactsReceived(peer, update, self.now), batch)
            self.sync_traffic.count_received(peer, update)
        except AtollError as error:
            self._intake.refusals.log(peer, "an update", error)
        self.exchange(peer).owe(update.job)

    def _unfinished(self, peer: str) -> int:
        """Return how many unfinished jobs of a partner are here."""
        return sum(r.end is None for r in self.records.values() if r.initiator == peer)

    def recalled(self, peer: str, job: str, batch: Batch) -> JobRecord | None:
        """Return a job that a partner sends something of, read again if it is not at hand.

        Errors: ATL-FLW-016 too many were read again for it, or there is no room for this one.
        """
        if job in self.records:
            return self.records[job]
        self._load.check_reload(peer)
        found = self._effects.load(job)
        if found is not None:
            self._load.reloaded(peer)
            for one in self._load.recall(found, self._ended(batch)):
                self._drop(one)
            self._take_up(found)
        return found

    def _take_up(self, record: JobRecord) -> None:
        self.records[record.id] = record
        self._committed.setdefault(record.id, record)
        self.pending_sync.note(record)
        self._load.note(record)
        if record.end is not None:
            self._kept[record.id] = self._monotonic()

    def _ended(self, batch: Batch, but: str = "") -> Iterator[JobRecord]:
        """Yield the ended jobs at hand that the database holds as they are, the oldest first."""
        for job in list(self._kept):
            if job in self.records and job not in batch.changed and job != but:
                yield self.records[job]

    def _loop(self) -> None:
        while True:
            batch = Batch()
            items = self._in_order(batch) + self._in_turns(batch)
            if not self._written(batch):
                # One of them cannot be written; the others shall not suffer for it.
                for item in items:
                    batch = Batch()
                    self._run(item, batch)
                    self._written(batch, last=True)
            if self._closing and self._inbox.empty() and not self._next:
                self._intake.close(stopping())
                return

    def _in_order(self, batch: Batch) -> list[Item]:
        """Do what else there is, as much as is written at once; return these items."""
        self._next += [] if self._next else self._gather()
        items: list[Item] = []
        while self._next and not batch.full:
            items.append(self._next.popleft())
            self._run(items[-1], batch)
        return items

    def _in_turns(self, batch: Batch) -> list[Item]:
        """Take in what partners sent for a while, an update of each in turn; return these items."""
        items: list[Item] = []
        begun = self._monotonic()
        while len(items) < _BATCH and self._monotonic() - begun < _TURN_SECONDS:
            item = None if items and batch.full else self._intake.next()
            if item is None:
                break
            self._run(item, batch)
            items.append(item)
        return items

    def _written(self, batch: Batch, *, last: bool = False) -> bool:
        """Write what a round gathered, and have it take effect; return whether it was written."""
        try:
            self._commit(batch)
        except Exception as error:
            known = unexpected(error)
            self._undo(batch)
            if last:
                _LOG.exception("the control thread could not write")
                self._give_up(batch, known)
            return False
        self._follow(batch)
        return True

    def _gather(self) -> list[Item]:
        wait = 0.0 if self._intake else max(self._next_tick - self._monotonic(), 0.0)
        items: list[Item] = []
        try:
            items.append(self._inbox.get(timeout=wait) if wait else self._inbox.get_nowait())
            while len(items) < _BATCH:
                items.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        if self._monotonic() >= self._next_tick:
            self._next_tick = self._monotonic() + _TICK_SECONDS
            items.append(_tick)
        return items

    def _run(self, item: Item, batch: Batch) -> None:
        try:
            item(self, batch)
        except AtollError as error:
            _LOG.warning("refused: %s", error)
        except Exception:
            _LOG.exception("an item of the control thread failed")

    def _commit(self, batch: Batch) -> None:
        if batch.changed or batch.writes:
            changed = [(record, tuple(commands)) for record, commands in batch.changed.values()]
            shown = {record.id: record for record, _ in changed}

            def write(connection: Connection) -> None:
                # Before whoever is woken by the commit looks.
                after_commit(connection, lambda: self._committed.update(shown))
                # What tasks reported first: the next attempts start after it, and the sums hold it.
                for one in batch.writes:
                    one(connection)
                for record, commands in changed:
                    self._effects.saved(connection, record, commands)

            if self._fault is not None and changed:
                self._fault.before()
            self._write(write)
            if self._fault is not None and changed:
                issued = (command for _, commands in changed for command in commands)
                self._fault.after(end=any(isinstance(command, Ended) for command in issued))

    def _follow(self, batch: Batch) -> None:
        """Do what follows a commit: it stands, whatever comes of this."""
        for record, commands in batch.changed.values():
            for command in commands:
                try:
                    self._effects.carry_out(record, command)
                except Exception:
                    _LOG.exception("job %s: %s failed", record.id, type(command).__name__)
        for done in batch.after:
            try:
                done()
            except Exception:
                _LOG.exception("an answer could not be given")

    def _write(self, write: Write) -> None:
        """Write until it is written: nothing may have effect that the database does not hold."""
        pause = 0.1
        while True:
            try:
                self._database.write(write)
                self._trouble = None
                return
            except AtollError as error:
                if self._closing or error.code in _FINAL:
                    raise
                self._trouble = error
                _LOG.error("the database cannot be written, trying again: %s", error)
                time.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _undo(self, batch: Batch) -> None:
        """Go back to what the database holds: what could not be written did not happen."""
        for job in batch.changed:
            self.records.pop(job, None)
            self._committed.pop(job, None)
            self._load.drop(job)
            found = self._loaded(job)
            if found is not None:
                self._take_up(found)

    def _give_up(self, batch: Batch, error: AtollError) -> None:
        """Notify who waits. A job that lost an event would wait, too: it is stopped; tried once."""
        for fail in batch.failed:
            fail(error)
        for job in batch.changed:
            record = self.records.get(job)
            if record is not None and record.end is None and job not in self._given_up:
                self._given_up.add(job)
                self.stop(job, record.party, error.code)

    def stop(self, job: str, party: str, code: str) -> None:
        """Have a job stopped by this node because of a fault of its own."""
        self.event(job, lambda now: StopAsked("stop", party, now, code=code))

    def _loaded(self, job: str) -> JobRecord | None:
        while True:
            try:
                return self._effects.load(job)
            except EnvironmentFault as error:
                if self._closing:
                    return None
                _LOG.error("the database cannot be read, trying again: %s", error)
                time.sleep(_TICK_SECONDS)

    def drop_settled(self) -> None:
        """Let go of ended jobs that every partner was sent, or that are long over."""
        now = self._monotonic()
        for job, since in list(self._kept.items()):
            record = self.records.get(job)
            if record is None:
                del self._kept[job]
                continue
            settled = all(self.exchange(peer).settled(record) for peer in record.peers)
            if (settled and now - since > _TICK_SECONDS) or now - since > KEEP_SECONDS:
                self._drop(record)

    def _drop(self, record: JobRecord) -> None:
        """Let go of an ended job: the database holds it."""
        del self.records[record.id], self._kept[record.id]
        self._committed.pop(record.id, None)
        self._given_up.discard(record.id)
        self._load.forget(record)
        self.sync_traffic.forget(record.id)
        for peer in record.peers:
            self.exchange(peer).forget(record.id)


def _event(job: str, make: Callable[[Moment], Event], writes: tuple[Write, ...] = ()) -> Item:
    def item(control: Control, batch: Batch) -> None:
        batch.writes.extend(writes)
        control.move(job, make(control.now), batch)

    return item


def _tick(control: Control, batch: Batch, jobs: tuple[str, ...] | None = None) -> None:
    event = Tick(now=control.now, last_contact=dict(control.last_contact))
    left = tuple(control.records) if jobs is None else jobs
    for at, job in enumerate(left):
        if batch.full:
            # Many may be over at the same moment.
            return control.post(partial(_tick, jobs=left[at:]))
        record = control.records.get(job)
        if record is not None and record.end is None:
            control.move(job, event, batch)
    control.drop_settled()

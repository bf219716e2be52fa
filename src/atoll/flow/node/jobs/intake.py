"""What partners send of jobs: taken in by turns, so that none of them holds the others up."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from atoll.core.errors import AtollError, PeerError
from atoll.flow.control import Event, JobRecord, Moment, PeerSync, StaleRecord, SyncMessage, Update
from atoll.flow.node.jobs.batch import Batch
from atoll.flow.node.jobs.commanded import Effects
from atoll.flow.node.jobs.partner_load import PartnerLoad, is_over
from atoll.flow.node.jobs.pending_sync import PROBES, PendingSync
from atoll.flow.node.jobs.refusals import Refusals

_LOG = logging.getLogger(__name__)


class Taker(Protocol):
    """The control thread, as far as it takes in what partners send."""

    records: dict[str, JobRecord]
    pending_sync: PendingSync

    @property
    def now(self) -> Moment:
        """The present moment."""
        ...

    def exchange(self, peer: str) -> PeerSync:
        """Return the state of syncing with a partner."""
        ...

    def move(self, job: str, event: Event, batch: Batch) -> JobRecord:
        """Move a job's machine."""
        ...

    def receive(self, peer: str, update: Update, batch: Batch) -> None:
        """Take in a partner's facts of one job."""
        ...

    def recalled(self, peer: str, job: str, batch: Batch) -> JobRecord | None:
        """Return a job, read again if it is not at hand."""
        ...


Item = Callable[[Taker, Batch], None]


@dataclass(frozen=True)
class _Turn:
    item: Item
    message: Future[None]


class Intake:
    """A line for each partner of what it sent; the next of each in turn. Control thread only."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self.refusals = Refusals(_LOG)
        self._lines: dict[str, deque[_Turn]] = {}

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._lines)

    def take(
        self,
        control: Taker,
        batch: Batch,
        load: PartnerLoad,
        peer: str,
        message: SyncMessage,
        taken: Future[None],
    ) -> None:
        """Take note of what a partner holds, and have what it sent of each job wait for its turn.

        ``taken`` is done once all is committed; if it is cancelled, what still waits is dropped.
        """
        if taken.done():
            return
        exchange = control.exchange(peer)
        strange = {u.job: u for u in message.updates if u.job not in control.records}
        asked = _asked(control, load, peer, message.held)
        known = self._effects.known([*asked, *strange]) if asked or strange else frozenset()
        self._fetch(control, batch, peer, [job for job in asked if job in known])
        left = self._leave(control, peer, [u for u in strange.values() if u.job not in known])
        # Each is acknowledged once it was taken in, so none of them yet.
        ahead = exchange.received(replace(message, updates=()), control.records)
        control.pending_sync.again(peer, message.held)
        items: list[Item] = [
            partial(_stale, peer=peer, job=job, version=message.held[job]) for job in ahead
        ]
        items += [
            partial(_receive, peer=peer, update=update)
            for update in message.updates
            if update.job not in left
        ]
        items.append(partial(_answered, taken=taken))
        self._lines.setdefault(peer, deque()).extend(_Turn(item, taken) for item in items)

    def next(self) -> Item | None:
        """Return what is next of the partner that was served longest ago; None if there is none."""
        while self._lines:
            peer = next(iter(self._lines))
            line = self._lines.pop(peer)
            turn = line.popleft()
            while turn.message.done() and line:
                turn = line.popleft()
            if line:
                # The last in turn from now on.
                self._lines[peer] = line
            if not turn.message.done():
                return turn.item
        return None

    def close(self, error: AtollError) -> None:
        """Let no one wait any longer for what was not taken in."""
        for line in self._lines.values():
            for turn in line:
                with suppress(InvalidStateError):
                    turn.message.set_exception(error)
        self._lines.clear()

    def _leave(self, control: Taker, peer: str, unknown: Iterable[Update]) -> frozenset[str]:
        """Return the jobs of updates of which nothing can come, and acknowledge them.

        Nothing more is looked up for these: their ids cost a partner nothing.
        """
        left = [update for update in unknown if not _opens(update)]
        for update in left:
            over = not update.base and is_over(update)
            # What ended before this node heard of it is not to be sent again.
            control.exchange(peer).owe(update.job, update.version if over else None)
        if left:
            error = PeerError("ATL-FLW-004", "facts of jobs that are not known here, or are over")
            self.refusals.log(peer, "an update", error, len(left))
        return frozenset(update.job for update in left)

    def _fetch(self, control: Taker, batch: Batch, peer: str, jobs: Iterable[str]) -> None:
        """Have at hand what a partner asks about: it may have missed how a job ended here."""
        for job in jobs:
            try:
                control.recalled(peer, job, batch)
            except AtollError as error:
                self.refusals.log(peer, "a look at an ended job", error)
                return


def _asked(control: Taker, load: PartnerLoad, peer: str, held: Mapping[str, int]) -> list[str]:
    """Return jobs that are not at hand of whose end a partner may not know."""
    missing = [job for job in held if job not in control.records][:PROBES]
    return [job for job in missing if not load.asks_in_vain(job, peer, held[job])]


def _opens(update: Update) -> bool:
    """Return whether an update may be the first of a job that goes on."""
    return not update.base and "proposal" in update.sections and not is_over(update)


def _stale(control: Taker, batch: Batch, *, peer: str, job: str, version: int) -> None:
    if job in control.records:
        control.move(job, StaleRecord(party=peer, version=version, now=control.now), batch)


def _receive(control: Taker, batch: Batch, *, peer: str, update: Update) -> None:
    control.receive(peer, update, batch)


def _answered(control: Taker, batch: Batch, *, taken: Future[None]) -> None:
    def done() -> None:
        # Whoever waited may have given up at this moment.
        with suppress(InvalidStateError):
            taken.set_result(None)

    def failed(error: AtollError) -> None:
        with suppress(InvalidStateError):
            taken.set_exception(error)

    batch.after.append(done)
    batch.failed.append(failed)

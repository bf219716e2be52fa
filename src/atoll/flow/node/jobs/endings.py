"""The jobs whose end stands in the database, and what follows it does not yet; ends by the node."""

from __future__ import annotations

import threading
from functools import partial

from atoll.flow.control import Ended, JobRecord, StopAsked, view
from atoll.flow.node.jobs.batch import Batch
from atoll.flow.node.jobs.control import Control
from atoll.flow.node.jobs.deciding import VALIDITY_SECONDS
from atoll.flow.store import Jobs

# What follows a job's end is a matter of milliseconds; a database that cannot be written is not.
_SECONDS = 10.0


class Endings:
    """What follows an end: models and agreements are registered, accounts closed.

    Whoever is shown a job's end looks for these next.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: set[str] = set()

    def begin(self, job: str) -> None:
        """Take note of a job that has just ended."""
        with self._changed:
            self._jobs.add(job)

    def done(self, job: str) -> None:
        """Let go of a job once all that follows its end is done, or cannot be."""
        with self._changed:
            self._jobs.discard(job)
            self._changed.notify_all()

    def wait(self, job: str, seconds: float = _SECONDS) -> None:
        """Wait until what follows a job's end is done, if it has ended; no longer than that."""
        with self._changed:
            self._changed.wait_for(lambda: job not in self._jobs, seconds)

    def close(self) -> None:
        """Let go of all."""
        with self._changed:
            self._jobs.clear()
            self._changed.notify_all()


def ended_line(record: JobRecord, ended: Ended) -> str:
    """Return what the log states of an end: an end that another party states is its word alone."""
    by = view(record).stated_by
    word = f" (as {by} states, naming {ended.party or 'no party'})" if by else ""
    return f"job {record.id} ended: {ended.state} {ended.code or ''}{word}"


def end_jobs_of(control: Control, batch: Batch, *, peer: str) -> None:
    """End the jobs with a party that is no partner any more.

    If it becomes one again, what was approved before does not go on: also no ended job's next run.
    """
    for job, record in list(control.records.items()):
        if peer in record.peers:
            _end(control, batch, job=job)


def partner_gone(control: Control, jobs: Jobs, peer: str) -> None:
    """Have that done; from any thread. Ended jobs that are not at hand follow one at a time."""
    control.post(partial(end_jobs_of, peer=peer))
    for job in jobs.ended_with(peer, control.now.wall - VALIDITY_SECONDS):
        control.post(partial(_end, job=job))


def _end(control: Control, batch: Batch, *, job: str) -> None:
    record = control.record(job)
    if record is not None:
        event = StopAsked("stop", record.party, control.now, code="ATL-NOD-040", voids=True)
        control.move(job, event, batch)


def end_refused(control: Control, batch: Batch, *, peer: str, code: str, since: float) -> None:
    """End the jobs with a partner whose certificate did not hold for as long as they wait."""
    now = control.now
    for job, record in list(control.records.items()):
        over = now.monotonic - since >= record.options.peer_seconds
        if record.end is None and peer in record.peers and over:
            control.move(job, StopAsked("stop", record.party, now, code, peer), batch)

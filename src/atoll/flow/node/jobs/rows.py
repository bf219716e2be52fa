"""Keeps the rows of jobs in step with their machines, and writes what changed as events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from atoll.core.errors import AtollError, PeerError
from atoll.core.names import roles_text
from atoll.flow.control import JobRecord, JobView, rightly_commanded, view
from atoll.flow.store import Database, Events, JobRow, Jobs, Traffic, TrafficRow, after_commit
from atoll.jobs.states import ENDED

_MOST_WRITTEN = 2048


@dataclass(frozen=True)
class Submission:
    """What a person gives with a job, and what stays at this node."""

    owner: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    key: str | None = None


@dataclass(frozen=True)
class _Written:
    """What the row of a job shows; ``plan`` is the digest of the plan that it holds."""

    view: JobView
    plan: str | None


class JobRows:
    """The job rows of a node. ``save`` runs on the database's writer, everything else anywhere."""

    def __init__(self, database: Database, party: str, wall: Callable[[], float]) -> None:
        self._jobs = Jobs(database)
        self._events = Events(database)
        self._traffic = Traffic(database)
        self._party = party
        self._wall = wall
        self._written: OrderedDict[str, _Written] = OrderedDict()
        self._submissions: dict[str, Submission] = {}
        self._reasons: dict[str, AtollError] = {}

    def announce(self, job: str, submission: Submission) -> None:
        """Note what goes with a job that is about to be submitted."""
        self._submissions[job] = submission

    def open_of(self, user: str) -> int:
        """Return how many jobs a user has submitted that have not ended."""
        # Noted first: what is written meanwhile counts twice rather than not at all.
        announced = sum(one.owner == user for one in list(self._submissions.values()))
        return announced + self._jobs.open_of(user)

    def explain(self, job: str, error: AtollError) -> None:
        """Keep why this node ends a job, for its own people: partners learn the code alone."""
        self._reasons[job] = error

    def load(self, job: str) -> JobRecord | None:
        """Return a job's machine from the database."""
        row = self._jobs.find(job)
        if row is None or row.machine is None:
            return None
        return JobRecord.from_plain(row.machine)

    def known(self, jobs: Collection[str]) -> frozenset[str]:
        """Return those of these jobs that have a row."""
        return self._jobs.among(jobs)

    def check_new(self, job: str, partner: str) -> None:
        """Refuse a partner's job of an id that has a row. Errors: ATL-FLW-004."""
        if self._jobs.exists(job):
            raise PeerError(
                "ATL-FLW-004",
                "facts of an ended job of which the list alone is kept",
                party=partner,
                place=job,
                hint="submit it as a new job",
            )

    def save(
        self, connection: Connection, record: JobRecord, sync_traffic: Sequence[TrafficRow] = ()
    ) -> None:
        """Write a job's row and the events of what changed since the last time.

        ``spoken`` is added to the job's traffic.
        """
        # To compute a plan's digest again takes longer than all the rest of this.
        plan = record.own.plan.digest if record.plan and record.own.plan else None
        if plan is None and record.plan and record.plan.complete:
            plan = record.plan.digest()
        seen = _Written(view(record), plan)
        former = self._former(connection, record.id)
        if former is None:
            self._create(connection, record, seen)
            self._traffic.add(sync_traffic, connection=connection)
        else:
            # Before the sums of a job that ends are made.
            self._traffic.add(sync_traffic, connection=connection)
            self._update(connection, record, seen, former)
        self._write_events(connection, record, seen.view, former.view if former else None)
        # The transaction may be rolled back and tried again: only its commit counts.
        after_commit(connection, lambda: self._remember(record.id, seen))

    def _remember(self, job: str, seen: _Written) -> None:
        self._submissions.pop(job, None)
        self._written[job] = seen
        self._written.move_to_end(job)
        while len(self._written) > _MOST_WRITTEN:
            gone, _ = self._written.popitem(last=False)
            self._reasons.pop(gone, None)

    def _former(self, connection: Connection, job: str) -> _Written | None:
        """Return what was shown of a job last, None if it is new."""
        found = self._written.get(job)
        if found is None:
            row = self._jobs.find(job, connection=connection)
            if row is not None and row.machine is not None:
                seen = view(JobRecord.from_plain(row.machine))
                found = _Written(seen, row.plan_digest if row.plan is not None else None)
        return found

    def _create(self, connection: Connection, record: JobRecord, written: _Written) -> None:
        submission = self._submissions.get(record.id, Submission())
        job, seen = record.job, written.view
        own = record.initiator == self._party
        row = JobRow(
            id=record.id,
            name=job.name,
            initiator=record.initiator,
            role=roles_text(job.parties[self._party]),
            owner=submission.owner or None,
            state=seen.state,
            reason=seen.reason,
            code=seen.code,
            priority=record.options.priority,
            plan=record.plan.canonical() if record.plan and written.plan else None,
            plan_digest=written.plan,
            created=record.created,
            updated=self._wall(),
            ended=self._wall() if seen.state in ENDED else None,
            # A partner's tags are its own: they choose none of the jobs here.
            tags=list(submission.tags or (record.options.tags if own else ())),
            notes=submission.notes,
            idempotency_key=submission.key,
            job=job.canonical(),
            machine=record.to_plain(),
        )
        self._jobs.create(row, sorted(job.parties), connection=connection)

    def _update(
        self, connection: Connection, record: JobRecord, written: _Written, before: _Written
    ) -> None:
        now, seen, former = self._wall(), written.view, before.view
        changes: dict[str, Any] = {
            "state": seen.state,
            "reason": seen.reason,
            "code": seen.code,
            "updated": now,
            "machine": record.to_plain(),
        }
        if record.plan is not None and written.plan not in (None, before.plan):
            changes["plan"] = record.plan.canonical()
            changes["plan_digest"] = written.plan
        if seen.state == "running" and former.state != "running":
            changes |= {"started": now, "ended": None}
        if seen.state in ENDED and former.state not in ENDED:
            sent, received = self._traffic.moved(record.id, connection=connection)
            changes |= {"ended": now, "bytes_sent": sent, "bytes_received": received}
        self._jobs.update(record.id, changes, connection=connection)

    def _write_events(
        self, connection: Connection, record: JobRecord, seen: JobView, former: JobView | None
    ) -> None:
        moved = former is None or (seen.state, seen.reason) != (former.state, former.reason)
        over = seen.state in ENDED
        # The end comes last: who follows a job goes away with it.
        if moved and not over:
            self._append(connection, record.id, "state", None, None, self._state(record, seen))
        steps: Mapping[str, Any] = former.steps if former is not None else {}
        for name, entry in seen.steps.items():
            new = entry.state != "waiting" and steps.get(name) != entry
            # What was not approved is no event, or a partner wrote as many as it likes.
            if new and rightly_commanded(record, name, entry.attempt):
                data = {"state": entry.state, "own": entry.own, "peers": dict(entry.peers)}
                self._append(connection, record.id, "step", name, entry.attempt, data)
        if moved and over:
            self._append(connection, record.id, "state", None, None, self._state(record, seen))

    def _state(self, record: JobRecord, seen: JobView) -> dict[str, Any]:
        data = {
            "state": seen.state,
            "reason": seen.reason,
            "code": seen.code,
            "party": seen.party,
            "stated_by": seen.stated_by,
            "phase": seen.phase,
            "progress": seen.progress,
        }
        why = self._reasons.get(record.id)
        if why is not None and why.code == seen.code:
            data |= {"message": why.message, "hint": why.hint, "place": why.place}
        return {name: value for name, value in data.items() if value is not None}

    def _append(
        self,
        connection: Connection,
        job: str,
        kind: str,
        step: str | None,
        attempt: int | None,
        data: Mapping[str, Any],
    ) -> None:
        self._events.append(
            job, self._wall(), kind, step=step, attempt=attempt, data=data, connection=connection
        )

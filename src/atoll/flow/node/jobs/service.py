"""Jobs as people and programs of this node see and drive them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atoll.channel.api import Buffer
from atoll.channel.grpc.gateway import Gateway
from atoll.channel.identity import Identity
from atoll.core import codec
from atoll.core.errors import OWN_FAILURE, AtollError, UserError
from atoll.flow.access import Actor
from atoll.flow.control import (
    Event,
    JobRecord,
    JobView,
    Moment,
    Options,
    RerunAsked,
    RetryAsked,
    StopAsked,
    Submitted,
    limited,
    read_options,
    view,
)
from atoll.flow.estimating import estimated_seconds
from atoll.flow.node.jobs.batch import Batch
from atoll.flow.node.jobs.control import Control
from atoll.flow.node.jobs.deciding import Decider
from atoll.flow.node.jobs.declaring import (
    Declarer,
    OwnDeclaration,
    decode_declaration,
    encode_declaration,
)
from atoll.flow.node.jobs.endings import Endings
from atoll.flow.node.jobs.reading import JobReading
from atoll.flow.node.jobs.rows import JobRows, Submission
from atoll.flow.node.settings import JobsSection
from atoll.flow.planning import build, with_parts
from atoll.flow.store import JobRow
from atoll.jobs import approval as approvals
from atoll.jobs.definition import JOB_FILE_BYTES, Job, parse_job
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.jobs.plan import Plan

_NONCE_BYTES = 32


class JobService(JobReading):
    """See ``api.services.JobService``. Everything that moves a job goes by the control thread."""

    def __init__(
        self,
        reading: JobReading,
        control: Control,
        declarer: Declarer,
        decider: Decider,
        rows: JobRows,
        endings: Endings,
        gateway: Gateway,
        identity: Callable[[], Identity],
        settings: JobsSection,
        *,
        catalogue: Callable[[], Any],
        call_seconds: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(reading.database, reading.files, reading.recorder, reading.kinds)
        self._control = control
        self._declarer = declarer
        self._decider = decider
        self._rows = rows
        self._endings = endings
        self._gateway = gateway
        self._identity = identity
        self._settings = settings
        self._catalogue = catalogue
        self._seconds = call_seconds
        self._wall = wall

    # -- planning and submitting ----------------------------------------------------------------

    def plan(self, job: Job, options: Mapping[str, Any], actor: Actor) -> Mapping[str, Any]:
        """Return the plan that the parties would be asked to sign; nothing is kept.

        It has no digest: the commitments to tables are made when the job is submitted.

        Errors: those of validation and of the tables, at any party; those of ``Gateway.call``.
        """
        chosen = self._options(options)
        identity = self._identity()
        declared = {identity.party: self._declarer.declare(job)}
        for party in sorted(job.parties.keys() - {identity.party}):
            declared[party] = self._asked(party, job)
        plan = limited(self._built(job, declared), chosen)
        # Each party commits to its tables again when the job is submitted.
        return {**_plan_view(plan, agreed=False), "digest": None}

    def _asked(self, party: str, job: Job) -> OwnDeclaration:
        body = codec.encode(job.canonical())
        try:
            answer = self._gateway.call(party, "declare", body, self._seconds)
            return decode_declaration(answer, party)
        except AtollError as error:
            raise error.located(party=party, phase="plan") from None

    def _built(self, job: Job, declared: Mapping[str, OwnDeclaration]) -> Plan:
        identity = self._identity()
        prints = {
            party: approvals.key_fingerprint(identity.public_key(party, declaration.certificate))
            for party, declaration in declared.items()
        }
        tables = {party: declaration.tables for party, declaration in declared.items()}
        parts = {party: declaration.parts for party, declaration in declared.items()}
        plan = build(job, self._catalogue(), tables, prints, identity.party)
        return with_parts(plan, parts)

    def answer_declare(self, body: Buffer, party: str) -> bytes:
        """Return what a partner would be sent in the agreement of a job of both."""
        memory = codec.document_memory(JOB_FILE_BYTES)
        job = parse_job(codec.decode(body, limit=JOB_FILE_BYTES, memory=memory))
        if party not in job.parties:
            raise UserError("ATL-JOB-009", "the asking party does not take part", party=party)
        declared = self._declarer.declare(job, party).to(party)
        self._decider.preview_declared(job, declared, party)
        return encode_declaration(declared)

    def _options(self, given: Mapping[str, Any]) -> Options:
        """Return the options with the node's own settings where nothing is set."""
        settings = self._settings
        base: dict[str, Any] = {
            "retries": settings.retries,
            "step_rule": settings.step_rule,
            "progress_seconds": settings.progress_seconds,
            "peer_seconds": settings.peer_seconds,
            "priority": 0,
            "reuse": True,
            "tags": [],
        }
        return read_options({**base, **given})

    def submit(
        self,
        job: Job,
        options: Mapping[str, Any],
        actor: Actor,
        key: str | None,
        tags: Sequence[str],
        notes: str,
    ) -> Mapping[str, Any]:
        """Propose a job to its parties; the same ``key`` gives the same job again.

        Errors: those of validation, ATL-PTY-012 a party that is no partner, ATL-NOD-024 too many
        jobs wait, in all or of this user.
        """
        self._declarer.check(job)
        own_key = f"{actor.user}/{key}" if key else None
        if own_key is not None and (found := self.jobs.by_key(own_key)) is not None:
            return self.get(_same(found, job).id)
        chosen = self._options(options)
        moment = time.strftime("%Y%m%d%H%M%S", time.gmtime(self._wall()))
        name = f"{moment}-{secrets.token_hex(4)}"
        nonce = secrets.token_bytes(_NONCE_BYTES)

        def work(control: Control, batch: Batch) -> str:
            live = sum(record.end is None for record in control.records.values())
            if live >= self._settings.waiting:
                raise ConflictError(
                    "ATL-NOD-024", "too many jobs wait", hint="let some end, or raise jobs.waiting"
                )
            again = None if own_key is None else self.jobs.by_key(own_key)
            if again is not None:
                return _same(again, job).id
            if self._rows.open_of(actor.user) >= self._settings.user_open:
                raise ConflictError(
                    "ATL-NOD-024",
                    "too many of your jobs wait",
                    hint="let some end, or raise jobs.user_open",
                )
            declaration = Submission(actor.user, tuple(tags), notes, own_key)
            self._rows.announce(name, declaration)
            control.move(name, Submitted(name, job, chosen, nonce, control.now), batch)
            return name

        return self.get(self._control.ask(work))

    # -- driving --------------------------------------------------------------------------------

    def _move(self, job: str, make: Callable[[JobRecord, Moment], Event]) -> Mapping[str, Any]:
        def work(control: Control, batch: Batch) -> None:
            record = control.record(job)
            if record is None:
                raise _unknown(job)
            control.move(job, make(record, control.now), batch)

        self._control.ask(work)
        return self.get(job)

    def stop(self, job: str, actor: Actor) -> Mapping[str, Any]:
        """Cancel a job at all parties, at any state; a partner's job needs another approval then.

        Errors: ATL-STO-019.
        """
        return self._move(job, lambda record, now: StopAsked("cancel", actor.user, now))

    def retry(self, job: str, actor: Actor) -> Mapping[str, Any]:
        """Run what is not done again. Errors: ATL-FLW-013."""
        return self._move(job, lambda record, now: RetryAsked(now))

    def rerun(self, job: str, step: str | None, actor: Actor) -> Mapping[str, Any]:
        """Run a step and all below it again. Errors: ATL-FLW-013."""
        return self._move(job, lambda record, now: RerunAsked(step, now))

    def approve(self, job: str, digest: str, actor: Actor) -> Mapping[str, Any]:
        """Approve the plan that waits here. Errors: those of ``Policies.approve``, ATL-NOD-023."""
        record = self._record(job)
        owner = self.jobs.get(job).owner or ""
        made = self._decider.approve(record, digest, actor, owner)
        try:
            return self._move(job, made)
        finally:
            self._decider.settle_ended(self._control.peek(job))

    def refuse(self, job: str, reason: str, actor: Actor) -> Mapping[str, Any]:
        """Refuse what waits here or has ended. Errors: of ``Policies.refuse``, ATL-NOD-023."""
        return self._move(job, self._decider.refuse(self._record(job), reason, actor))

    def _record(self, job: str) -> JobRecord:
        record = self._control.peek(job)
        if record is None:
            raise _unknown(job)
        return record

    # -- looking --------------------------------------------------------------------------------

    def get(self, job: str) -> Mapping[str, Any]:
        """Return a job with its steps as they are now."""
        # The state first: who sees a job's end sees all that came with it, and what followed it.
        record = self._control.peek(job)
        self._endings.wait(job)
        row = self.jobs.get(job)
        whole = self.row_view(row) | {
            "notes": row.notes or "",
            "updated": row.updated,
            "plan_digest": row.plan_digest,
            "job": row.job,
            "parties": {
                party: held if isinstance(held, str) else ", ".join(held)
                for party, held in row.job["parties"].items()
            },
        }
        if record is None:
            return whole
        seen = view(record)
        sent, received = self._traffic.moved(job)
        return whole | {
            "state": seen.state,
            "reason": seen.reason,
            "code": seen.code,
            "phase": seen.phase,
            "party": seen.party,
            "stated_by": seen.stated_by,
            "progress": seen.progress,
            "order": list(record.proposal.steps),
            "steps": self._steps(record, seen),
            "approvals": _approvals(record),
            "spent_runs": seen.spent,
            "aborted_tosses": seen.aborted,
            "bytes_sent": sent,
            "bytes_received": received,
            **self._own_failure(record, seen),
        }

    def _own_failure(self, record: JobRecord, seen: JobView) -> dict[str, Any]:
        """Return why a job ended, with an own code that partners are not sent."""
        if seen.code == OWN_FAILURE:
            for task in reversed(self.tasks.list(record.id).rows):
                own = record.own.tasks.get(task.step)
                if own is not None and (own.attempt, own.code) == (task.attempt, OWN_FAILURE):
                    why = {"message": task.message, "hint": task.hint}
                    return {"code": task.code, "party": record.party, **why}
        return self.why(record.id, seen.code)

    def _steps(self, record: JobRecord, seen: JobView) -> dict[str, Any]:
        rows = {(r.step, r.attempt): r for r in self.tasks.list(record.id)}
        found: dict[str, Any] = {}
        for name, entry in seen.steps.items():
            row = rows.get((name, entry.attempt))
            own: dict[str, Any] = {"state": entry.own}
            if row is not None:
                kept = ("started", "ended", "code", "phase", "message", "hint")
                numbers = ("seconds", "cpu_seconds", "peak_memory")
                own |= {
                    key: getattr(row, key)
                    for key in (*kept, *numbers)
                    if getattr(row, key) is not None
                }
            steps = record.job.steps
            found[name] = {
                "state": entry.state,
                "attempt": entry.attempt,
                "component": steps[name].component if name in steps else None,
                "own": own,
                "peers": dict(entry.peers),
            }
        return found

    def plan_of(self, job: str) -> Mapping[str, Any]:
        """Return the plan that the parties agree on. Errors: ATL-NOD-025 there is none yet."""
        record = self._record(job)
        if record.plan is None or not record.plan.complete:
            raise NotFoundError(
                "ATL-NOD-025",
                "the job has no plan yet",
                place=job,
                hint="it is made once all parties have declared their tables",
            )
        agreed = all(p in record.approved for p in record.job.parties)
        return _plan_view(record.plan, agreed=agreed)


def _plan_view(plan: Plan, *, agreed: bool) -> Mapping[str, Any]:
    return {
        "digest": plan.digest() if plan.complete else None,
        "agreed": agreed,
        "plan": plan.canonical(),
        "seconds": estimated_seconds(plan),
    }


def _approvals(record: JobRecord) -> dict[str, Any]:
    return {
        party: {"runs": entry.runs, "expires": float(entry.expires)}
        for party, entry in record.approved.items()
    }


def _same(row: JobRow, job: Job) -> JobRow:
    if parse_job(row.job).digest() != job.digest():
        raise ConflictError(
            "ATL-NOD-026",
            "another job was submitted with this idempotency key",
            place=row.id,
            hint="take a new key for a new job",
        )
    return row


def _unknown(job: str) -> NotFoundError:
    return NotFoundError("ATL-STO-019", "there is no such job here", place=job[:64])

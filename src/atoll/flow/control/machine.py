"""The machine of one job at one node: ``step(record, event, rules) -> (record, commands)``. Pure.

An event only changes what is known; then the rules run, again and again until nothing changes, and
every command follows from what is known. Hence repeated, late and lost events do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atoll.core.errors import InternalError, PeerError
from atoll.flow.control import (
    admission,
    ending,
    plan_approval,
    reuse,
    runs,
    scheduling,
    tasks,
)
from atoll.flow.control.codes import STALE_RECORD, TWO_PROPOSALS
from atoll.flow.control.commands import Command, Explain
from atoll.flow.control.events import (
    Admitted,
    Decided,
    Declared,
    DeclareFailed,
    Event,
    FactsReceived,
    Moment,
    Progressed,
    RerunAsked,
    Restarted,
    RetryAsked,
    ReusableFound,
    StaleRecord,
    StopAsked,
    Submitted,
    TaskReported,
    Tick,
)
from atoll.flow.control.facts import End, JobDocument, Proposal
from atoll.flow.control.merging import merge, opening
from atoll.flow.control.reading import read_proposal
from atoll.flow.control.record import JobRecord
from atoll.flow.control.rules import Rules
from atoll.flow.control.transition import Transition
from atoll.jobs.validation import near

ROUNDS = 1000
LEAP = 1 << 20


def step(
    record: JobRecord | None, event: Event, rules: Rules
) -> tuple[JobRecord, tuple[Command, ...]]:
    """Take one event in and return the record that follows, and what is to be done.

    ``record`` is None for ``Submitted`` and for the first facts of an unknown job.
    Errors: ATL-FLW-001 malformed facts (the record stays as it was), ATL-FLW-004 facts of an
    unknown job, ATL-FLW-013 the job cannot be run again now, ATL-FLW-019 the submitted job cannot
    be proposed, ATL-PLN-002 and 003 the own approval does not fit.
    """
    if record is None:
        transition = _open(event, rules)
    elif type(event) is Tick and not ending.waits_for_time(record, event):
        return record, ()
    elif type(event) is Progressed:
        # Nothing follows from it: tasks report it many times, and no rule waits for it.
        transition = Transition(record, rules, event.now)
        _on_progress(transition, event)
        return transition.record, ()
    else:
        transition = Transition(record, rules, event.now)
        _HANDLERS[type(event)](transition, event)
    _settle(transition)
    return transition.finish()


def _settle(transition: Transition) -> None:
    for _ in range(ROUNDS):
        before = transition.record
        runs.follow_run(transition)
        if not transition.record.closed:
            plan_approval.agree(transition)
            if transition.record.plan is not None and transition.halted() is None:
                reuse.find(transition)
            admission.admit(transition)
            scheduling.schedule(transition)
            tasks.work(transition)
            ending.conclude(transition)
        if transition.record is before:
            return
    raise InternalError("ATL-INT-001", "the rules of a job do not come to rest")


def _open(event: Event, rules: Rules) -> Transition:
    if isinstance(event, Submitted):
        proposal = read_proposal(Proposal(event.job, event.nonce, event.options))
        if rules.party not in event.job.parties:
            raise InternalError("ATL-INT-001", "a job is submitted by one of its parties")
        own = JobDocument(job=event.job_id, party=rules.party)
        record = _empty(event.job_id, rules.party, rules.party, event.now, own)
        transition = Transition(record, rules, event.now)
        transition.set_facts(proposal=proposal)
        transition.set(since={"run": 1})
        return transition
    if isinstance(event, FactsReceived):
        lead = opening(event.update, event.party, rules.party)
        own = JobDocument(job=lead.job, party=rules.party, run=lead.run)
        record = _empty(lead.job, rules.party, lead.party, event.now, own)
        transition = Transition(record, rules, event.now)
        transition.take(lead)
        transition.set(since={"run": 1})
        return transition
    raise InternalError("ATL-INT-001", "an event for a job that is not known")


def _empty(job: str, party: str, initiator: str, now: Moment, own: JobDocument) -> JobRecord:
    return JobRecord(job, party, initiator, created=now.wall, facts={party: own})


def _on_facts(transition: Transition, event: FactsReceived) -> None:
    record = transition.record
    if event.party == record.party or event.party not in record.job.parties:
        raise PeerError(
            "ATL-FLW-004", "facts of a job by a party that is none of its", party=event.party
        )
    held = record.facts.get(event.party) or JobDocument(job=record.id, party=event.party)
    try:
        newer = merge(held, event.update, initiator=event.party == record.initiator)
    except PeerError as error:
        if error.code == "ATL-FLW-001":
            raise error.located(party=event.party) from error
        if error.code == TWO_PROPOSALS and not record.drives:
            transition.stop(error.code)
            return
        transition.complain(event.party, error.code, error.place or "facts")
        transition.stop(error.code, party=event.party)
        if event.party == record.initiator and transition.record.own.end is None:
            # Its word counts no more, so there will be no verdict to wait for.
            transition.set_facts(end=End("failed", error.code, event.party))
        return
    if newer is not None:
        transition.take(newer)


def _on_stale_record(transition: Transition, event: StaleRecord) -> None:
    """The own record is older than what was published, as a party states: nothing can be built on
    it. The stop names that party, which may be right.
    """
    if event.version <= transition.record.version:
        return
    if event.version > transition.record.version + LEAP:
        transition.complain(event.party, "ATL-FLW-002", "held")
        return
    held, own = event.version, transition.record.version
    transition.set_facts(version=held)
    if transition.halted() is None:
        text = f"{event.party} states to hold version {held} of what this node sent of the job"
        hint = "true after a restore of an older database here, else that party's false statement"
        text += f"; here it is {own}"
        transition.emit(Explain(STALE_RECORD, text, party=event.party, hint=hint))
        # Its word alone, so it is kept who gave it; in the audit log, too.
        transition.complain(event.party, STALE_RECORD, "held")
    transition.stop(STALE_RECORD, party=event.party)


def _on_progress(transition: Transition, event: Progressed) -> None:
    transition.mark("progress", again=True)


def _on_retry(transition: Transition, event: RetryAsked) -> None:
    ending.ask_again(transition, frozenset(), event.now)


def _on_rerun(transition: Transition, event: RerunAsked) -> None:
    steps = transition.record.proposal.steps
    if event.step is not None and event.step not in steps:
        raise ending.not_now(f"there is no step {event.step!r}", near(event.step, steps))
    rerun = frozenset(steps if event.step is None else {event.step})
    ending.ask_again(transition, rerun, event.now)


def _on_tick(transition: Transition, event: Tick) -> None:
    record = transition.record
    if record.closed:
        return
    silent = ending.silence(transition, record.initiator, event.last_contact, "held")
    admission.tick(transition, silent)
    tasks.tick(transition)
    plan_approval.tick(transition, event)
    ending.tick(transition, event.last_contact)


def _on_restarted(transition: Transition, event: Restarted) -> None:
    record = transition.record
    if record.closed:
        return
    transition.set(marks={}, asked=frozenset())
    tasks.on_restarted(transition)
    if record.ticket:
        admission.ask(transition, record.ticket, held=record.holding)


_HANDLERS: dict[type[Any], Callable[[Transition, Any], None]] = {
    FactsReceived: _on_facts,
    StaleRecord: _on_stale_record,
    Declared: plan_approval.on_declared,
    DeclareFailed: plan_approval.on_declare_failed,
    Decided: plan_approval.on_decided,
    Admitted: admission.on_admitted,
    ReusableFound: reuse.on_found,
    TaskReported: tasks.on_reported,
    StopAsked: ending.on_stop,
    RetryAsked: _on_retry,
    RerunAsked: _on_rerun,
    Tick: _on_tick,
    Restarted: _on_restarted,
}

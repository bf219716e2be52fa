"""A job as rows and pages show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from atoll.flow.control.admission import admitted_by, is_started, open_offer
from atoll.flow.control.facts import BROKEN, End
from atoll.flow.control.plan_approval import agreed
from atoll.flow.control.quorum import is_done, parties_of, tasks_of
from atoll.flow.control.record import JobRecord
from atoll.flow.control.scheduling import done_steps
from atoll.flow.control.tasks import allowed_attempts
from atoll.flow.control.transition import halt, stated


@dataclass(frozen=True)
class StepView:
    """A step: its state over its parties, the attempt, the own task's state and the others'.

    ``own`` is empty where this party takes no part.
    """

    state: str
    attempt: int
    own: str
    peers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobView:
    """A job at this node. ``state`` and ``reason`` are words of the plan's page.

    ``code``, ``phase`` and ``party`` describe the end as ``stated_by`` states it (None: this
    party); ``progress`` is the share of steps done;
    ``spent`` counts approved runs that further attempts took, ``aborted`` coin tosses that broke
    off after this party had opened its value.
    """

    state: str
    reason: str | None
    code: str | None
    phase: str | None
    party: str | None
    steps: Mapping[str, StepView]
    progress: float
    run: int = 1
    spent: int = 0
    aborted: int = 0
    stated_by: str | None = None


def view(record: JobRecord) -> JobView:
    """Return what to show of a job."""
    state, reason = _state(record)
    end = halt(record) or End("success")
    steps = {step: _step(record, step) for step in record.proposal.steps}
    progress = len(done_steps(record)) / len(record.proposal.steps)
    where = (end.code, end.phase, end.party)
    counts = (record.run, record.spent, record.aborted)
    return JobView(state, reason, *where, steps, progress, *counts, _stated_by(record))


def rightly_commanded(record: JobRecord, step: str, attempt: int) -> bool:
    """Return whether an attempt is more than a word of the initiator's: one that all approved."""
    approved = record.drives or (is_started(record) and agreed(record))
    return approved and attempt <= record.run * allowed_attempts(record, step)


def _stated_by(record: JobRecord) -> str | None:
    """Return the other party whose word the end is: no one here has checked whom it names."""
    found = stated(record)
    return None if found is None or found[0] == record.party else found[0]


def _state(record: JobRecord) -> tuple[str, str | None]:
    if record.end is not None:
        return record.end.state, None
    if halt(record) is not None:
        return ("running", "stopping") if record.begun == record.run else ("waiting", "stopping")
    if record.queued:
        return "awaiting approval", "approval here"
    if is_started(record):
        return "running", None
    return "waiting", _reason(record)


def _reason(record: JobRecord) -> str:
    parties = record.job.parties
    facts = record.facts
    silent = [p for p in parties if p not in facts or facts[p].declaration is None]
    if silent:
        return f"declarations of {', '.join(sorted(silent))}"
    unsure = [
        party
        for party in parties
        if party not in record.approved or not record.approved[party].covers(record.run)
    ]
    if unsure:
        return f"approval of {', '.join(sorted(unsure))}"
    if not record.drives and not record.ticket:
        return f"slot at {record.initiator}"
    offer = open_offer(record.lead.slot)
    if not record.holding:
        if record.drives and not record.ticket:
            return "another try for slots"
        return "slot here"
    hosts = sorted(parties.keys() - {record.initiator})
    full = [party for party in hosts if not admitted_by(record, party, offer)]
    return f"slot at {', '.join(full)}" if full else f"start by {record.initiator}"


def _step(record: JobRecord, step: str) -> StepView:
    command = record.lead.commands.get(step)
    taking = sorted(parties_of(record, step))
    if command is None:
        waiting = {party: "waiting" for party in taking if party != record.party}
        own = "waiting" if record.party in taking else ""
        return StepView("waiting", 0, own, waiting)
    tasks = tasks_of(record, step)
    states = {p: tasks[p].state if p in tasks else "waiting" for p in taking}
    joint = _joint(list(states.values()), done=is_done(record, step))
    own = states.pop(record.party, "")
    return StepView(joint, command.attempt, own, states)


def _joint(states: list[str], *, done: bool) -> str:
    if done:
        return "reused" if "reused" in states else "success"
    for state in ("failed", "lost", "cancelled"):
        if state in states and state in BROKEN:
            return state
    return "waiting" if all(state == "waiting" for state in states) else "running"

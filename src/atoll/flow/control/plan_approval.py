"""The rules up to the start: declare, make the same plan, approve it, check every approval."""

from __future__ import annotations

from atoll.core.errors import AtollError, InternalError, PeerError
from atoll.flow.control.codes import NO_ANSWER, NO_PLAN, REFUSED, RUNS_USED
from atoll.flow.control.commands import Decide, Declare, Explain
from atoll.flow.control.comparing import compare_code, different
from atoll.flow.control.events import Decided, Declared, DeclareFailed, Tick
from atoll.flow.control.facts import (
    Declaration,
    PlanFacts,
    Refusal,
    SignedApproval,
    approval_nonce,
    plain,
)
from atoll.flow.control.hiding import differing, fill
from atoll.flow.control.parsing import peer_code
from atoll.flow.control.record import ApprovedRuns, JobRecord
from atoll.flow.control.rules import limited
from atoll.flow.control.transition import Transition, halt
from atoll.flow.planning import with_parts
from atoll.jobs import approval as approvals
from atoll.jobs.plan import Plan

DECLARE = "declare"
WAITING = "plans"
DECISION = "decide "
PHASE = "agreement"
# So many runs in which nothing begins here an initiator may have decided on.
IDLE_RUNS = 8


def agree(transition: Transition) -> None:
    """Ask, make the plan, compare and check whatever can be by now."""
    record = transition.record
    if transition.halted() is not None:
        return
    if record.own.declaration is None:
        transition.ask(DECLARE, Declare(record.job, record.initiator))
        return
    if record.plan is None:
        if all(_declared(record, party) for party in record.job.parties):
            _make_plan(transition)
        return
    _await_plans(transition)
    _compare_plans(transition)
    if transition.halted() is None:
        _complete(transition)
    for party in record.job.parties:
        _check_approval(transition, party)
    question = _question(transition.record)
    if question is not None and not _stopped_idle(transition):
        transition.ask(f"{DECISION}{record.run}", question)


def _await_plans(transition: Transition) -> None:
    """Note since when plans of others are missing that could be there."""
    record = transition.record
    if all(party in record.facts and record.facts[party].plan for party in record.job.parties):
        transition.unmark(WAITING)
    else:
        transition.mark(WAITING)


def tick(transition: Transition, event: Tick) -> None:
    """End a job of which a party that communicates does not send the digests of its plan."""
    party = silent_planner(transition.record, event)
    if party is not None and transition.halted() is None:
        transition.stop(NO_ANSWER, party=party, phase=PHASE)


def silent_planner(record: JobRecord, event: Tick) -> str | None:
    """Return a party that communicates and has not sent the digests of its plan for too long.

    A party that is not there is waited for, as before every start.
    """
    now, limit = event.now.monotonic, record.options.progress_seconds
    if now - record.marks.get(WAITING, now) < limit:
        return None
    for party in record.peers:
        facts = record.facts.get(party)
        recent = now - event.last_contact.get(party, float("-inf"))
        if (facts is None or facts.plan is None) and recent < record.options.peer_seconds:
            return party
    return None


def agreed(record: JobRecord) -> bool:
    """Return whether every party holds this plan and approved it for the present run."""
    if record.plan is None or not record.plan.complete:
        return False
    return all(
        differing(record, party) == [] and _covered(record, party) for party in record.job.parties
    )


def _declared(record: JobRecord, party: str) -> bool:
    return party in record.facts and record.facts[party].declaration is not None


def _covered(record: JobRecord, party: str) -> bool:
    if party == record.party:
        return record.covered
    found = record.approved.get(party)
    return found is not None and found.covers(record.run)


def _question(record: JobRecord) -> Decide | None:
    if record.plan is None or not record.plan.complete:
        return None
    if halt(record) is not None or _covered(record, record.party):
        return None
    return open_decision(record)


def _stopped_idle(transition: Transition) -> bool:
    """Stop a run that is to be decided on, where nothing began here in many runs before it.

    Each decision is work and lines in the ledger, so an initiator may not have any number of them.
    """
    record = transition.record
    if record.drives or record.run - record.begun <= IDLE_RUNS:
        return False
    text = (
        f"no step began here in the last {IDLE_RUNS} runs of the job, and another is to be approved"
    )
    hint = "submit the job again; it is then decided again"
    transition.emit(Explain(RUNS_USED, text, party=record.initiator, hint=hint))
    transition.stop(RUNS_USED, party=record.initiator, phase=PHASE)
    return True


def open_decision(record: JobRecord) -> Decide | None:
    """Return what this party is asked: plan, nonce and run for the approval; None without plan."""
    if record.plan is None:
        return None
    nonce = approval_nonce(record.id, record.proposal.nonce, record.party, record.run)
    return Decide(record.plan, nonce, record.run)


def _make_plan(transition: Transition) -> None:
    try:
        plan = _plan(transition)
    except AtollError as error:
        transition.fail(error.located(phase=PHASE))
        return
    except (ArithmeticError, LookupError, ValueError, TypeError, MemoryError):
        # What a component makes of declared figures may break it; that must not break the node.
        transition.fail(PeerError(NO_PLAN, "no plan can be made of what was declared", phase=PHASE))
        return
    if plan.audience != transition.record.audience:
        text = "the audience of the tables is another than when this party sent its own"
        transition.fail(InternalError(NO_PLAN, text, phase=PHASE))
        return
    transition.set(plan=plan)
    # Where not all see everything, whoever sees less than we adds our digests to its own.
    digest = plan.digest() if plan.version == 1 else None
    transition.set_facts(plan=PlanFacts(digest, plan.parts()))
    agree(transition)


def _plan(transition: Transition) -> Plan:
    record = transition.record
    tables, prints, parts = {}, {}, {}
    mine = record.own.declaration
    for party in sorted(record.job.parties):
        declaration = record.facts[party].declaration
        if declaration is None or mine is None:
            raise PeerError(NO_PLAN, "a declaration is missing", party=party)
        if party != record.party:
            compare_code(mine.components, plain(declaration.components), party)
        tables[party] = dict(declaration.tables)
        parts[party] = dict(declaration.parts or {})
        key = transition.rules.check(party, declaration.certificate)
        prints[party] = approvals.key_fingerprint(key)
    plan = transition.rules.build(record.job, tables, prints)
    return limited(with_parts(plan, parts), record.options)


def _compare_plans(transition: Transition) -> None:
    for party in transition.record.peers:
        parts = differing(transition.record, party)
        if parts:
            transition.fail(different(parts, party))


def _complete(transition: Transition) -> None:
    """Take over the digests of the steps that are not shown here, once all parties sent theirs."""
    try:
        plan = fill(transition.record)
    except PeerError as error:
        transition.fail(error)
        return
    if plan is not None:
        transition.set(plan=plan)


def _check_approval(transition: Transition, party: str) -> None:
    record = transition.record
    facts = record.facts.get(party)
    if facts is None or facts.approval is None or differing(record, party) != []:
        return
    if record.plan is None or not record.plan.complete:
        return
    known = record.approved.get(party)
    if known is not None and known.first == facts.approval.run:
        return
    try:
        approved = check(transition, party, facts.approval)
    except AtollError as error:
        transition.fail(error.located(party=party, phase=PHASE))
        return
    transition.set(approved={**record.approved, party: approved})


def check(transition: Transition, party: str, signed: SignedApproval) -> ApprovedRuns:
    """Check an approval against the plan, the job and the certificate that was declared.

    Errors: ATL-PLN-002 forged or for another plan, job or run; ATL-PLN-003 expired.
    """
    record = transition.record
    declaration = record.facts[party].declaration
    if declaration is None or record.plan is None:
        raise PeerError("ATL-PLN-002", "the approval came before the plan", party=party)
    key = transition.rules.check(party, declaration.certificate)
    approvals.check_signature(signed.document, signed.signature, key, party)
    entry = approvals.Approval.decode(signed.document)
    approvals.check(entry, record.plan, party, now=transition.now.wall)
    nonce = approval_nonce(record.id, record.proposal.nonce, party, signed.run)
    if entry.nonce != nonce:
        raise PeerError("ATL-PLN-002", "the approval is for another job or run", party=party)
    return ApprovedRuns(signed.run, entry.runs, entry.expires)


def on_declared(transition: Transition, event: Declared) -> None:
    """Take the own declaration in, once."""
    transition.unask(DECLARE)
    if transition.record.own.declaration is None and transition.halted() is None:
        transition.set(audience=event.audience, opening=event.opening)
        parts = dict(event.parts) or None
        transition.set_facts(
            declaration=Declaration(event.tables, event.components, event.certificate, parts)
        )


def on_declare_failed(transition: Transition, event: DeclareFailed) -> None:
    """Refuse: this node cannot take part."""
    transition.unask(DECLARE)
    if transition.record.own.declaration is None and transition.halted() is None:
        transition.set(place=event.place)
        transition.set_facts(refusal=Refusal(peer_code(event.code) or REFUSED, "declaration"))


def awaits_decision(record: JobRecord, run: int) -> bool:
    """Return whether a decision of this party on its present run, ``run``, would be taken in."""
    return _question(record) is not None and run in (0, record.run)


def on_decided(transition: Transition, event: Decided) -> None:
    """Take the own decision in; one that comes too late changes nothing (``awaits_decision``)."""
    record = transition.record
    if not awaits_decision(record, event.run):
        return
    transition.set(queued=event.kind == "queue")
    if event.kind == "refuse":
        transition.set_facts(refusal=Refusal(peer_code(event.code) or REFUSED, "approval"))
    elif event.kind == "approve":
        signed = SignedApproval(event.document, event.signature, record.run)
        approved = check(transition, record.party, signed)
        transition.set(approved={**record.approved, record.party: approved}, spent=0)
        transition.set(ask_person=False)
        transition.set_facts(approval=signed)

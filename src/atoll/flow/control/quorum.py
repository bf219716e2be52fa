"""Who takes part in a step, and whether it holds without some of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from atoll.flow.control.facts import BROKEN, DONE, TaskFact
from atoll.flow.control.record import JobRecord


def parties_of(record: JobRecord, step: str) -> frozenset[str]:
    """Return the parties that take part in a step."""
    if record.plan is None:
        return frozenset(record.job.parties)
    return record.plan.parties_of(step)


def satisfied_without(record: JobRecord, step: str, left: Collection[str]) -> bool:
    """Return whether a step can still be done when these parties take no part in it any more."""
    taking = parties_of(record, step) & set(left)
    if not taking:
        return True
    plan = record.plan
    quorum = {} if plan is None else plan.quorum.get(step, {})
    if plan is None or not quorum:
        return False
    if plan.edges.get(step) == () and not all(_left_above(record, step, at) for at in taking):
        return False
    seats = plan.seats_of(step)
    if any(seat.party in taking and seat.role.value not in quorum for seat in seats):
        return False
    stay = [seat.role.value for seat in seats if seat.party not in taking]
    return bool(stay) and all(stay.count(role) >= least for role, least in quorum.items())


def _left_above(record: JobRecord, step: str, party: str) -> bool:
    """Return whether a party was left behind in a step above, or will have been.

    Where no messages are exchanged, no party is waited for in vain, but only who has no input is
    let off: whoever has one and fails has failed.
    """
    waiting = list(record.proposal.upstream.get(step, ()))
    seen = set(waiting)
    while waiting:
        before = waiting.pop()
        if _undone(record, before, party) and satisfied_without(record, before, {party}):
            return True
        more = record.proposal.upstream.get(before, frozenset()) - seen
        seen |= more
        waiting += more
    return False


def _undone(record: JobRecord, step: str, party: str) -> bool:
    """Return whether a party that takes part in a step has not reported success there."""
    command, facts = record.lead.commands.get(step), record.facts.get(party)
    task = None if facts is None else facts.tasks.get(step)
    if party not in parties_of(record, step):
        return False
    right = command is not None and task is not None and task.attempt == command.attempt
    return not (right and task is not None and task.state in DONE)


def tasks_of(record: JobRecord, step: str) -> dict[str, TaskFact]:
    """Return what the parties report of the commanded attempt of a step; those gone are lost."""
    command = record.lead.commands.get(step)
    found: dict[str, TaskFact] = {}
    if command is None:
        return found
    taking = parties_of(record, step)
    for party, facts in record.facts.items():
        task = facts.tasks.get(step)
        if party in taking and task is not None and task.attempt == command.attempt:
            found[party] = task
    for party in record.gone & taking:
        if party not in found or found[party].state not in DONE:
            found[party] = TaskFact(command.attempt, "lost")
    return found


def broken(tasks: Mapping[str, TaskFact]) -> dict[str, TaskFact]:
    """Return those of the tasks that failed, were cancelled or lost."""
    return {party: task for party, task in tasks.items() if task.state in BROKEN}


def is_done(record: JobRecord, step: str) -> bool:
    """Return whether a step succeeded in the same attempt at all its parties, or at enough."""
    tasks = tasks_of(record, step)
    if len(tasks) < len(parties_of(record, step)):
        return False
    if not all(task.state in DONE or task.state in BROKEN for task in tasks.values()):
        return False
    return satisfied_without(record, step, broken(tasks))


def enough_done(record: JobRecord, step: str) -> bool:
    """Return whether as many parties of a step as must stay report success."""
    tasks = tasks_of(record, step)
    done = {party for party, task in tasks.items() if task.state in DONE}
    return bool(done) and satisfied_without(record, step, parties_of(record, step) - done)


def expendable(record: JobRecord, party: str) -> bool:
    """Return whether the run can go on without a party: in each step that it has not done yet."""
    if party == record.initiator or record.plan is None:
        return False
    lost = record.gone | {party}
    return all(
        satisfied_without(record, step, lost)
        for step in record.proposal.steps
        if _undone(record, step, party)
    )


def dropped_out(record: JobRecord, step: str) -> bool:
    """Return whether the own task of an earlier step broke, and the step was done without it."""
    for before in record.proposal.upstream.get(step, ()):
        command, own = record.lead.commands.get(before), record.own.tasks.get(before)
        if command is None or own is None or own.attempt != command.attempt:
            continue
        if own.state in BROKEN and satisfied_without(record, before, {record.party}):
            return True
    return False

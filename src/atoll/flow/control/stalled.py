"""How long the initiator takes another party's word that a task of its own goes on."""

from __future__ import annotations

from atoll.flow.control.codes import NO_PROGRESS
from atoll.flow.control.facts import BROKEN, DONE
from atoll.flow.control.quorum import expendable, tasks_of
from atoll.flow.control.record import JobRecord
from atoll.flow.control.scheduling import done_steps
from atoll.flow.control.transition import Transition

WORD = "word "


def watch_others(transition: Transition) -> None:
    """End a run in which a party states for too long that a step goes on, and it does not here.

    Where an own task of the step runs, that one is timed by its progress. Others send no progress:
    what counts is when the state of a commanded task of theirs changed last, which it does a few
    times for each attempt.
    """
    record = transition.record
    if not record.drives or transition.halted() is not None:
        return
    waits = _waits(record)
    names = {party: f"{WORD}{party} {_changes(record, party)}" for party in waits}
    stale = {mark for mark in record.marks if mark.startswith(WORD)} - set(names.values())
    transition.unmark(*stale)
    for party, step in sorted(waits.items()):
        transition.mark(names[party])
        if transition.since(names[party]) < record.options.progress_seconds:
            continue
        if not expendable(transition.record, party):
            transition.stop(NO_PROGRESS, party=party, phase=step)
            return
        transition.set(gone=transition.record.gone | {party})


def _waits(record: JobRecord) -> dict[str, str]:
    """Return the other parties whose word alone keeps a step going, with the first such step."""
    found: dict[str, str] = {}
    for step in sorted(record.own.commands.keys() - done_steps(record) - record.running.keys()):
        for party, task in tasks_of(record, step).items():
            if party != record.party and task.state not in DONE | BROKEN:
                found.setdefault(party, step)
    return found


def _changes(record: JobRecord, party: str) -> int:
    """Return a number that grows with what a party states of its commanded tasks."""
    found = (tasks_of(record, step).get(party) for step in record.own.commands)
    tasks = [task for task in found if task is not None]
    over = sum(2 * task.attempt for task in tasks if task.state in DONE | BROKEN)
    return over + sum(2 * task.attempt - 1 for task in tasks if task.state == "running")

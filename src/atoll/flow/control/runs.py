"""The beginning of a job's next run, at the initiator and at those who follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from atoll.flow.control.admission import release
from atoll.flow.control.facts import StepCommand, TaskFact
from atoll.flow.control.plan_approval import DECISION
from atoll.flow.control.record import JobRecord
from atoll.flow.control.transition import Transition
from atoll.flow.control.voiding import void_of_stopped


def begin_next(transition: Transition, keep: Mapping[str, StepCommand]) -> None:
    """Begin the next run; what is kept of the last one is not commanded again."""
    release(transition)
    void_of_stopped(transition)
    record = transition.record
    slot = replace(record.own.slot, withdrawn=record.own.slot.offer)
    transition.set_facts(
        run=record.run + 1, commands=keep, slot=slot, refusal=None, stop=None, end=None
    )
    transition.set(gone=frozenset())
    _forget(transition, attempts(record))


def follow_run(transition: Transition) -> None:
    """Begin the initiator's next run once nothing of the present one is alive here.

    What is alive is ended first (``tasks.work``), and charged. An honest initiator leaves runs out
    where this party was not there, so a later one than the next may follow.
    """
    record = transition.record
    if not leaving(record) or record.running:
        return
    release(transition)
    transition.set_facts(
        run=record.lead.run, refusal=None, stop=None, end=None, tasks=_all_over(record)
    )
    questions = frozenset(key for key in record.asked if not key.startswith(DECISION))
    transition.set(queued=False, asked=questions)
    _forget(transition, attempts(record))


def leaving(record: JobRecord) -> bool:
    """Return whether the initiator is in a later run than this party."""
    return record.lead.run > record.run


def _all_over(record: JobRecord) -> Mapping[str, TaskFact]:
    """Return the own tasks, those cancelled of which no end was stated, in whatever way it came."""
    return {
        step: TaskFact(task.attempt, "cancelled") if task.state == "running" else task
        for step, task in record.own.tasks.items()
    }


def _forget(transition: Transition, earlier: Mapping[str, int]) -> None:
    transition.set(closed=False, retried={}, lost={}, marks={}, place=None)
    transition.set(earlier=earlier, tried={}, exposed=frozenset())


def attempts(record: JobRecord) -> dict[str, int]:
    """Return the latest own attempt of each step."""
    return {step: task.attempt for step, task in record.own.tasks.items()}

"""The beginning of a job's next run, at the initiator and at those who follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from atoll.flow.control.admission import release
from atoll.flow.control.facts import StepCommand
from atoll.flow.control.record import JobRecord
from atoll.flow.control.transition import Transition


def begin_next(transition: Transition, keep: Mapping[str, StepCommand]) -> None:
    """Begin the next run; what is kept of the last one is not commanded again."""
    release(transition)
    record = transition.record
    slot = replace(record.own.slot, withdrawn=record.own.slot.offer)
    transition.set_facts(
        run=record.run + 1, commands=keep, slot=slot, refusal=None, stop=None, end=None
    )
    transition.set(gone=frozenset())
    _forget(transition, attempts(record))


def follow_run(transition: Transition) -> None:
    """Begin the initiator's next run."""
    record = transition.record
    if record.lead.run <= record.run:
        return
    release(transition)
    transition.set_facts(run=record.lead.run, refusal=None, stop=None, end=None)
    transition.set(queued=False)
    _forget(transition, attempts(record))


def _forget(transition: Transition, earlier: Mapping[str, int]) -> None:
    transition.set(closed=False, retried={}, lost={}, marks={}, place=None)
    transition.set(earlier=earlier, tried={}, exposed=frozenset())


def attempts(record: JobRecord) -> dict[str, int]:
    """Return the latest own attempt of each step."""
    return {step: task.attempt for step, task in record.own.tasks.items()}

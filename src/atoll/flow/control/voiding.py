"""What a stop does to approvals: a run that follows it needs another one."""

from __future__ import annotations

from dataclasses import replace

from atoll.flow.control.record import ApprovedRuns
from atoll.flow.control.transition import Transition


def void_own(transition: Transition) -> None:
    """Let the own approval hold for no later run; a person is asked before the next one.

    At a host: the initiator's own people are who begins the next run.
    """
    record = transition.record
    if record.drives:
        return
    _void(transition, record.party, record.spent)
    transition.set(ask_person=True)


def void_of_stopped(transition: Transition) -> None:
    """Count on no approval for later runs of a party whose person stopped the present one."""
    record = transition.record
    for party in record.peers:
        facts = record.facts.get(party)
        stop = None if facts is None or facts.run != record.run else facts.stop
        if stop is not None and stop.kind == "cancel":
            _void(transition, party, 0)


def _void(transition: Transition, party: str, spent: int) -> None:
    record = transition.record
    found = record.approved.get(party)
    if found is not None:
        left = _until(found, record.run + spent)
        transition.set(approved={**record.approved, party: left})


def _until(approved: ApprovedRuns, run: int) -> ApprovedRuns:
    runs = max(0, min(approved.runs, run - approved.first + 1))
    return replace(approved, runs=runs)

"""The rules for slots: numbered offers that expire, so that no two jobs hold and wait for ever.

The initiator takes its own slot, opens an offer, and starts when all others hold a slot for it. If
one does not in time it withdraws the offer, gives its slot back and tries again later.
"""

from __future__ import annotations

from dataclasses import replace

from atoll.flow.control.codes import PEER_LOST
from atoll.flow.control.commands import Enqueue, Release
from atoll.flow.control.events import Admitted
from atoll.flow.control.facts import Slot
from atoll.flow.control.plan_approval import agreed
from atoll.flow.control.record import JobRecord
from atoll.flow.control.rules import backoff
from atoll.flow.control.transition import Transition


def open_offer(slot: Slot) -> int:
    """Return the number of the initiator's open (or started) offer, or zero."""
    return slot.offer if slot.offer > slot.withdrawn else 0


def admitted_by(record: JobRecord, party: str, offer: int) -> bool:
    """Return whether a host's facts hold a slot for an offer."""
    facts = record.facts.get(party)
    return facts is not None and facts.slot.admitted == offer and facts.slot.released < offer


def all_admitted(record: JobRecord, offer: int) -> bool:
    """Return whether every host holds a slot for an offer."""
    hosts = record.job.parties.keys() - {record.initiator}
    return all(admitted_by(record, party, offer) for party in hosts)


def is_started(record: JobRecord) -> bool:
    """Return whether the run has started by the initiator's facts."""
    slot = record.lead.slot
    return 0 < open_offer(slot) == slot.started and record.lead.run == record.run


def going(record: JobRecord) -> bool:
    """Return whether the run goes on rightly: started, with all slots and approvals."""
    offer = open_offer(record.lead.slot)
    return (
        is_started(record)
        and record.holding
        and record.ticket == offer
        and all_admitted(record, offer)
        and agreed(record)
    )


def admit(transition: Transition) -> None:
    """Ask for a slot, offer, start."""
    record = transition.record
    if transition.halted() is not None or not agreed(record):
        return
    if record.drives:
        _lead(transition)
    else:
        _follow(transition)


def _lead(transition: Transition) -> None:
    record = transition.record
    slot = record.own.slot
    offer = open_offer(slot)
    if not offer:
        if not record.ticket and transition.now.monotonic >= record.marks.get("retry at", 0.0):
            transition.unmark("retry at")
            ask(transition, slot.offer + 1)
    elif slot.started < offer and all_admitted(record, offer):
        transition.set_facts(slot=replace(slot, started=offer))
        transition.unmark("offered")


def _follow(transition: Transition) -> None:
    record = transition.record
    if record.lead.run != record.run:
        return
    offer = open_offer(record.lead.slot)
    if record.ticket and record.ticket != offer:
        release(transition)
        record = transition.record
    mine = record.own.slot
    if offer and not record.ticket:
        if mine.released >= offer:
            if record.lead.slot.started == offer:
                transition.stop(PEER_LOST, party=record.initiator)
        elif mine.admitted < offer:
            ask(transition, offer)


def ask(transition: Transition, offer: int, *, held: bool = False) -> None:
    """Ask the node's queue for the slot of an offer."""
    record = transition.record
    transition.set(ticket=offer, holding=held)
    transition.emit(
        Enqueue(
            offer=offer,
            role="initiator" if record.drives else "host",
            initiator=record.initiator,
            priority=record.options.priority,
            held=held,
        )
    )


def release(transition: Transition) -> None:
    """Give the slot back or leave the queue."""
    record = transition.record
    if record.ticket:
        used = record.begun == record.run if record.holding else None
        transition.emit(Release(record.ticket, used))
        transition.set(ticket=0, holding=False)
        transition.unmark("offered", "held")


def on_admitted(transition: Transition, event: Admitted) -> None:
    """Take the slot; one that is not wanted any more goes straight back."""
    record = transition.record
    if record.ticket != event.offer:
        transition.emit(Release(event.offer))
        return
    if record.holding:
        return
    transition.set(holding=True)
    slot = record.own.slot
    if record.drives:
        transition.set_facts(slot=replace(slot, offer=event.offer))
        transition.mark("offered", again=True)
    else:
        transition.set_facts(slot=replace(slot, admitted=event.offer))
        transition.mark("held", again=True)


def tick(transition: Transition, silent: float) -> None:
    """Withdraw an offer that was not taken up; leave one that no one follows up.

    ``silent`` is for how long the initiator has sent nothing.
    """
    record = transition.record
    times = transition.rules.times
    if not record.holding:
        return
    if record.drives:
        slot = record.own.slot
        waits = open_offer(slot) and slot.started < slot.offer
        if waits:
            transition.mark("offered")
        if waits and transition.since("offered") >= times.offer:
            transition.set_facts(slot=replace(slot, withdrawn=slot.offer))
            release(transition)
            pause = transition.now.monotonic + backoff(record.id, slot.offer, times)
            transition.set(marks={**transition.record.marks, "retry at": pause})
        return
    if record.lead.slot.started >= record.ticket:
        return
    transition.mark("held")
    if silent >= record.options.peer_seconds or transition.since("held") >= times.host:
        transition.set_facts(slot=replace(record.own.slot, released=record.ticket))
        release(transition)

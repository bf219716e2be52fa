"""The rules for slots: numbered offers that expire, so that no two jobs hold and wait for ever.

The initiator takes its own slot, opens an offer, and starts when all others hold a slot for it. If
one does not in time it withdraws the offer, gives its slot back and tries again later.
"""

from __future__ import annotations

from dataclasses import replace

from atoll.flow.control.agreeing import agreed
from atoll.flow.control.codes import PEER_LOST
from atoll.flow.control.commands import Enqueue, Release
from atoll.flow.control.events import Admitted
from atoll.flow.control.facts import Slot
from atoll.flow.control.record import JobRecord
from atoll.flow.control.rules import backoff
from atoll.flow.control.turn import Turn


def open_offer(slot: Slot) -> int:
    """Return the number of the initiator's open (or started) offer, or zero."""
    return slot.offer if slot.offer > slot.withdrawn else 0


def admitted_by(record: JobRecord, party: str, offer: int) -> bool:
    """Tell whether a host says that it holds a slot for an offer."""
    facts = record.facts.get(party)
    return facts is not None and facts.slot.admitted == offer and facts.slot.released < offer


def all_admitted(record: JobRecord, offer: int) -> bool:
    """Tell whether every host holds a slot for an offer."""
    hosts = record.job.parties.keys() - {record.initiator}
    return all(admitted_by(record, party, offer) for party in hosts)


def is_started(record: JobRecord) -> bool:
    """Tell whether the initiator says that the run has started."""
    slot = record.lead.slot
    return 0 < open_offer(slot) == slot.started and record.lead.run == record.run


def going(record: JobRecord) -> bool:
    """Tell whether the run goes on rightly: it has started, all hold their slots, all approved."""
    offer = open_offer(record.lead.slot)
    return (
        is_started(record)
        and record.holding
        and record.ticket == offer
        and all_admitted(record, offer)
        and agreed(record)
    )


def admit(turn: Turn) -> None:
    """Ask for a slot, offer, start."""
    record = turn.record
    if turn.halted() is not None or not agreed(record):
        return
    if record.drives:
        _lead(turn)
    else:
        _follow(turn)


def _lead(turn: Turn) -> None:
    record = turn.record
    slot = record.own.slot
    offer = open_offer(slot)
    if not offer:
        if not record.ticket and turn.now.monotonic >= record.marks.get("retry at", 0.0):
            turn.unmark("retry at")
            ask(turn, slot.offer + 1)
    elif slot.started < offer and all_admitted(record, offer):
        turn.tell(slot=replace(slot, started=offer))
        turn.unmark("offered")


def _follow(turn: Turn) -> None:
    record = turn.record
    if record.lead.run != record.run:
        return
    offer = open_offer(record.lead.slot)
    if record.ticket and record.ticket != offer:
        release(turn)
        record = turn.record
    mine = record.own.slot
    if offer and not record.ticket:
        if mine.released >= offer:
            if record.lead.slot.started == offer:
                turn.stop(PEER_LOST, party=record.initiator)
        elif mine.admitted < offer:
            ask(turn, offer)


def ask(turn: Turn, offer: int, *, held: bool = False) -> None:
    """Ask the node's queue for the slot of an offer."""
    record = turn.record
    turn.set(ticket=offer, holding=held)
    turn.give(
        Enqueue(
            offer=offer,
            role="initiator" if record.drives else "host",
            initiator=record.initiator,
            priority=record.options.priority,
            held=held,
        )
    )


def release(turn: Turn) -> None:
    """Give the slot back or leave the queue."""
    if turn.record.ticket:
        turn.give(Release(turn.record.ticket))
        turn.set(ticket=0, holding=False)
        turn.unmark("offered", "held")


def on_admitted(turn: Turn, event: Admitted) -> None:
    """Take the slot; one that is not wanted any more goes straight back."""
    record = turn.record
    if record.ticket != event.offer:
        turn.give(Release(event.offer))
        return
    if record.holding:
        return
    turn.set(holding=True)
    slot = record.own.slot
    if record.drives:
        turn.tell(slot=replace(slot, offer=event.offer))
        turn.mark("offered", again=True)
    else:
        turn.tell(slot=replace(slot, admitted=event.offer))
        turn.mark("held", again=True)


def tick(turn: Turn, silent: float) -> None:
    """Withdraw an offer that was not taken up; leave one that nobody follows up.

    ``silent`` is for how long the initiator has said nothing.
    """
    record = turn.record
    times = turn.rules.times
    if not record.holding:
        return
    if record.drives:
        slot = record.own.slot
        waits = open_offer(slot) and slot.started < slot.offer
        if waits:
            turn.mark("offered")
        if waits and turn.since("offered") >= times.offer:
            turn.tell(slot=replace(slot, withdrawn=slot.offer))
            release(turn)
            pause = turn.now.monotonic + backoff(record.id, slot.offer, times)
            turn.set(marks={**turn.record.marks, "retry at": pause})
        return
    if record.lead.slot.started >= record.ticket:
        return
    turn.mark("held")
    if silent >= record.options.peer_seconds or turn.since("held") >= times.host:
        turn.tell(slot=replace(record.own.slot, released=record.ticket))
        release(turn)

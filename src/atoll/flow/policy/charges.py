"""What a step really revealed, in the units of the caps, from what its channel counted."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from atoll.core.exposure import EVERYONE, OPENED_SUMS, ROWS, Exposure
from atoll.core.names import party_of
from atoll.flow.policy.counts import NAMES, Counts
from atoll.flow.policy.exposure import seats_in
from atoll.jobs.plan import Plan


def charged(
    plan: Plan,
    step: str,
    most: Counts,
    reveals: Iterable[Mapping[str, Any]] | None,
    partner: str,
) -> Counts:
    """Return what one attempt of a step sent ``partner``, at any of its seats.

    ``most`` is what the plan allows: it counts where nothing shows how much of it was used.
    ``reveals`` are this party's disclosures (sender, receiver, message, field, elements), None
    where no one knows (a lost worker): then all that the plan allows counts.
    """
    if reveals is None:
        return most
    every = [line for line in reveals if line["elements"]]
    revealed = [line for line in every if party_of(str(line["receiver"])) == partner]
    if not revealed:
        return _passed_on(plan, step, most, every, partner)
    sent: dict[tuple[str, str], int] = {}
    for line in revealed:
        key = (str(line["message"]), str(line["field"]))
        sent[key] = sent.get(key, 0) + int(line["elements"])
    to = {*_roles(plan, step, {partner}), EVERYONE}
    declared = tuple(entry for entry in plan.exposure.get(step, ()) if entry.receiver in to)
    own = _senders(plan, step, revealed)
    used = {unit: _used(unit, getattr(most, unit), declared, sent, own) for unit in NAMES}
    return Counts.rounded(used)


def _roles(plan: Plan, step: str, parties: Container[str]) -> set[str]:
    return {seat.role.value for seat in seats_in(plan, step) if seat.party in parties}


def _senders(plan: Plan, step: str, lines: Iterable[Mapping[str, Any]]) -> set[str]:
    parties = {party_of(str(line["sender"])) for line in lines if "sender" in line}
    return _roles(plan, step, parties)


def _passed_on(
    plan: Plan, step: str, most: Counts, sent: list[Mapping[str, Any]], partner: str
) -> Counts:
    """Return what a partner that was sent nothing gets of it by way of a third role.

    Where that is declared: a host, of other hosts' columns, from the guest's questions, or from a
    guest that puts ids of its own choice to one host and what it learned to another; a client, of
    other clients' rows, from the sum that the aggregator opens. What names no message is not in the
    own count, so all that the plan allows of it counts.
    """
    receivers = {party_of(str(line["receiver"])) for line in sent}
    between = any(partner in plan.peers_of(step, receiver) for receiver in receivers)
    own = _senders(plan, step, sent)
    theirs = {*_roles(plan, step, {partner}), EVERYONE}
    units = {
        entry.unit
        for entry in plan.exposure.get(step, ())
        if between and entry.receiver in theirs and (entry.sender not in own or not entry.message)
    }
    return Counts.rounded({unit: getattr(most, unit) if unit in units else 0 for unit in NAMES})


def _counted(entry: Exposure, sent: Mapping[tuple[str, str], int], own: Container[str]) -> bool:
    """Whether this party's count of what it sent is the whole of an entry."""
    return bool(entry.message) and (entry.sender in own or (entry.message, entry.field) in sent)


def _used(
    unit: str,
    most: float,
    declared: tuple[Exposure, ...],
    sent: Mapping[tuple[str, str], int],
    own: Container[str],
) -> float:
    """Return how much of a unit an attempt used: by what was sent for each, else all."""
    entries = [entry for entry in declared if entry.unit == unit]
    # What the own role exposes is all in the own count. Who does not send what everyone exposes (a
    # host, of each tree) counts all that the plan allows.
    if entries and all(_counted(entry, sent, own) for entry in entries):
        found = sum(sent.get((entry.message, entry.field), 0) * entry.each for entry in entries)
        # What went beyond the plan went all the same; that trees end is sent like one that begins.
        return found if unit in (OPENED_SUMS, ROWS) or not most else min(most, found)
    # What travels for a sum (bytes of shares) is no count of its values: the declared amount is,
    # and at least as much as went where the plan states no entry, or that of code of others.
    loose = not entries or any(entry.sender == EVERYONE for entry in entries)
    if most and unit == OPENED_SUMS and loose:
        return max(most, sum(sent.values()))
    return most

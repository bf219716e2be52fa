"""What a step really revealed, in the units of the caps, from what its channel counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from atoll.core.exposure import EVERYONE, OPENED_SUMS, Exposure
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
    """Return what one attempt of a step sent ``partner``, at most ``most`` by the plan.

    ``reveals`` are this party's disclosures (sender, receiver, message, field, elements), None
    where no one knows (a lost worker): then all that the plan allows counts.
    """
    if reveals is None:
        return most
    revealed = [line for line in reveals if line["receiver"] == partner and line["elements"]]
    if not revealed:
        return Counts()
    sent: dict[tuple[str, str], int] = {}
    for line in revealed:
        key = (str(line["message"]), str(line["field"]))
        sent[key] = sent.get(key, 0) + int(line["elements"])
    roles = {seat.role.value for seat in seats_in(plan, step) if seat.party == partner}
    declared = tuple(
        entry for entry in plan.exposure.get(step, ()) if entry.receiver in {*roles, EVERYONE}
    )
    used = {unit: _used(unit, getattr(most, unit), declared, sent) for unit in NAMES}
    return Counts.rounded(used)


def _used(
    unit: str, most: float, declared: tuple[Exposure, ...], sent: Mapping[tuple[str, str], int]
) -> float:
    """Return how much of a unit an attempt used: by what was sent for each, else all."""
    entries = [entry for entry in declared if entry.unit == unit]
    # Who is not sent each of them (a host, of each tree) counts all that the plan allows.
    if entries and all((entry.message, entry.field) in sent for entry in entries):
        found = sum(sent[entry.message, entry.field] * entry.each for entry in entries)
        # Rows whose number was not known before are counted as they went.
        return min(most, found) if most else found
    if not most:
        return most
    return sum(sent.values()) if unit == OPENED_SUMS else most

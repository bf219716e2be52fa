"""Whom knowledge of a table may reach: along the steps, and between parties that communicate."""

from __future__ import annotations

from collections.abc import Mapping

from atoll.jobs.plan import Plan
from atoll.jobs.validation import order

Knowing = Mapping[str, frozenset[str]]
"""By step, in their order: the parties that may know something of a table in the end."""


def knowing(plan: Plan, party: str, reader: str) -> Knowing:
    """Return the steps that a party's table reaches, and who may know something of it there.

    Whoever communicates with one that knows, at any number of removes, may know too, whatever the
    messages state about themselves: a sum that someone forwards depends on what went into it.
    """
    found: dict[str, frozenset[str]] = {}
    for step in order(plan.job):
        before = [found[name] for name in plan.job.steps[step].sources() if name in found]
        if step == reader:
            before.append(frozenset({party}))
        if before:
            found[step] = _recipients(plan, step, frozenset[str]().union(*before))
    return found


def _recipients(plan: Plan, step: str, known: frozenset[str]) -> frozenset[str]:
    found, waiting = set(known), list(known)
    while waiting:
        for peer in plan.peers_of(step, waiting.pop()) - found:
            found.add(peer)
            waiting.append(peer)
    return frozenset(found)

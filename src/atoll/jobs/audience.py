"""Who is sent the facts of a job's tables, and so which steps of its plan each party sees.

Facts of a table go to the parties that take part in the step that brings it in, or in a step that
follows from it. A step is hidden from a party where it follows from a table that is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from atoll.jobs.definition import Job
from atoll.jobs.validation import order

T = TypeVar("T")
Audience = Mapping[str, tuple[str, ...]]
"""By step that brings tables in: the parties that are sent their facts, where not all are."""


def audience(
    job: Job, taking: Mapping[str, Collection[str]], bringing: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return who is sent the facts of the tables of each step of ``bringing``, where not all
    parties are.

    ``taking`` states by step which parties take part.
    """
    shown_to = {name: set(parties) for name, parties in taking.items()}
    for name in reversed(order(job)):
        for source in job.steps[name].sources():
            shown_to[source] |= shown_to[name]
    return {
        name: tuple(sorted(shown_to[name]))
        for name in sorted(bringing)
        if not shown_to[name] >= job.parties.keys()
    }


def shown(tables: Mapping[str, T], shown_to: Audience, party: str) -> dict[str, T]:
    """Return those of some steps' tables whose facts a party is sent."""
    return {step: facts for step, facts in tables.items() if party in shown_to.get(step, (party,))}


def hidden_steps(job: Job, shown_to: Audience, party: str) -> frozenset[str]:
    """Return the steps that a party does not see: they follow from a table not shown to it.

    Never one that it takes part in, nor any above such a one.
    """
    found: set[str] = set()
    for name in order(job) if shown_to else ():
        kept_from = name in shown_to and party not in shown_to[name]
        if kept_from or not found.isdisjoint(job.steps[name].sources()):
            found.add(name)
    return frozenset(found)

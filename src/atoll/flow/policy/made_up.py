"""What a partner may have computed here over made-up tables without anybody being asked. Pure.

Nothing of anybody is in such a job, so what it costs is time alone: that is bounded, by job, at
once and by day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from atoll.components.catalogue import CATALOGUE
from atoll.components.synthetic import NAME as SYNTHETIC
from atoll.components.union import UNION
from atoll.flow.estimating import estimated_seconds
from atoll.flow.planning import parameters_of, references
from atoll.jobs.plan import Plan
from atoll.jobs.validation import order

OVER = "ATL-POL-017"
DAY_SECONDS = 86400.0
# What every step counts at least for each cell of the made-up tables, of all parties together.
CELL_SECONDS = 1e-6


@dataclass(frozen=True)
class MadeUpLimits:
    """What one partner may have: ``seconds`` is the most that a job may take here by its plan.

    ``at_once`` are jobs that have not ended, ``per_day`` those of the last 24 hours.
    """

    seconds: float = 60.0
    at_once: int = 2
    per_day: int = 20


def uses_only_synthetic_data(plan: Plan, party: str) -> bool:
    """Return whether a plan uses no party's data: synthetic tables alone, and no own model."""
    job = plan.job
    used = {step for steps in plan.tables.values() for step in steps} | plan.audience.keys()
    return (
        bool(used)
        and all(job.steps[step].component == SYNTHETIC for step in used)
        and not references(job, parameters_of(plan, party), party)
    )


def most_seconds(plan: Plan, attempts: int) -> float:
    """Return about how long a plan may take here at most, with ``attempts`` of each step.

    Each step counts what its work is estimated at, and no less than a pass over all made-up cells,
    or over those that it is given.
    """
    made = _made(plan)
    least, given = sum(made.values()), _given(plan, made)
    estimated = estimated_seconds(plan)
    whole = sum(
        max(estimated.get(step, 0.0), max(least, given[step]) * CELL_SECONDS)
        for step in plan.job.steps
    )
    return whole * attempts


def _made(plan: Plan) -> dict[str, int]:
    """Return how many cells each step makes up, of all parties together."""
    found: dict[str, int] = {}
    for steps in plan.tables.values():
        for step, facts in steps.items():
            found[step] = found.get(step, 0) + facts.rows * (1 + len(facts.columns))
    return found


def _given(plan: Plan, made: Mapping[str, int]) -> dict[str, int]:
    """Return how many cells each step works on at most: a union, as many as all its inputs have."""
    found: dict[str, int] = {}
    for step in order(plan.job):
        definition = plan.job.steps[step]
        inputs = [found[source.partition(".")[0]] for source in definition.inputs.values()]
        many = sum(inputs) if definition.component == UNION.name else max(inputs, default=0)
        found[step] = max(many, made.get(step, 0))
    return found


def over(
    plan: Plan, limits: MadeUpLimits, attempts: int, unfinished: int, today: int
) -> str | None:
    """Return why a partner's job over made-up tables needs a person; None if it does not.

    ``unfinished`` and ``today`` are the partner's other jobs that were approved so.
    """
    others = {step.component for step in plan.job.steps.values()} - CATALOGUE.keys()
    if others:
        return f"nothing is known of the work of {min(others)}"
    seconds = most_seconds(plan, attempts)
    if seconds > limits.seconds:
        return f"it may take {seconds:.0f} seconds; {limits.seconds:g} need no approval"
    if unfinished >= limits.at_once:
        return f"{unfinished} such jobs of the partner have not ended"
    if today >= limits.per_day:
        return f"the partner had {today} such jobs in 24 hours"
    return None

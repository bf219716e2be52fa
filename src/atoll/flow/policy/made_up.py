"""What a partner may have computed here over made-up tables without anybody being asked. Pure.

Nothing of anybody is in such a job, so what it costs is time alone: that is bounded, by job, at
once and by day.
"""

from __future__ import annotations

from dataclasses import dataclass

from atoll.components.catalogue import CATALOGUE
from atoll.components.synthetic import NAME as SYNTHETIC
from atoll.flow.estimating import estimated_seconds
from atoll.flow.planning import parameters_of, references
from atoll.jobs.plan import Plan

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

    Each step counts what its work is estimated at, and no less than a pass over all made-up cells.
    """
    cells = sum(
        facts.rows * (1 + len(facts.columns))
        for steps in plan.tables.values()
        for facts in steps.values()
    )
    least = cells * CELL_SECONDS
    estimated = estimated_seconds(plan)
    whole = sum(max(estimated.get(step, 0.0), least) for step in plan.job.steps)
    return whole * attempts


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

"""About how long a plan takes, by the work that its steps declare: for people."""

from __future__ import annotations

from atoll.crypto.levels import simd_level
from atoll.jobs.plan import Plan

# Bytes a second of steps that declare no work: they do little more than send.
_PLAIN = 100e6
# Starting a task at both parties, and agreeing before the first.
STEP_SECONDS = 0.15
AGREEMENT_SECONDS = 0.3


def estimated_seconds(plan: Plan) -> dict[str, float]:
    """Return about how many seconds each step takes on machines like this one, network aside."""
    level = simd_level()
    found: dict[str, float] = {}
    for step, size in plan.estimated_bytes.items():
        works = plan.costs.get(step, ())
        taken = sum(work.at(level) for work in works) if works else size / _PLAIN
        found[step] = round(STEP_SECONDS + taken, 2)
    return found


def estimated_total(plan: Plan) -> float:
    """Return about how many seconds the whole job takes if its steps run one after the other."""
    return round(AGREEMENT_SECONDS + STEP_SECONDS + sum(estimated_seconds(plan).values()), 1)

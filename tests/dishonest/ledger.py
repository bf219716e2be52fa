"""What a liar got, held against what the ledger charges it and what a cap would have stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from atoll.flow.policy.charges import charged
from atoll.flow.policy.counts import Counts, total
from atoll.flow.policy.decision import CAP, PolicySettings, decide
from atoll.flow.policy.exposure import table_exposures
from atoll.flow.policy.grants import Grant, GrantLimits
from atoll.jobs.plan import Plan


def charge(plan: Plan, party: str, partner: str, sent: Iterable[Mapping[str, Any]]) -> Counts:
    """Return what the ledger of ``party`` charges ``partner`` after one attempt of each step.

    ``sent`` are the honest party's disclosures, each with its step (``Whole.sent``).
    """
    lines = list(sent)
    steps = {str(line["step"]) for line in lines}
    parts = []
    for exposure in table_exposures(plan, party).values():
        share = exposure.partners[partner]
        for step in sorted(steps & share.covered().keys()):
            most = share.steps.get(step, Counts())
            of_step = [line for line in lines if line["step"] == step]
            parts.append(charged(plan, step, most, of_step, partner))
    return total(parts)


def refused_below(plan: Plan, party: str, partner: str, unit: str, gained: float) -> None:
    """Check that a cap under what a liar gained refuses the plan before anything runs."""
    exposures = table_exposures(plan, party)
    cap = gained - 1 if unit != "epsilon" else gained / 2
    grants = [
        Grant(
            id=f"{number:016x}",
            data=table,
            partners=("*",),
            components=tuple(sorted({step.component for step in plan.job.steps.values()})),
            limits=GrantLimits.model_validate({unit: cap}),
            minimum_intersection=0,
            automatic=True,
        )
        for number, table in enumerate(sorted(exposures))
    ]
    decision = decide(plan, party, partner, grants, {}, 0.0, PolicySettings())
    assert (decision.kind, decision.code) == ("refuse", CAP), decision

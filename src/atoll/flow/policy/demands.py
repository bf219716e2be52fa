"""What a plan asks of a party's tables: columns, components, minimums, and how much is revealed.

Read off the signed plan alone, before anything runs; what a step really revealed is counted by
``reckoning`` when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from atoll.flow.policy.counts import Counts, total
from atoll.jobs.plan import Plan, TableFacts

RUN = Counts(runs=1)


@dataclass(frozen=True)
class Demand:
    """What a job would do with one table of this party.

    ``steps`` says how much each step reveals at most, by its name; ``reveals`` are (step, message)
    of what others may learn; ``uncounted`` are steps that reveal something in no known unit.
    """

    table: str
    digest: str
    columns: tuple[str, ...]
    components: frozenset[str] = frozenset()
    steps: Mapping[str, Counts] = field(default_factory=dict)
    reveals: frozenset[tuple[str, str]] = frozenset()
    minimums: frozenset[tuple[str, str, int]] = frozenset()
    uncounted: frozenset[str] = frozenset()

    @property
    def counts(self) -> Counts:
        """How much one run reveals at most."""
        return total(self.steps.values()) + RUN


def demands(plan: Plan, party: str) -> dict[str, Demand]:
    """Return what ``plan`` asks of ``party``'s tables, by the table's name."""
    found: dict[str, Demand] = {}
    reached = {step: _sources(plan, step) for step in plan.job.steps}
    for reader, facts in plan.tables.get(party, {}).items():
        steps = [step for step in plan.job.steps if reader in reached[step]]
        found[facts.name] = _join(found.get(facts.name), _demand(plan, party, facts, steps))
    return found


def revealing(plan: Plan, step: str) -> bool:
    """Say whether a step tells anybody anything, or talks at all."""
    return bool(plan.reveals.get(step)) or plan.trust_models.get(step, "local") != "local"


def _demand(plan: Plan, party: str, facts: TableFacts, steps: list[str]) -> Demand:
    telling = [step for step in steps if revealing(plan, step)]
    counted = {step: planned(plan, step) for step in telling}
    label = () if facts.label is None else (facts.label,)
    return Demand(
        table=facts.name,
        digest=facts.digest,
        columns=(*facts.columns, *(name for name in label if name not in facts.columns)),
        components=frozenset(plan.job.steps[step].component for step in telling),
        steps={step: counts for step, counts in counted.items() if counts is not None},
        reveals=frozenset(_told(plan, party, telling)),
        minimums=frozenset(_minimums(plan, telling)),
        uncounted=frozenset(step for step, counts in counted.items() if counts is None),
    )


def _join(one: Demand | None, other: Demand) -> Demand:
    """Put together two uses of one table in a job."""
    if one is None:
        return other
    return Demand(
        table=other.table,
        digest=other.digest,
        columns=tuple(dict.fromkeys((*one.columns, *other.columns))),
        components=one.components | other.components,
        steps={**one.steps, **other.steps},
        reveals=one.reveals | other.reveals,
        minimums=one.minimums | other.minimums,
        uncounted=one.uncounted | other.uncounted,
    )


def _sources(plan: Plan, step: str) -> frozenset[str]:
    """Return the steps whose outputs reach a step, itself among them."""
    found, waiting = set[str](), [step]
    while waiting:
        name = waiting.pop()
        if name not in found and name in plan.job.steps:
            found.add(name)
            waiting += [source.partition(".")[0] for source in plan.job.steps[name].inputs.values()]
    return frozenset(found)


def _told(plan: Plan, party: str, steps: list[str]) -> Iterator[tuple[str, str]]:
    """Give what others learn: all but what is for this party's role alone."""
    roles = plan.job.parties
    mine = roles[party].value
    alone = sum(role.value == mine for role in roles.values()) == 1
    for step in steps:
        for line in plan.reveals.get(step, ()):
            if not (alone and line["receiver"] == mine):
                yield step, line["message"]


def _minimums(plan: Plan, steps: list[str]) -> Iterator[tuple[str, str, int]]:
    for step in steps:
        for name, value in plan.minimums.get(step, {}).items():
            yield step, name, value


def _number(parameters: Mapping[str, Any], name: str) -> float:
    value = parameters.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def planned(plan: Plan, step: str) -> Counts | None:
    """Return how much one run of a step reveals at most; None in no unit that is known."""
    parameters = plan.parameters.get(step, {})
    epsilon = float(_number(parameters, "epsilon"))
    family = plan.implementations.get(step, "").partition(".")[0]
    if family == "psi":
        return Counts(psi_runs=1, epsilon=epsilon)
    if plan.implementations.get(step, "") == "boosting.score":
        # A row's path through the trees that it is scored with was charged when they were grown.
        return Counts(epsilon=epsilon)
    if family == "boosting":
        nodes = (1 << int(_number(parameters, "depth"))) - 1
        return Counts(tree_nodes=int(_number(parameters, "trees")) * nodes, epsilon=epsilon)
    opened = plan.job.steps[step].component in OPENED_SUMS
    if opened:
        return Counts(opened_sums=OPENED_SUMS[plan.job.steps[step].component], epsilon=epsilon)
    return Counts(epsilon=epsilon) if epsilon else None


OPENED_SUMS: Mapping[str, int] = {}
"""How many sums a run of a component opens at most, where it opens any."""

"""What a plan asks of a party's tables: columns, components, minimums, and how much is revealed.

Read off the signed plan alone, before anything runs; what a step really revealed is counted by
``reckoning`` when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from atoll.core.errors import InternalError
from atoll.core.reveal import evaluate
from atoll.flow.policy.counts import Counts, total
from atoll.jobs.plan import Plan, TableFacts

RUN = Counts(runs=1)


@dataclass(frozen=True)
class Demand:
    """What a job would do with one table of this party.

    ``steps`` says how much each step reveals at most, by its name; ``reveals`` are (step, message)
    of what others may learn; ``uncounted`` are steps that reveal something in no known unit;
    ``ungrouped`` those that may reveal sums and declare no minimum group.
    """

    table: str
    digest: str
    columns: tuple[str, ...]
    components: frozenset[str] = frozenset()
    steps: Mapping[str, Counts] = field(default_factory=dict)
    reveals: frozenset[tuple[str, str]] = frozenset()
    minimums: frozenset[tuple[str, str, int]] = frozenset()
    uncounted: frozenset[str] = frozenset()
    ungrouped: frozenset[str] = frozenset()

    @property
    def counts(self) -> Counts:
        """How much one run reveals at most."""
        return total(self.steps.values()) + RUN

    def covered(self) -> dict[str, Counts]:
        """Return the steps that reveal something, with how much; nothing where no unit counts."""
        return {**{step: Counts() for step in self.uncounted}, **self.steps}


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
        ungrouped=frozenset(
            step
            for step, counts in counted.items()
            if (counts is None or counts.tree_nodes or counts.opened_sums)
            and "group" not in plan.minimums.get(step, {})
        ),
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
        ungrouped=one.ungrouped | other.ungrouped,
    )


def _sources(plan: Plan, step: str) -> frozenset[str]:
    """Return the steps whose outputs reach a step, itself among them."""
    found, waiting = set[str](), [step]
    while waiting:
        name = waiting.pop()
        if name not in found and name in plan.job.steps:
            found.add(name)
            waiting += plan.job.steps[name].sources()
    return frozenset(found)


def _told(plan: Plan, party: str, steps: list[str]) -> Iterator[tuple[str, str]]:
    """Give what others learn: all but what is for this party alone."""
    for step in steps:
        receivers = [(seat.party, seat.role.value) for seat in plan.seats_of(step)]
        for line in plan.reveals.get(step, ()):
            if any(
                name != party and line["receiver"] in (role, "everyone") for name, role in receivers
            ):
                yield step, line["message"]


def _minimums(plan: Plan, steps: list[str]) -> Iterator[tuple[str, str, int]]:
    for step in steps:
        for name, value in plan.minimums.get(step, {}).items():
            yield step, name, value


def planned(plan: Plan, step: str) -> Counts | None:
    """Return how much one run of a step reveals at most; None if no unit counts it.

    By the name of its component, which no installed package can take; the name of an implementation
    is anybody's to choose. Other components are counted by their reveals where the sizes of these
    are plain numbers.
    """
    component = plan.job.steps[step].component if step in plan.job.steps else ""
    epsilon = Counts(epsilon=float(_most(plan, step, "epsilon")))
    if component in _BY_RUNS:
        return epsilon
    if component == "psi":
        return epsilon + Counts(psi_runs=1)
    if component == "boosting":
        trees = int(_most(plan, step, "trees"))
        return epsilon + Counts(tree_nodes=trees * nodes_of_tree(plan, step))
    sums = _fixed_size(plan, step)
    if sums is None:
        return epsilon if epsilon else None
    return epsilon + Counts(opened_sums=sums)


def nodes_of_tree(plan: Plan, step: str) -> int:
    """Return the inner nodes of a whole tree, each of which has its sums revealed."""
    return (1 << min(62, int(_most(plan, step, "depth")))) - 1


# What these reveal belongs to the rows of one run (who is scored, who is sampled): runs count it.
_BY_RUNS = frozenset({"prediction", "sample"})


def _most(plan: Plan, step: str, name: str) -> float:
    """Return the largest value that a parameter has at any party, 0 where it is no number."""
    sets = [plan.parameters.get(step, {}), *plan.party_parameters.get(step, {}).values()]
    values = [entry.get(name) for entry in sets]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return max(0, *numbers, 0)


def _fixed_size(plan: Plan, step: str) -> int | None:
    """Return the elements that a step reveals, if the plan says so in plain numbers."""
    try:
        return sum(int(evaluate(line["size"], {})) for line in plan.reveals.get(step, ()))
    except InternalError:
        return None

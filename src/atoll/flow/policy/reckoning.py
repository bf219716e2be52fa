"""What a step really revealed, in the units of the caps, from what its channel counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from atoll.flow.policy.counts import Counts
from atoll.flow.policy.demand import nodes_of_tree, planned
from atoll.jobs.plan import Plan

_TREE_BEGINS = ("boosting.tree", "more")


def reckon(
    plan: Plan, step: str, reveals: Iterable[Mapping[str, Any]] | None, partner: str
) -> Counts:
    """Return what one attempt of a step told ``partner``.

    ``reveals`` are this party's disclosures (sender, receiver, message, field, elements), None
    where nobody knows (a lost worker): then all that the plan allows counts.
    """
    most = planned(plan, step) or Counts()
    if reveals is None:
        return most
    told = [line for line in reveals if line["receiver"] == partner and line["elements"]]
    if not told:
        return Counts()
    return Counts(
        psi_runs=most.psi_runs,
        tree_nodes=_nodes(plan, step, most, told),
        opened_sums=sum(int(line["elements"]) for line in told) if most.opened_sums else 0,
        epsilon=most.epsilon,
    )


def _nodes(plan: Plan, step: str, most: Counts, told: list[Mapping[str, Any]]) -> int:
    """Count the trees that were begun, where this party announced them (the guest); else all."""
    begun = [line for line in told if (line["message"], line["field"]) == _TREE_BEGINS]
    if not most.tree_nodes or not begun:
        return most.tree_nodes
    # One more announcement ends the run, or never came where it broke off: none is taken off.
    trees = sum(int(line["elements"]) for line in begun)
    return min(most.tree_nodes, trees * nodes_of_tree(plan, step))

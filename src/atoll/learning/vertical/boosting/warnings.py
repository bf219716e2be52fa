"""What a plan must warn of, from what was measured about the algorithm."""

from __future__ import annotations

import functools
import json
import math
from importlib import resources
from typing import Any

from atoll.learning.vertical.boosting.exposure import (
    MOST_ROWS,
    bits_per_sum,
    inner_nodes,
    opened_cuts,
    readable_bits,
    readable_rows,
)
from atoll.learning.vertical.boosting.grow import REFUSALS
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.refusals import most_partitions

ROWS_PER_TREE = 50
SMALL_K = 20


@functools.cache
def measured() -> dict[str, Any]:
    """Return the figures of the attacks in ``audit``, as measured and stored beside the code."""
    text = (
        resources.files("atoll.learning.vertical.boosting")
        .joinpath("measured.json")
        .read_text(encoding="utf-8")
    )
    whole: dict[str, Any] = json.loads(text)
    return whole


def plan_warnings(parameters: BoostingParameters, rows: int, columns: int) -> list[str]:
    """Return the sentences that a person must read before approving a run on so many rows.

    ``columns`` are those of the host that has most.
    """
    lines = []
    k = parameters.minimum_rows
    if rows < ROWS_PER_TREE * parameters.trees and parameters.host_noise == 0.0:
        lines.append(_reconstruction(parameters, rows))
    if k == 0:
        lines.append(
            "minimum_rows is 0: hosts send the sums of all cuts, also over single rows, which "
            "show the order of the hosts' columns."
        )
    elif k < SMALL_K:
        lines.append(f"minimum_rows is {k}: sums over as few as {k} rows leave the hosts.")
    if parameters.leaf_rows < SMALL_K:
        lines.append(
            f"leaves may hold as few as {parameters.leaf_rows} rows: hosts see which rows share "
            "a node and can guess that these share a label."
        )
    if parameters.implementation == "ideal":
        lines.append("the ideal implementation shows every gradient to the hosts: tests only.")
    if most_partitions(parameters) > 1:
        lines.append(_refusals(parameters))
    if parameters.host_noise > 0.0:
        lines.append(
            "with host_noise a dishonest host's false sums end no job where noise could have made "
            f"them: it sees one choice among these for each question, up to {1 + REFUSALS} for "
            "each node."
        )
    if parameters.early_stopping_rounds:
        lines.append(
            "with early_stopping_rounds a dishonest host chooses the sides of the validation rows, "
            f"and sees by the number of trees which of up to {parameters.trees} cases their labels "
            "are, in each run."
        )
    lines.append(_swapped_rows(parameters))
    lines.append(_chosen_weights(parameters, rows, columns))
    return lines


def _swapped_rows(parameters: BoostingParameters) -> str:
    """State what a host reads off the exact test of the rows that it announces."""
    nodes = parameters.trees * inner_nodes(parameters.depth) * most_partitions(parameters)
    found = measured()["swapped_rows"]
    point = found["points"][0]
    return (
        "a dishonest host can announce other rows than those of its cut: if their labels add up to "
        "the same, the job goes on, else it ends with the host's name. That is one equation "
        "between labels of its choice for each of its cuts that is asked for, up to "
        f"{nodes:,} a run; host_noise does not weaken it. Measured on {found['data']}: "
        f"{point['labels']} labels after {point['jobs']} jobs of one tree, of which "
        f"{point['jobs_ended']} ended."
    )


def _refusals(parameters: BoostingParameters) -> str:
    causes = {
        "minimum_class_rows": parameters.minimum_class_rows > 0,
        "host_noise": parameters.host_noise > 0.0,
        "minimum_leaf_rows": parameters.leaf_rows > max(parameters.minimum_rows, 1),
    }
    named = " and ".join(name for name, there in causes.items() if there)
    return (
        f"with {named} an honest guest refuses partitions, so that hosts cannot tell each false "
        f"refusal: a dishonest guest sees up to {REFUSALS} more whole cuts of each node."
    )


def _chosen_weights(parameters: BoostingParameters, rows: int, columns: int) -> str:
    """State how much a guest reads that chooses its gradients."""
    a_sum, in_tree = bits_per_sum(parameters, rows), readable_rows(parameters, rows or MOST_ROWS)
    figures = _measured(parameters, rows)
    cuts, bits = opened_cuts(parameters, rows, columns), readable_bits(parameters, rows, columns)
    known = f"{in_tree:,} of {rows:,} rows" if rows else f"{in_tree:,} rows"
    trees = -(-rows // in_tree) if rows else 0
    every = f", and all of them in {trees:,} trees" if 0 < trees <= parameters.trees else ""
    each = f"{a_sum[0]}" if a_sum[0] == a_sum[1] else f"{a_sum[0]} (of g) or {a_sum[1]} (of h)"
    return (
        "row minimums bind an honest guest only. A dishonest one can choose its gradients so that "
        f"sums show it which rows lie left of a cut: {each} bits each at 2^31 steps of search. "
        f"Under this plan that is at most {bits:,} bits of each host ({2 * cuts:,} opened sums, "
        "the unit of caps). By powers of two a bit is a row: in each tree the sides of "
        f"{known} for each cut that leaves{every}. {_nested(parameters)} {figures} "
        "Only the shared mode, which is not there yet, withstands this."
    )


def _nested(parameters: BoostingParameters) -> str:
    """Quote what was measured where one bit shows the side of more than one row."""
    points = measured()["nested_cuts"]["points"]
    near = min(
        points,
        key=lambda p: (abs(math.log(p["bins"] / parameters.bins)), -p["rows_per_sum"]),
    )
    return (
        "Cuts of one column contain each other, so that other weights show more rows there: with "
        f"{near['bins']} bins {near['rows_per_sum']} rows for each sum, in 2^{near['steps']} steps."
    )


def _measured(parameters: BoostingParameters, rows: int) -> str:
    """Quote the nearest point that was measured, and the nearest one with noise."""
    points = measured()["chosen_weights"]["points"]

    def far(point: dict[str, Any]) -> tuple[float, int]:
        return (
            abs(math.log(point["rows"] / max(rows, 1))),
            abs(point["trees"] - parameters.trees),
        )

    def quoted(point: dict[str, Any]) -> str:
        noise = f" and host_noise {point['noise']:g}" if point["noise"] else ""
        return (
            f"{point['trees']} trees of depth {point['depth']} with k = {point['k']}{noise} gave "
            f"{100 * point['bits']:.1f} % of all bits of {point['rows']:,} rows"
        )

    clear = min((p for p in points if not p["noise"] and p["depth"] > 1), key=far)
    noisy = min((p for p in points if p["noise"]), key=far)
    return f"Measured: {quoted(clear)}, {quoted(noisy)}."


def _reconstruction(parameters: BoostingParameters, rows: int) -> str:
    attack = measured()["reconstruction"]
    clear = [point for point in attack["points"] if point["noise"] == 0.0]
    nearest = min(
        clear,
        key=lambda point: (
            abs(point["trees"] - parameters.trees),
            abs(point["k"] - parameters.minimum_rows),
        ),
    )
    noisy = min(
        (point for point in attack["points"] if point["noise"] > 0.0),
        key=lambda point: (abs(point["trees"] - parameters.trees), -point["noise"]),
    )
    return (
        f"{rows} rows are fewer than {ROWS_PER_TREE} for each of {parameters.trees} trees: the "
        "sums that the guest sees are linear equations from which it can work out the hosts' "
        f"binned columns. On {attack['data']} with k = {nearest['k']}, {nearest['trees']} trees "
        f"gave back {100 * nearest['bits']:.1f} % of the host's bits "
        f"({100 * attack['guessing']:.0f} % by guessing); with host_noise {noisy['noise']:g} and "
        f"{noisy['trees']} trees it was {100 * noisy['bits']:.1f} %. Use fewer trees or noise."
    )

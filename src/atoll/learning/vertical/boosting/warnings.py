"""What a plan must warn of, from what was measured about the algorithm."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from atoll.learning.vertical.boosting.parameters import BoostingParameters

ROWS_PER_TREE = 50
SMALL_K = 20


@functools.cache
def measured() -> dict[str, Any]:
    """Return the figures of the reconstruction attack, as measured and stored beside the code."""
    text = (
        resources.files("atoll.learning.vertical.boosting")
        .joinpath("measured.json")
        .read_text(encoding="utf-8")
    )
    whole: dict[str, Any] = json.loads(text)
    return whole


def plan_warnings(parameters: BoostingParameters, rows: int) -> list[str]:
    """Return the sentences that a person must read before approving a run on so many rows."""
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
    lines.append(
        "row minimums bind an honest guest only: a dishonest one can choose its gradients so that "
        "sums single out rows."
    )
    return lines


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

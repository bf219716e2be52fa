"""What the attacks on boosting give: the figures of ``measured.json`` beside the algorithm.

``python -m atoll.audit.figures [NAME …]`` measures all of them, or those that are named, on the
breast-cancer table and on a seeded one, and prints one JSON object.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.audit import chosen_weights, nested_cuts, probing, swapped_rows
from atoll.audit.boosting import measure
from atoll.learning.vertical.boosting.parameters import BoostingParameters

Floats = npt.NDArray[np.float64]
CANCER = "breast cancer (569 rows)"


@functools.cache
def cancer() -> tuple[Floats, Floats, Floats]:
    """Return 10 columns of the guest, 20 of the host, and the label."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer()
    return table.data[:, :10], table.data[:, 10:], table.target.astype(np.float64)


def seeded(rows: int = 5_000, columns: int = 8) -> Floats:
    """Return a host's columns of a table that is made."""
    return np.random.default_rng(12).normal(size=(rows, columns))


def reconstruction() -> dict[str, Any]:
    """Measure the attack of an honest guest that looks at its sums."""
    settings = [(trees, 20, 0.0) for trees in (5, 10, 20, 30, 60, 100)]
    settings += [(20, k, 0.0) for k in (0, 5, 50)]
    settings += [(trees, 20, noise) for trees in (20, 60) for noise in (1.0, 4.0)]
    points, guessing = [], 0.0
    for trees, k, noise in settings:
        found = measure(*cancer(), trees, k, noise)
        guessing = found.guessing if (k, noise) == (20, 0.0) else guessing
        points.append({"trees": trees, "k": k, "noise": noise, "bits": round(found.bits, 4)})
        sys.stderr.write(f"{points[-1]} guessing {found.guessing:.4f}\n")
    return {"data": CANCER, "guessing": round(guessing, 4), "points": points}


def weights_point(host: Floats, trees: int, depth: int, k: int, noise: float) -> dict[str, Any]:
    """Measure the guest that chooses its gradients, with as many levels as give it most."""
    parameters = BoostingParameters(
        trees=trees, depth=depth, minimum_rows=k, host_noise=noise, implementation="ideal"
    )
    runs = [
        chosen_weights.attack(host, parameters, levels=levels) for levels in range(1, depth + 1)
    ]
    best = max(runs, key=lambda run: run.read)
    return {
        "rows": len(host),
        "trees": trees,
        "depth": depth,
        "k": k,
        "noise": noise,
        "bits": round(best.read / best.total, 4),
        "wrong": round(best.wrong / best.total, 4),
        "of": best.total,
        "opened_sums": best.sums,
    }


def weights() -> dict[str, Any]:
    """Measure the guest that chooses powers of two, on both tables."""
    host, large = cancer()[1], seeded()
    settings = [(host, 1, 1, 20, 0.0), (host, 3, 3, 20, 0.0), (host, 5, 3, 20, 0.0)]
    settings += [(host, 1, 3, 0, 0.0), (host, 3, 3, 20, 1.0), (host, 3, 3, 20, 4.0)]
    settings += [(host, 10, 3, 20, 4.0)]
    settings += [(large, 5, 3, 20, 0.0), (large, 20, 3, 20, 0.0), (large, 20, 3, 20, 4.0)]
    points = []
    for setting in settings:
        points.append(weights_point(*setting))
        sys.stderr.write(f"{points[-1]}\n")
    return {"data": f"{CANCER} and 5,000 seeded rows", "points": points}


def refused_point(host: Floats, trees: int, noise: float) -> dict[str, Any]:
    """Measure the guest that asks for whole cuts and adopts none of them."""
    parameters = BoostingParameters(trees=trees, host_noise=noise, implementation="ideal")
    found = chosen_weights.attack(host, parameters, levels=3, refuse=True)
    return {
        "rows": len(host),
        "trees": trees,
        "depth": 3,
        "noise": noise,
        "bits": found.partition_bits,
        "ended": found.ended,
    }


def refused() -> dict[str, Any]:
    """Measure the guest that refuses at will, where hosts can judge it and where they cannot."""
    host = cancer()[1]
    return {"data": CANCER, "points": [refused_point(host, 3, noise) for noise in (0.0, 1.0)]}


def false_sums() -> dict[str, Any]:
    """Measure the host that sends false sums to learn about labels."""
    one = BoostingParameters(trees=1, depth=1, implementation="ideal")
    asked = probing.by_question(*cancer(), BoostingParameters(trees=1, implementation="ideal"))
    return {
        "data": CANCER,
        "sums_tried": 2 * probing.STEPS,
        "outcomes": probing.by_range(*cancer(), one),
        "jobs_ended": asked.jobs,
        "cuts": asked.cuts,
        "codes": sorted(set(asked.codes)),
        "positives": list(asked.candidates),
    }


def nested_point(bins: int, k: int, weighted: int, budget: int) -> dict[str, Any]:
    """Measure the guest that weighs rows at random, over the cuts of one column."""
    parameters = BoostingParameters(
        trees=1, depth=1, minimum_rows=k, bins=bins, implementation="ideal"
    )
    found = nested_cuts.attack(seeded()[:, 0], parameters, weighted, 1 << budget)
    return {
        "rows": len(seeded()),
        "bins": bins,
        "k": k,
        "weighted": weighted,
        "budget": budget,
        "cuts": found.cuts,
        "wrong": found.wrong,
        "rows_per_sum": int(found.rows_per_sum),
        "steps": math.ceil(math.log2(found.steps)),
    }


def nested() -> dict[str, Any]:
    """Measure that guest with few bins and with as many as there may be."""
    settings = [(32, 20, 100, 18), (32, 20, 160, 20), (254, 10, 500, 18)]
    return {"data": "5,000 seeded rows", "points": [nested_point(*given) for given in settings]}


def noisy_sums() -> dict[str, Any]:
    """Measure the host that sends false sums which its noise could have made."""
    parameters = BoostingParameters(trees=1, depth=1, host_noise=4.0, implementation="ideal")
    found = probing.within_noise(*cancer(), parameters)
    return {
        "data": CANCER,
        "noise": parameters.host_noise,
        "jobs_ended": found.jobs,
        "cuts": found.cuts,
        "positives": list(found.candidates),
    }


def swapped_point(noise: float, jobs: int) -> dict[str, Any]:
    """Measure the host that announces other rows than those of its sums, on few positives."""
    rng = np.random.default_rng(4)
    label = (rng.random(600) < 0.07).astype(np.float64)
    columns = rng.normal(size=(600, 4)) + 1.2 * label[:, np.newaxis]
    parameters = BoostingParameters(trees=1, host_noise=noise, implementation="ideal")
    own = [int(np.argmin(label))]
    found = swapped_rows.attack(columns[:, :1], columns[:, 1:], label, parameters, jobs, own=own)
    return {
        "noise": noise,
        "jobs": found.jobs,
        "jobs_ended": found.ended,
        "labels": found.labels,
        "wrong": found.wrong,
    }


def swapped() -> dict[str, Any]:
    """Measure that host without and with noise."""
    points = [swapped_point(noise, jobs) for noise, jobs in ((0.0, 60), (4.0, 20))]
    return {"data": "600 seeded rows, 7 % of them positive", "points": points}


FIGURES: dict[str, Callable[[], dict[str, Any]]] = {
    "reconstruction": reconstruction,
    "chosen_weights": weights,
    "nested_cuts": nested,
    "refused_partitions": refused,
    "false_sums": false_sums,
    "false_sums_within_noise": noisy_sums,
    "swapped_rows": swapped,
}


def main(names: list[str]) -> None:
    """Measure what is named, or everything, and print it."""
    found = {name: FIGURES[name]() for name in names or FIGURES}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

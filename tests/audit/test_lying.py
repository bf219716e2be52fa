"""The attacks of parties that lie: a few of the figures that plans quote, measured again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from atoll.audit import chosen_weights, figures, probing
from atoll.learning.vertical.boosting.exposure import BITS_PER_SUM, readable_bits
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.warnings import measured, plan_warnings

POINTS = [p for p in measured()["chosen_weights"]["points"] if p["rows"] == 569]


@pytest.mark.parametrize("point", POINTS, ids=lambda p: f"{p['trees']}-{p['depth']}-{p['noise']}")
def test_the_figures_of_chosen_weights_are_measured(point: dict[str, Any]) -> None:
    host = figures.cancer()[1]
    found = figures.weights_point(host, *(point[key] for key in ("trees", "depth", "k", "noise")))
    assert found == point
    parameters = BoostingParameters(
        trees=point["trees"],
        depth=point["depth"],
        minimum_rows=point["k"],
        host_noise=point["noise"],
    )
    most = readable_bits(parameters, *host.shape)
    assert found["bits"] * found["of"] <= most + 1


NESTED = [p for p in measured()["nested_cuts"]["points"] if p["budget"] < 20]


@pytest.mark.parametrize("point", NESTED, ids=lambda p: f"{p['bins']}-{p['budget']}")
def test_the_figures_of_nested_cuts_are_measured(point: dict[str, Any]) -> None:
    found = figures.nested_point(*(point[key] for key in ("bins", "k", "weighted", "budget")))
    assert found == point
    # More rows than bits, but no more bits: of each row its place between the cuts.
    assert found["rows_per_sum"] > BITS_PER_SUM
    place = math.log2(found["cuts"] + 1) / found["cuts"]
    assert found["rows_per_sum"] * place < BITS_PER_SUM


def test_the_figures_of_refused_partitions_are_measured() -> None:
    kept = measured()["refused_partitions"]["points"]
    assert [
        figures.refused_point(figures.cancer()[1], p["trees"], p["noise"]) for p in kept
    ] == kept


def test_the_figures_of_false_sums_are_measured() -> None:
    kept = measured()["false_sums"]
    label = figures.cancer()[2]
    one = BoostingParameters(trees=1, implementation="ideal")
    found = probing.by_question(*figures.cancer(), one)
    assert (found.jobs, found.cuts, list(found.candidates)) == (
        kept["jobs_ended"],
        kept["cuts"],
        kept["positives"],
    )
    assert int(label.sum()) in found.candidates
    flat = one.model_copy(update={"depth": 1})
    assert probing.by_range(*figures.cancer(), flat, steps=4) == kept["outcomes"] == 1


def test_the_figures_of_false_sums_within_noise_are_measured() -> None:
    assert figures.noisy_sums() == measured()["false_sums_within_noise"]


@pytest.mark.parametrize("point", measured()["swapped_rows"]["points"], ids=lambda p: p["noise"])
def test_the_figures_of_swapped_rows_are_measured(point: dict[str, Any]) -> None:
    assert figures.swapped_point(point["noise"], point["jobs"]) == point


def test_what_is_read_is_true_and_noise_can_spoil_it() -> None:
    host = np.random.default_rng(1).normal(size=(120, 3))
    calm = BoostingParameters(trees=1, depth=1, minimum_rows=5, implementation="ideal")
    found = chosen_weights.attack(host, calm)
    assert (found.read, found.wrong) == (found.total, 0)
    shifts: list[int] = []
    for noise in (1.0, 4.0):
        noisy = calm.model_copy(update={"host_noise": noise})
        spoilt = chosen_weights.attack(host, noisy)
        assert 0 < spoilt.read < found.read
        shifts.append(spoilt.read)
    assert shifts[1] < shifts[0]


def test_the_plan_states_the_rate_and_what_was_measured() -> None:
    (line,) = [w for w in plan_warnings(BoostingParameters(trees=5), 569, 20) if "powers" in w]
    # Two sums of 62 rows at each of four nodes.
    assert "496 of 569 rows" in line
    assert "all of them in 2 trees" in line
    assert "5 trees of depth 3 with k = 20 gave 100.0 % of all bits of 569 rows" in line
    (noisy,) = [
        w for w in plan_warnings(BoostingParameters(host_noise=4.0), 569, 20) if "powers" in w
    ]
    assert "48 (of g) or 50 (of h) bits each" in noisy
    lines = plan_warnings(BoostingParameters(minimum_class_rows=5), 569, 20)
    assert any("with minimum_class_rows" in w and "3 more whole cuts" in w for w in lines)

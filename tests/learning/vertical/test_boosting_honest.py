"""Honest runs against what plans say and hosts judge: none is ended, none exceeds its bound."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.exposure import OPENED_SUMS, ROWS, TREE_NODES
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, exposure
from atoll.learning.vertical.boosting.exposure import bits_per_sum, opened_cuts
from atoll.learning.vertical.boosting.refusals import decidable, judge, most_partitions
from tests.learning.vertical import play

GUEST, HOST = play.NAMES[:2]
PARAMETERS = st.builds(
    BoostingParameters,
    trees=st.integers(1, 3),
    depth=st.integers(1, 4),
    bins=st.integers(2, 12),
    minimum_rows=st.integers(0, 12),
    minimum_leaf_rows=st.none() | st.integers(0, 40),
    minimum_class_rows=st.sampled_from([0, 0, 3, 15]),
    minimum_child_weight=st.sampled_from([0.0, 1.0, 4.0]),
    reg_lambda=st.sampled_from([0.0, 1.0]),
    gamma=st.sampled_from([0.0, 0.5]),
    row_sample=st.sampled_from([1.0, 0.6]),
    column_sample=st.sampled_from([1.0, 0.5]),
    host_noise=st.sampled_from([0.0, 0.0, 0.7]),
    implementation=st.just("ideal"),
)


def exposed(
    inputs: dict[str, BoostingInputs], parameters: BoostingParameters, held_out: int
) -> dict[str, tuple[float, float]]:
    """Return, by unit, what hosts sent the guest in a run, and what the plan declared at most."""
    ran = play.play(inputs, parameters)
    guest = ran.results[GUEST].history
    refused = sum(record.refused for record in guest.trees)
    hosts = [ran.results[name].history for name in inputs if name != GUEST]
    assert refused == sum(record.refused for history in hosts for record in history.trees)
    assert refused == 0 or most_partitions(parameters) > 1 or not decidable(parameters)
    assert not any(record.left_out for record in guest.trees)
    found: dict[str, tuple[float, float]] = {}
    for host in inputs.keys() - {GUEST}:
        rows, columns = inputs[host].features.shape
        sent = play.disclosed(ran, host, GUEST)
        for entry in exposure(parameters, rows, columns, held_out):
            if entry.sender == "host":
                used, most = found.get(entry.unit, (0, 0))
                used += entry.each * sent.get((entry.message, entry.field), 0)
                found[entry.unit] = used, most + entry.amount
    return found


@given(
    rows=st.integers(40, 160),
    columns=st.integers(2, 7),
    seed=st.integers(0, 10**6),
    held_out=st.sampled_from([0, 9]),
    missing=st.sampled_from([0.0, 0.2]),
    parameters=PARAMETERS,
)
def test_an_honest_run_is_never_ended_and_stays_within_its_plan(
    rows: int,
    columns: int,
    seed: int,
    held_out: int,
    missing: float,
    parameters: BoostingParameters,
) -> None:
    x, y = play.table(rows + held_out, columns, seed, missing)
    y[:2] = 0.0, 1.0
    inputs = play.share(x, y, play.NAMES[: 2 + seed % 2], held_out)
    for unit, (used, most) in exposed(inputs, parameters, held_out).items():
        # A partition is sent in whole bytes. What sums go beyond, a channel does not let pass.
        spare = 0 if unit == OPENED_SUMS else 7 * (parameters.trees << parameters.depth) * (1 + 3)
        assert used <= most + spare


def test_refusals_are_honest_where_the_leaf_minimum_exceeds_k() -> None:
    x, y = play.table(300, 9, 3)
    strict = BoostingParameters(
        trees=4, minimum_rows=2, minimum_leaf_rows=60, implementation="ideal"
    )
    assert decidable(strict)
    ran = play.play(play.share(x, y, play.NAMES[:2]), strict)
    assert sum(record.refused for record in ran.results[GUEST].history.trees) > 0


@pytest.mark.parametrize(
    ("more", "left", "right", "ends"),
    [
        ({}, 20, 20, True),
        ({}, 19, 80, False),
        ({"minimum_leaf_rows": 30}, 29, 90, False),
        ({"minimum_leaf_rows": 30}, 30, 90, True),
        ({"minimum_class_rows": 1}, 50, 50, False),
        ({"host_noise": 0.5}, 50, 50, False),
    ],
)
def test_a_host_judges_what_it_can_know(
    more: dict[str, float], left: int, right: int, ends: bool
) -> None:
    parameters = BoostingParameters.model_validate(more)
    if ends:
        with pytest.raises(Exception, match="no reason"):
            judge(parameters, left, right)
    else:
        judge(parameters, left, right)


def test_the_exposure_of_the_defaults_is_what_the_formula_says() -> None:
    parameters = BoostingParameters(trees=10, depth=3, bins=32, minimum_rows=20)
    # 569 rows allow 28 cuts of a column on each level, and as many twins for missing rows.
    assert opened_cuts(parameters, 569, 20) == 10 * 20 * 3 * 2 * 28
    # Of many rows the bins decide: 1, 1 and 2 summed nodes with 32 cuts and 31 twins each.
    assert opened_cuts(parameters, 10**6, 20) == 10 * 20 * 4 * 63
    sampled = parameters.model_copy(update={"column_sample": 0.5})
    assert opened_cuts(sampled, 10**6, 20) == 10 * 10 * 4 * 63
    amounts = {e.unit: e.amount for e in exposure(parameters, 569, 20) if e.sender != "guest"}
    assert amounts == {
        TREE_NODES: 70,
        OPENED_SUMS: 2 * opened_cuts(parameters, 569, 20),
        # 72 bytes hold 569 rows, and each node of a level may begin one more.
        ROWS: 10 * 8 * (73 + 74 + 76),
    }
    refusing = parameters.model_copy(update={"minimum_class_rows": 5})
    bits = [e.amount for e in exposure(refusing, 569, 20) if e.message == "boosting.left"]
    assert bits == [4 * 10 * 8 * (73 + 74 + 76)]


def test_noise_drowns_only_the_low_bits() -> None:
    calm, noisy = BoostingParameters(), BoostingParameters(host_noise=4.0)
    assert bits_per_sum(calm, 569) == (62, 62)
    sigma = 4 << 12
    assert bits_per_sum(noisy, 569) == (62 - int(math.log2(sigma)), 62 - int(math.log2(sigma / 4)))

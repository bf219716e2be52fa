"""The pieces by themselves: loss, gain, samples, bounds, parameters, warnings, declared cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.vertical.boosting import COST, BoostingParameters, plan_warnings
from atoll.learning.vertical.boosting.checks import node_bound, noise_bound, noise_sigmas
from atoll.learning.vertical.boosting.columns import LeafRules, OwnColumns, Values
from atoll.learning.vertical.boosting.gain import Objective
from atoll.learning.vertical.boosting.grow import Sample, TreeNode, small_first
from atoll.learning.vertical.boosting.loss import base_margin, gradients, log_loss, scale_bits
from atoll.learning.vertical.boosting.sampling import sample_columns, sample_rows
from atoll.learning.vertical.boosting.warnings import measured
from atoll.operators.cost import HEADER_BYTES
from atoll.privacy.discrete_gaussian import DiscreteGaussian
from tests.learning.vertical import play


def test_scale_fits_sums_in_32_bits() -> None:
    assert [scale_bits(n) for n in (1, 1 << 19, (1 << 19) + 1, 1 << 25)] == [12, 12, 11, 6]
    for rows in (1, 1000, 1 << 20, 1 << 27):
        assert rows << scale_bits(rows) <= 1 << 31


@given(st.lists(st.tuples(st.floats(-40, 40), st.booleans()), min_size=1, max_size=30))
def test_gradients_are_the_derivatives_of_the_loss(rows: list[tuple[float, bool]]) -> None:
    margin = np.array([m for m, _ in rows])
    label = np.array([float(y) for _, y in rows])
    g, h = gradients(margin, label, 12)
    assert np.abs(g).max() <= 1 << 12
    assert h.min() >= 0
    assert h.max() <= 1 << 10
    step = 1e-4
    for at, (m, y) in enumerate(rows):
        one = np.array([float(y)])
        low, mid, high = (log_loss(np.array([m + s]), one) for s in (-step, 0.0, step))
        assert abs((high - low) / (2 * step) - g[at] / 4096) < 2e-4
        assert abs((high - 2 * mid + low) / step**2 - h[at] / 4096) < 2e-3


def test_base_margin() -> None:
    label = np.array([1.0, 0.0, 0.0, 0.0])
    assert base_margin(label, "half") == 0.0
    assert math.isclose(base_margin(label, "mean"), math.log(1 / 3))


INTEGERS = st.integers(-(1 << 20), 1 << 20)
WEIGHTS = st.integers(0, 1 << 20)


@given(st.lists(st.tuples(INTEGERS, WEIGHTS), max_size=20), INTEGERS, WEIGHTS, st.floats(0, 5))
def test_gain_is_what_two_leaves_save(
    left: list[tuple[int, int]], g: int, h: int, penalty: float
) -> None:
    objective = Objective(2.0**-12, penalty, 0.5, 1.0, 1.0)
    gl = np.array([a for a, _ in left], dtype=np.int64)
    hl = np.array([b for _, b in left], dtype=np.int64)
    found = objective.gains(gl, hl, g, h)
    for at, (a, b) in enumerate(left):
        if min(b, h - b) < 4096:
            assert found[at] == -np.inf
            continue

        def saved(x: int, y: int) -> float:
            """Return twice the loss that a leaf of the best weight saves."""
            weight = objective.weight(x, y)
            return -2 * (x / 4096 * weight + (y / 4096 + penalty) * weight**2 / 2)

        want = saved(a, b) + saved(g - a, h - b) - saved(g, h)
        if want >= 0.5 + 1e-6 * abs(want) + 1e-6:
            assert math.isclose(found[at], want, rel_tol=1e-6, abs_tol=1e-6)
        elif want < 0.5 - 1e-6 * abs(saved(g, h)) - 1e-6:
            assert found[at] == -np.inf


def test_light_leaves_weigh_nothing() -> None:
    objective = Objective(2.0**-12, 0.0, 0.0, 0.0, 0.3)
    assert objective.weight(5, 0) == 0.0
    assert objective.weight(-4096, 4096) == 0.3
    assert Objective(2.0**-12, 1.0, 0.0, 1.0, 0.3).weight(-4096, 4095) == 0.0


def test_samples_are_sorted_and_fresh_per_tree() -> None:
    public = PublicRandom(bytes(32))
    rows = [sample_rows(public, "boost", tree, 100, 0.3) for tree in (0, 1)]
    assert all(len(found) == 30 and (np.diff(found.astype(int)) > 0).all() for found in rows)
    assert not np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], sample_rows(PublicRandom(bytes(32)), "boost", 0, 100, 0.3))
    assert not np.array_equal(rows[0], sample_rows(public, "again", 0, 100, 0.3))
    one, other = (sample_columns(seed * 32, 0, 40, 0.5) for seed in (b"a", b"b"))
    assert not np.array_equal(one, other)
    assert len(sample_columns(b"a" * 32, 0, 3, 0.01)) == 1
    assert len(sample_columns(b"a" * 32, 0, 0, 0.5)) == 0
    assert np.array_equal(sample_rows(public, "boost", 0, 5, 1.0), np.arange(5))


@given(st.integers(1, 60), st.integers(0, 1 << 30))
def test_places_divide_with_their_samples(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample = Sample(np.flatnonzero(rng.random(rows) < 0.5).astype(np.uint32), rows)
    root = TreeNode(
        0, 0, np.arange(rows, dtype=np.uint32), np.arange(len(sample.rows), dtype=np.uint32)
    )
    side = rng.random(rows) < 0.4
    left, right = root.divide(side, sample)
    assert (left.number, right.number, left.depth) == (1, 2, 1)
    assert sorted([*left.rows, *right.rows]) == list(range(rows))
    assert [r for r in left.rows if sample.inside[r]] == list(sample.rows[left.summed])
    small, large = small_first(left, right)
    assert len(small.summed) <= len(large.summed)
    if len(left.summed) == len(right.summed):
        assert small is left


def test_own_histograms_are_exact() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, size=(2, 50)).astype(np.uint8)
    g, h = (rng.integers(low, 1 << 40, 50) for low in (-(1 << 40), 0))
    ones = rng.integers(0, 2, 50)
    own = OwnColumns(codes, np.array([3, 3]), np.array([True, True]), 4, count_ones=True)
    rows = np.flatnonzero(rng.random(50) < 0.7).astype(np.uint32)
    values = Values(g, h, ones)
    found = own.histogram(rows, values)
    for column in range(2):
        for code in range(4):
            here = rows[codes[column][rows] == code]
            sums = [int(v[here].sum()) for v in (g, h)]
            assert found[:, column, code].tolist() == [*sums, len(here), int(ones[here].sum())]
    total = values.total(rows)
    left_g, _, fits = own.offers(found, total, LeafRules(1, 0))
    for key in range(len(own.table)):
        column, cut, missing_left = own.table.meaning(key)
        side = (codes[column] <= cut) | ((codes[column] == 3) & missing_left)
        left = rows[side[rows]]
        assert left_g[key] == g[left].sum()
        assert fits[key] == (0 < len(left) < len(rows))


def test_the_noise_bound_holds_and_is_not_idle() -> None:
    assert noise_bound(0, 9) == 0
    drawn = DiscreteGaussian(40, SecretRandom.seeded(3)).sample(40_000).reshape(4, -1).sum(axis=0)
    assert np.abs(drawn).max() < noise_bound(40, 3) < 6 * np.abs(drawn).max()
    with_noise = BoostingParameters(host_noise=1.5)
    assert noise_sigmas(with_noise, 12) == (6144, 1536)
    assert noise_sigmas(BoostingParameters(), 12) == (0, 0)


def test_decryption_ranges_come_from_public_sizes() -> None:
    bound = node_bound(100, 7, 10, (0, 0))
    assert (bound.g_low, bound.g_high, bound.h_low, bound.h_high) == (-102400, 102400, 0, 25600)
    wide = node_bound(100, 7, 10, (4, 1))
    assert wide.g_high - bound.g_high == noise_bound(4, 0)
    assert wide.h_low == -noise_bound(1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trees": 0},
        {"depth": 11},
        {"bins": 255},
        {"learning_rate": 0.0},
        {"minimum_rows": -1},
        {"row_sample": 1.01},
        {"implementation": "paillier"},
        {"trees": 4096, "depth": 10},
        {"gama": 1.0},
        {"host_noise": -1.0},
    ],
)
def test_parameters_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BoostingParameters(**wrong)


def test_parameters_explain_themselves_and_have_a_digest() -> None:
    schema = BoostingParameters.model_json_schema()["properties"]
    assert all(field["description"] for field in schema.values())
    defaults = BoostingParameters()
    assert defaults.leaf_rows == defaults.minimum_rows == 20
    assert BoostingParameters(minimum_rows=0).leaf_rows == 1
    digests = {BoostingParameters(trees=trees).digest() for trees in (20, 21)}
    assert len(digests) == 2
    assert defaults.digest() in digests


def test_the_plan_warns_of_what_was_measured() -> None:
    few = plan_warnings(BoostingParameters(trees=30), 569, 20)
    point = next(p for p in measured()["reconstruction"]["points"] if p["trees"] == 30)
    assert any(f"{100 * point['bits']:.1f} %" in line and "569 rows" in line for line in few)
    many = plan_warnings(BoostingParameters(), 100_000, 20)
    assert not any("binned columns" in line for line in many)
    assert any("honest guest" in line for line in many)
    none, three = (plan_warnings(BoostingParameters(minimum_rows=k), 10**6, 20) for k in (0, 3))
    assert any("minimum_rows is 0" in line for line in none)
    assert any("as few as 3" in line for line in three)


def test_declared_cost_is_what_the_counters_say() -> None:
    x, y = play.table(470, 12, 4)
    parameters = BoostingParameters(trees=4, depth=4, minimum_rows=8, implementation="ideal")
    ran = play.play(play.share(x, y, play.NAMES[:3], 50), parameters)
    channel = ran.world.channels[play.NAMES[0]]
    for host in play.NAMES[1:3]:
        values = ran.results[play.NAMES[0]].history.observed[host]
        ways = (("guest", "host"), ("host", "guest"))
        to_host, to_guest = (COST.sent(*way, values) for way in ways)
        traffic = [
            entry
            for (peer, _, tag), entry in channel.counters.snapshot().items()
            if peer == host and not tag.startswith(("histogram/", "score"))
        ]
        for way, (size, messages) in (("sent", to_host), ("received", to_guest)):
            assert sum(getattr(t, f"messages_{way}") for t in traffic) == messages
            counted = sum(getattr(t, f"bytes_{way}") for t in traffic)
            assert 0 <= counted - size <= messages * HEADER_BYTES
        # One more round for scoring.
        assert channel.counters.total(peer=host).rounds == COST.waits(values) + 1
        assert COST.waits(values) <= parameters.trees * (3 * parameters.depth)

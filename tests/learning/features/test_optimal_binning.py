"""Optimal bins against FATE's printed ones, plain references, and limits that always hold."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import UserError
from atoll.learning.features import cut_points, woe
from atoll.learning.features.optimal_binning import Merged, OptimalParameters, optimal
from atoll.learning.features.woe import WoeRule

Ints = npt.NDArray[np.int64]
METHODS = ["chi_square", "iv", "gini", "ks"]
counted = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=25).map(
    lambda rows: np.array(rows, dtype=np.int64)
)


def merged(counts: Any, method: str = "chi_square", **more: Any) -> Merged:
    return optimal(np.array(counts), OptimalParameters(method=method, **more))  # type: ignore[arg-type]


def test_fates_printed_split() -> None:
    folder = os.environ.get("ATOLL_DATA")
    if folder is None:
        pytest.skip("needs ATOLL_DATA")
    with (Path(folder) / "fate" / "breast_hetero_guest.csv").open() as file:
        rows = list(csv.DictReader(file))
    column = np.array([float(row["x0"]) for row in rows])
    points = cut_points.quantile_points(column, 1000)
    codes = np.searchsorted(cut_points.thresholds(points), column, side="right")
    counts = woe.count(codes, np.array([int(row["y"]) for row in rows]), len(points))
    found = merged(counts, "ks", convention="fate")
    ends = points[np.append(found.starts[1:], len(points)) - 1]
    assert ends.tolist() == [-0.283535, -0.132365, 0.103709, 0.403979, 4.094189]
    value = woe.information_value(found.counts, WoeRule(convention="fate"))
    assert value == pytest.approx(6.701468, abs=1e-6)
    # Cutting the fullest bin first finds more than halves after halves do.
    exact = merged(counts, "ks")
    assert woe.information_value(exact.counts) > woe.information_value(found.counts)
    assert (exact.unmixed, exact.small) == (0, 0)


def test_the_likest_neighbours_are_joined_first() -> None:
    counts = [[40, 10], [38, 12], [10, 40], [25, 25]]
    for method in ("chi_square", "iv", "gini"):
        found = merged(counts, method, most_bins=3)
        assert found.starts.tolist() == [0, 2, 3]
        assert found.counts.tolist() == [[78, 22], [10, 40], [25, 25]]


def chi_square(left: Ints, right: Ints) -> float:
    table = np.stack([left, right])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float((np.square(table - expected) / expected).sum())


def lost(left: Ints, right: Ints, totals: Ints) -> float:
    def of(held: Ints) -> float:
        share = held / totals
        return float((share[1] - share[0]) * np.log(share[1] / share[0]))

    return of(left) + of(right) - of(left + right)


def impurity(left: Ints, right: Ints) -> float:
    def of(held: Ints) -> float:
        return float(held.sum() - np.square(held).sum() / held.sum())

    return of(left + right) - of(left) - of(right)


@given(counted, st.sampled_from(["chi_square", "iv", "gini"]))
def test_pairs_are_joined_in_the_order_of_a_plain_reference(counts: Ints, method: str) -> None:
    held = list(counts + 1)
    totals = np.sum(held, axis=0)
    by = {"chi_square": chi_square, "iv": lambda a, b: lost(a, b, totals), "gini": impurity}[method]
    found = merged(held, method, most_bins=4, least_share=0)
    while len(held) > 4:
        scores = [by(*pair) for pair in itertools.pairwise(held)]
        ordered = sorted(scores)
        if ordered[1] - ordered[0] < 1e-9:  # which of equals is first is a matter of rounding
            return
        at = int(np.argmin(scores))
        held[at : at + 2] = [held[at] + held[at + 1]]
    assert found.counts.tolist() == [bins.tolist() for bins in held]


@given(
    counted,
    st.sampled_from(METHODS),
    st.sampled_from(["exact", "fate"]),
    st.sampled_from([(2, 0.0), (5, 0.1), (10, 0.05)]),
    st.booleans(),
)
def test_limits_hold(
    counts: Ints, method: str, convention: str, limits: tuple[int, float], mixed: bool
) -> None:
    most, share = limits
    found = merged(
        counts, method, convention=convention, most_bins=most, least_share=share, mixed=mixed
    )
    assert found.starts[0] == 0
    assert (np.diff(found.starts) > 0).all()
    assert len(found.starts) <= most
    assert found.counts.tolist() == np.add.reduceat(counts, found.starts, axis=0).tolist()
    assert found.unmixed == sum(0 in pair for pair in found.counts.tolist())
    # FATE cuts in the middle where no cut keeps to the limits.
    if len(found.counts) > 1 and not (method == "ks" and convention == "fate"):
        assert (found.counts.sum(axis=1) >= share * counts.sum() - 1e-9).all()
        assert found.small == 0
        assert not (mixed and found.unmixed)


@pytest.mark.parametrize("method", METHODS[:3])
def test_no_bin_is_joined_beyond_the_greatest_share(method: str) -> None:
    counts = np.full((20, 2), 5)
    found = merged(counts, method, most_bins=5, most_share=0.25)
    assert found.counts.sum(axis=1).max() <= 50
    # An initial bin that is too large already stays, and keeps others from joining it.
    uneven = np.array([[1, 1], [40, 40], [1, 1], [4, 4], [4, 4]])
    found = merged(uneven, method, most_bins=2, most_share=0.5, least_share=0.3)
    assert found.starts.tolist() == [0, 1, 2]
    assert found.small == 2


def test_splits_take_the_cut_of_the_greatest_distance() -> None:
    counts = [[9, 1], [8, 2], [1, 9], [2, 8]]
    assert merged(counts, "ks", most_bins=2).starts.tolist() == [0, 2]
    # Nothing tells the classes apart, or there is one class: there is one bin.
    assert merged([[5, 5], [5, 5], [5, 5]], "ks").starts.tolist() == [0]
    assert merged([[5, 0], [5, 0]], "ks").starts.tolist() == [0]
    assert merged([[5, 5], [5, 5], [5, 5]], "ks", convention="fate").starts.tolist() == [0, 2]


def test_one_class_leaves_one_bin() -> None:
    found = merged([[3, 0], [2, 0], [4, 0]])
    assert found.counts.tolist() == [[9, 0]]
    assert found.unmixed == 1


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="so few bins"):
        OptimalParameters(most_bins=4, most_share=0.2)
    with pytest.raises(ValueError, match="above the greatest"):
        OptimalParameters(least_share=0.3, most_share=0.2)
    with pytest.raises(UserError, match="ATL-FEA-001"):
        merged([[1, -1]])

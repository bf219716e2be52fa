"""Weights of evidence against FATE's printed numbers, and what holds for all counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import UserError
from atoll.learning.features import woe
from atoll.learning.features.woe import WoeRule

Ints = npt.NDArray[np.int64]
EVENTS = [57, 57, 55, 55, 56, 41, 31, 5, 0, 0]
OTHERS = [0, 0, 2, 2, 2, 16, 25, 52, 57, 56]
BREAST = np.array([OTHERS, EVENTS]).T
PRINTED = [
    *[-4.223783, -4.223783, -2.793036, -2.793036, -2.811055],
    *[-0.419834, 0.306038, 2.862955, 5.266082, 5.248537],
]
FATE = WoeRule(convention="fate")
PLAIN = WoeRule(smoothing=0)

counted = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12).map(
    lambda rows: np.array(rows, dtype=np.int64)
)


def test_fates_printed_numbers_in_both_directions() -> None:
    older = WoeRule(convention="fate", direction="non-event")
    assert woe.weights(BREAST, older) == pytest.approx(PRINTED, abs=1e-6)
    assert woe.weights(BREAST, FATE) == pytest.approx([-value for value in PRINTED], abs=1e-6)
    for rule in (older, FATE):
        assert woe.information_value(BREAST, rule) == pytest.approx(6.063551, abs=1e-6)


def test_a_small_table_by_hand() -> None:
    counts = np.array([[1, 3], [3, 1]])
    assert woe.weights(counts, PLAIN) == pytest.approx([np.log(3), -np.log(3)])
    assert woe.information_value(counts, PLAIN) == pytest.approx(np.log(3))
    assert woe.weights(counts) == pytest.approx([np.log(3.5 / 1.5), -np.log(3.5 / 1.5)])
    with_empty = np.array([[1, 3], [0, 0], [3, 1]])
    assert woe.weights(with_empty)[1] == 0
    assert woe.information_value(with_empty) == woe.information_value(counts)
    assert np.isinf(woe.weights(np.array([[0, 3], [3, 1]]), PLAIN)[0])
    # FATE smooths an empty bin, too, and adds it to the value.
    assert woe.weights(np.array([[1, 3], [0, 0], [3, 3]]), FATE)[1] == pytest.approx(np.log(4 / 6))


@given(counted)
def test_the_value_is_no_less_than_zero_and_the_same_in_both_directions(counts: Ints) -> None:
    turned = WoeRule(direction="non-event")
    assert woe.information_value(counts) >= 0
    assert woe.parts(counts) == pytest.approx(woe.parts(counts, turned))
    assert woe.weights(counts) == pytest.approx(-woe.weights(counts, turned))
    assert woe.weights(counts[:, ::-1]) == pytest.approx(-woe.weights(counts))


@given(counted)
def test_bins_that_are_joined_lose_information(counts: Ints) -> None:
    mixed = counts + 1
    joined = np.add.reduceat(mixed, np.arange(0, len(mixed), 2), axis=0)
    whole = woe.information_value(mixed, PLAIN)
    assert woe.information_value(joined, PLAIN) <= whole + 1e-12


def test_several_classes_are_each_against_the_rest() -> None:
    counts = np.array([[5, 1, 2], [1, 7, 0]])
    found = woe.one_against_rest(counts)
    assert found.shape == (3, 2, 2)
    for label in range(3):
        rest = counts.sum(axis=1) - counts[:, label]
        assert found[label].tolist() == np.stack([rest, counts[:, label]], axis=1).tolist()
    assert woe.information_value(found).shape == (3,)
    two = woe.one_against_rest(BREAST)
    assert woe.weights(two[1]) == pytest.approx(woe.weights(BREAST))


def test_turns_count_changes_of_direction() -> None:
    assert woe.turns(BREAST, FATE) == 3
    assert woe.turns(np.array([[9, 1], [0, 0], [5, 5], [5, 5], [1, 9]])) == 0
    assert woe.turns(np.array([[9, 1], [1, 9], [5, 5], [1, 9]])) == 2
    assert woe.turns(np.array([[1, 1]])) == 0


def test_rows_are_counted_by_bin_and_class() -> None:
    codes, classes = np.array([0, 2, 2, 0], np.uint8), np.array([1, 0, 1, 1])
    assert woe.count(codes, classes, 4).tolist() == [[0, 2], [0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    "wrong", [np.array([1, 2]), np.ones((3, 3), int), np.ones((0, 2), int), np.array([[1, -1]])]
)
def test_what_is_no_count_is_refused(wrong: Ints) -> None:
    with pytest.raises(UserError, match="ATL-FEA-001"):
        woe.weights(wrong)

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.features.sampling import at_random, size_of, stratified

Floats = npt.NDArray[np.float64]

labels = st.lists(st.integers(0, 4), min_size=100, max_size=180).map(
    lambda values: np.array(values, dtype=np.float64)
)


@given(st.integers(1, 200), st.floats(0.001, 1))
def test_a_share_keeps_at_least_one_row(rows: int, fraction: float) -> None:
    assert size_of(rows, fraction, None) == min(max(round(rows * fraction), 1), rows)


@given(st.integers(1, 100), st.data())
def test_positions_are_ascending_and_of_the_asked_number(rows: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, rows))
    found = at_random(rows, kept, PublicRandom(b"x").generator("s", 0, "sample"))
    assert len(found) == kept
    assert np.all(np.diff(found) > 0)
    assert 0 <= found[0] <= found[-1] < rows


@given(labels, st.data())
def test_a_count_is_spread_like_the_classes(label: Floats, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(label)))
    found = stratified(label, SecretRandom.seeded(3), count=count)
    assert len(found) == count
    assert np.all(np.diff(found) > 0)
    for value in np.unique(label):
        size = np.count_nonzero(label == value)
        got = np.count_nonzero(label[found] == value)
        assert abs(got - size * count / len(label)) < 1 + 1e-9


@given(labels, st.floats(0.01, 1))
def test_a_fraction_holds_in_each_class(label: Floats, fraction: float) -> None:
    found = stratified(label, SecretRandom.seeded(3), fraction=fraction)
    for value in np.unique(label):
        size = np.count_nonzero(label == value)
        assert abs(np.count_nonzero(label[found] == value) - size * fraction) < 1 + 1e-9


def test_rounding_shows_no_class_and_favours_none() -> None:
    """A share of a row, by fraction or count, goes to each class as often as it is large."""
    label = np.repeat([0.0, 1.0, 2.0], [120, 60, 20])
    secret = SecretRandom.seeded(5)
    for chosen in ({"fraction": 0.005}, {"count": 1}):
        drawn = [stratified(label, secret, **chosen) for _ in range(2000)]
        kept = np.concatenate([label[found] for found in drawn])
        shares = np.bincount(kept.astype(int), minlength=3) / 2000
        assert np.abs(shares - np.array([0.6, 0.3, 0.1])).max() < 0.06
    assert min(len(found) for found in drawn) == max(len(found) for found in drawn) == 1


def test_few_rows_are_not_drawn_from_by_class() -> None:
    with pytest.raises(AtollError, match="ATL-CMP-044"):
        stratified(np.zeros(99), SecretRandom.seeded(1), fraction=0.5)


def test_shares_hold_by_class_and_zero_leaves_one_out() -> None:
    label = np.repeat([0.0, 1.0, 2.0], [100, 50, 10])
    shares = [(0.0, 0.1), (1.0, 1.0), (2.0, 0.0)]
    found = label[stratified(label, SecretRandom.seeded(1), shares=shares)]
    assert [np.count_nonzero(found == value) for value in (0.0, 1.0, 2.0)] == [10, 50, 0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"count": 121}, "ATL-CMP-040"),
        ({"shares": [(0.0, 1.0)]}, "ATL-CMP-041"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], code: str) -> None:
    label = np.repeat([0.0, 1.0], 60)
    with pytest.raises(AtollError) as caught:
        stratified(label, SecretRandom.seeded(1), **changes)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_label_of_many_values_is_refused() -> None:
    with pytest.raises(AtollError) as caught:
        stratified(np.arange(101.0), SecretRandom.seeded(1), fraction=0.5)
    assert caught.value.code == "ATL-CMP-041"

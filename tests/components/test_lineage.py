"""Which sets of rows share a row for certain, against sets of numbers that were drawn."""

from __future__ import annotations

import random

import pytest

from atoll.components.lineage import Lineage


@pytest.mark.parametrize("seed", range(20))
def test_what_is_said_to_overlap_does(seed: int) -> None:
    draw = random.Random(seed)
    known: list[tuple[Lineage, frozenset[int]]] = []
    for at in range(3):
        rows = frozenset(draw.sample(range(30), 12))
        known.append((Lineage.of_source(f"table {at}"), rows))
    for at in range(12):
        if draw.random() < 0.6:
            lineage, rows = draw.choice(known)
            some = frozenset(draw.sample(sorted(rows), draw.randint(1, len(rows))))
            known.append((lineage.some(f"some {at}"), some))
        else:
            parts = draw.sample(known, draw.choice([1, 2, 3]))
            whole = frozenset().union(*(rows for _, rows in parts))
            known.append((Lineage.of_all(f"all {at}", [part for part, _ in parts]), whole))
    overlapping = [(a, b) for a in known for b in known if a[0].overlaps(b[0])]
    assert all(one & two for (_, one), (_, two) in overlapping)
    assert len(overlapping) > len(known)
    among = [(a, b) for a in known for b in known if a[0].among(b[0])]
    assert all(one <= two for (_, one), (_, two) in among)
    assert len(among) > len(known)
    assert all(two.overlaps(one) for (one, _), (two, _) in overlapping)


def test_rows_of_rows_and_of_a_union_are_followed() -> None:
    left, right = Lineage.of_source("left"), Lineage.of_source("right")
    half, both = left.some("half"), Lineage.of_all("both", [left, right])
    assert half.overlaps(left)
    assert half.overlaps(both)
    assert both.some("few").overlaps(both)
    # Half lies in the left table, which lies in both; what is left of both may lie in the other.
    assert not both.some("few").overlaps(left)
    assert not half.overlaps(right)
    assert not left.some("quarter").overlaps(half)
    # A piece of one is a piece of the union of the other, too.
    assert Lineage.of_all("more", [half, right]).overlaps(left)
    assert (both.whole, half.whole) == (True, False)
    assert not Lineage.of_all("more", [half, right]).whole
    assert Lineage.of_all("same", [half]) == half

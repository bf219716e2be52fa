"""The rule of k rows, against a direct reading of it; candidates; partitions on the wire."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import PeerError
from atoll.learning.vertical.boosting import bits
from atoll.learning.vertical.boosting.cuts import (
    CandidateTable,
    Sent,
    allowed,
    candidates,
    count_bins,
    goes_left,
)
from atoll.learning.vertical.boosting.sampling import candidate_order

Counts = npt.NDArray[np.int64]
SIZE = st.integers(0, 12)


@st.composite
def nodes(draw: st.DrawFn) -> tuple[Counts, Sent, int]:
    """Return counts of a node and its sibling, what the parent sent, and k."""
    width = draw(st.integers(3, 8))
    columns = draw(st.integers(1, 3))
    pair = draw(st.integers(1, 2))
    flat = draw(st.lists(SIZE, min_size=pair * columns * width, max_size=pair * columns * width))
    counts = np.array(flat, dtype=np.int64).reshape(pair, columns, width)
    bins = np.array(draw(st.lists(st.integers(1, width - 1), min_size=columns, max_size=columns)))
    for column, value_bins in enumerate(bins):
        counts[:, column, value_bins : width - 1] = 0
    has_missing = np.array([counts[:, column, -1].any() for column in range(columns)])
    every = candidates(bins, has_missing, width)
    gone = np.array(draw(st.lists(st.booleans(), min_size=width - 1, max_size=width - 1)))
    return counts, Sent(every.cut & ~gone, every.missing_left & ~gone), draw(st.integers(0, 10))


def directly(
    counts: Counts, cut: list[bool], missing_left: list[bool], k: int
) -> list[tuple[int, bool]]:
    """Read the rule literally for one column: counts is int64[m, width]."""
    missing = [int(c[-1]) for c in counts]
    fine = [[m == 0 or m >= k] for m in missing]
    apart = all(f[0] for f in fine) and any(missing) and any(missing_left)
    sent: list[tuple[int, bool]] = []
    last = [0] * len(counts)
    for c in range(counts.shape[1] - 1):
        left = [int(one[: c + 1].sum()) for one in counts]
        right = [int(one[c + 1 :].sum()) for one in counts]
        gap = [now - before for now, before in zip(left, last, strict=True)]
        groups = [left, right, gap]
        above = [r - m for r, m in zip(right, missing, strict=True)]
        fits = cut[c] and all(any(group) for group in groups)
        fits = fits and all(size == 0 or size >= k for group in groups for size in group)
        if apart:
            fits = fits and all(size == 0 or size >= k for size in above)
        if fits:
            sent.append((c, False))
            if apart and missing_left[c] and any(above):
                sent.append((c, True))
            last = left
    return sent


@given(nodes())
def test_the_rule_is_what_its_words_say(case: tuple[Counts, Sent, int]) -> None:
    counts, parent, k = case
    found = allowed(counts, parent, k)
    for column in range(counts.shape[1]):
        want = directly(
            counts[:, column], parent.cut[column].tolist(), parent.missing_left[column].tolist(), k
        )
        got = [(int(c), False) for c in np.flatnonzero(found.cut[column])]
        got += [(int(c), True) for c in np.flatnonzero(found.missing_left[column])]
        assert sorted(got) == sorted(want)


@given(nodes())
def test_no_difference_of_what_leaves_is_over_few_rows(case: tuple[Counts, Sent, int]) -> None:
    counts, parent, k = case
    found = allowed(counts, parent, k)
    for node in counts:
        for column in range(counts.shape[1]):
            cuts, missing_left = np.flatnonzero(found.cut[column]), found.missing_left[column].any()
            edges = [0, *(int(node[column, : c + 1].sum()) for c in cuts)]
            missing, values = int(node[column, -1]), int(node[column, :-1].sum())
            atoms = [int(size) for size in np.diff(edges)]
            if len(cuts):
                rest = values - edges[-1]
                atoms += [rest, missing] if missing_left else [rest + missing]
            assert all(size == 0 or size >= k for size in atoms)


def test_k_zero_withholds_only_what_tells_nothing_new() -> None:
    counts = np.array([[[3, 0, 2, 1, 0]]], dtype=np.int64)
    found = allowed(counts, candidates(np.array([4]), np.array([False]), 5), 0)
    assert found.cut.tolist() == [[True, False, True, False]]
    assert not found.missing_left.any()


def test_candidates_are_a_secret_permutation_fresh_per_tree() -> None:
    every = candidates(np.array([4, 3]), np.array([True, False]), 6)
    table = CandidateTable.of(every)
    count = len(table)
    assert count == 4 + 3 + 2
    orders = [candidate_order(bytes(32), tree, count).tolist() for tree in range(3)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    shuffled = CandidateTable.of(every, np.array(orders[0]))
    numbers = shuffled.candidates(every)
    assert numbers.tolist() == list(range(count))
    meanings = {shuffled.meaning(candidate) for candidate in numbers}
    assert meanings == {table.meaning(candidate) for candidate in range(count)}
    only = Sent(every.cut & (np.arange(5) == 1), np.zeros_like(every.missing_left))
    assert {shuffled.meaning(s) for s in shuffled.candidates(only)} == {
        (0, 1, False),
        (1, 1, False),
    }


@given(st.integers(1, 200), st.integers(0, 1 << 30))
def test_counts_and_sides(rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 5, size=(3, rows)).astype(np.uint8)
    some = np.flatnonzero(rng.random(rows) < 0.6).astype(np.uint32)
    counts = count_bins(codes, some, 5)
    assert counts.sum(axis=1).tolist() == [len(some)] * 3
    for cut in range(4):
        for missing_left in (False, True):
            left = goes_left(codes[1][some], cut, missing_left, 4)
            assert left.sum() == counts[1, : cut + 1].sum() + (counts[1, 4] if missing_left else 0)


@given(st.lists(st.lists(st.booleans(), max_size=40), max_size=5))
def test_partitions_survive_the_wire(sides: list[list[bool]]) -> None:
    data = bits.pack(np.array(side, dtype=np.bool_) for side in sides)
    found = bits.unpack(data, [len(side) for side in sides])
    assert [side.tolist() for side in found] == sides


def test_partitions_of_another_size_or_padding_are_refused() -> None:
    data = bits.pack([np.ones(11, dtype=np.bool_)])
    for wrong in (data[:-1], data + b"\0", b"", data[:-1] + b"\xff"):
        with pytest.raises(PeerError, match="ATL-BST-004"):
            bits.unpack(wrong, [11])

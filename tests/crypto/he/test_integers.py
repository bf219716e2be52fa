"""Signed numbers as rows of bytes, against Python's integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atoll.crypto.he.integers import from_rows, subtract, to_rows

MODULUS = (1 << 521) - 1
WIDTH = 66
INT64 = st.integers(-(2**63), 2**63 - 1)
RESIDUE = st.one_of(
    st.integers(0, MODULUS - 1),
    st.integers(0, 5).map(lambda k: MODULUS - 1 - k),
    st.integers(-5, 5).map(lambda k: MODULUS // 2 + k),
    st.integers(-5, 5).map(lambda k: (1 << 63) + k),
    st.integers(-5, 5).map(lambda k: MODULUS - (1 << 63) + k),
)


def rows(values: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    joined = b"".join(value.to_bytes(WIDTH, "little") for value in values)
    return np.frombuffer(joined, np.uint8).reshape(-1, WIDTH)


def numbers(found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in found]


@given(st.lists(INT64, max_size=9))
def test_numbers_come_back(values: list[int]) -> None:
    made = to_rows(np.array(values, np.int64), MODULUS, WIDTH)
    assert numbers(made) == [value % MODULUS for value in values]
    found, fits = from_rows(made, MODULUS)
    assert found.tolist() == values
    assert fits.all()


@given(st.lists(RESIDUE, min_size=1, max_size=9))
def test_what_does_not_fit_is_marked(residues: list[int]) -> None:
    found, fits = from_rows(rows(residues), MODULUS)
    centred = [r - MODULUS if r > MODULUS // 2 else r for r in residues]
    inside = [-(2**63) <= c < 2**63 for c in centred]
    assert fits.tolist() == inside
    assert found.tolist() == [c if ok else 0 for c, ok in zip(centred, inside, strict=True)]


@given(st.lists(st.tuples(RESIDUE, RESIDUE), min_size=1, max_size=9))
def test_differences(pairs: list[tuple[int, int]]) -> None:
    left, right = (rows([pair[at] for pair in pairs]) for at in range(2))
    assert numbers(subtract(left, right, MODULUS)) == [(a - b) % MODULUS for a, b in pairs]

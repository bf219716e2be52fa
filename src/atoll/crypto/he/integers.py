"""Signed numbers as rows of little-endian bytes below a modulus, many at once.

A negative number is its residue; what lies in the upper half of the residues is negative. Time
depends on shapes alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint32]


def to_rows(values: Int64, modulus: int, width: int) -> Rows:
    """Return int64[m] as uint8[m, width] below the modulus, which exceeds 2^64.

    Source: Knuth, The Art of Computer Programming, volume 2 (1997), section 4.3.1.
    """
    words = np.zeros((len(values), -(-width // 4)), np.uint32)
    words[:, :2] = np.ascontiguousarray(values, np.int64).view(np.uint32).reshape(-1, 2)
    negative = (values < 0)[:, None]
    words[:, 2:] = np.where(negative, np.uint32(0xFFFFFFFF), np.uint32(0))
    return _bytes(
        _sum(words, np.where(negative, _words(modulus, words.shape[1]), np.uint32(0))), width
    )


def from_rows(rows: Rows, modulus: int) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """Return uint8[m, width] below the modulus as int64[m], and bool[m]: it fits.

    What does not fit is returned as 0. Source: Knuth (1997), as for ``to_rows``.
    """
    width = -(-rows.shape[1] // 4)
    words = _from_bytes(rows, width)
    half = _words((modulus + 1) // 2, width)
    negative = _at_least(words, half)
    centred = _difference(words, np.where(negative[:, None], _words(modulus, width), np.uint32(0)))
    low = np.ascontiguousarray(centred[:, :2]).view(np.int64)[:, 0]
    sign = np.where(low < 0, np.uint32(0xFFFFFFFF), np.uint32(0))
    fits = (centred[:, 2:] == sign[:, None]).all(axis=1)
    return np.where(fits, low, 0), fits


def subtract(left: Rows, right: Rows, modulus: int) -> Rows:
    """Return left - right modulo the modulus, row by row: uint8[m, width], all below it.

    Source: Knuth (1997), as for ``to_rows``.
    """
    width = -(-left.shape[1] // 4)
    first, second = _from_bytes(left, width), _from_bytes(right, width)
    below = ~_at_least(first, second)
    back = np.where(below[:, None], _words(modulus, width), np.uint32(0))
    return _bytes(_sum(_difference(first, second), back), left.shape[1])


def _words(number: int, count: int) -> _Words:
    return np.frombuffer((number % (1 << (32 * count))).to_bytes(4 * count, "little"), np.uint32)


def _from_bytes(rows: Rows, count: int) -> _Words:
    padded = np.zeros((len(rows), 4 * count), np.uint8)
    padded[:, : rows.shape[1]] = rows
    return padded.view(np.uint32)


def _bytes(words: _Words, width: int) -> Rows:
    return np.ascontiguousarray(np.ascontiguousarray(words).view(np.uint8)[:, :width])


def _sum(left: _Words, right: _Words) -> _Words:
    """Return the sum modulo 2^(32 · words)."""
    total = np.empty(left.shape, np.uint32)
    over = np.zeros(len(left), np.uint64)
    for at in range(left.shape[1]):
        whole = left[:, at].astype(np.uint64) + right[:, at] + over
        total[:, at] = whole.astype(np.uint32)
        over = whole >> np.uint64(32)
    return total


def _difference(left: _Words, right: _Words) -> _Words:
    return _sum(_sum(left, ~np.broadcast_to(right, left.shape)), _one(left.shape))


def _one(shape: tuple[int, ...]) -> _Words:
    one = np.zeros(shape, np.uint32)
    one[:, 0] = 1
    return one


def _at_least(left: _Words, right: _Words) -> npt.NDArray[np.bool_]:
    """Return whether left >= right, row by row."""
    under = np.zeros(len(left), np.int64)
    other = np.broadcast_to(right, left.shape)
    for at in range(left.shape[1]):
        gap = left[:, at].astype(np.int64) - other[:, at].astype(np.int64) + under
        under = gap >> np.int64(63)
    return np.asarray(under == 0)

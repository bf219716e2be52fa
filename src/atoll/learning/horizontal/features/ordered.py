"""Doubles as integers of the same order, and cells that follow the mass of a column.

A double's key is its bits read as a signed integer: equal steps of keys are equal steps of relative
size, so cells over keys need no bounds of the column, and a cell that is cut by equal steps reaches
any double in few rounds. Keys are held as float64 where cells are cut, to 2^-42 of a value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# The key of infinity: finite doubles lie strictly between -TOP and TOP.
TOP = 0x7FF0 << 48
_MAGNITUDE = np.int64((1 << 63) - 1)
_USUAL = 2.0**32


def keys(values: Floats) -> Ints:
    """Return int64 keys of float64 values, shape as ``values``; both zeros have key 0."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    return np.where(bits >= 0, bits, -(bits & _MAGNITUDE))


def doubles(found: Ints) -> Floats:
    """Return the float64 values of int64 keys, shape as ``found``."""
    bits = np.abs(found)
    values = bits.view(np.float64)
    return np.where(found < 0, -values, values)


def initial_edges(count: int) -> Floats:
    """Return ``count`` ascending edges over all doubles, most of them at 2^-32 to 2^32 and minus.

    Zero has a cell of its own: it is the value that repeats most.
    """
    usual = keys(np.array([1 / _USUAL, _USUAL]))
    side = (count - 2) // 2
    near = np.linspace(usual[0], usual[1], side - side // 4)
    far = np.linspace(usual[1], TOP, side // 4 + 1)[1:]
    rest = np.full(count - 2 - 2 * side, usual[0] // 2)
    positive = np.rint(np.concatenate([near, far])).astype(np.int64)
    found = [-positive[::-1], [0, 1], positive, rest]
    return doubles(np.sort(_finite(np.concatenate(found))))


def equal_mass(edges: Floats, counts: Floats) -> Floats:
    """Return edges, float64[e], that cut the counted mass into equal parts, as far as is known.

    ``counts`` float64[e + 1] belong to the cells of ``edges`` float64[e], ascending. The mass of a
    cell counts as spread evenly over its keys. The ends of the mass and both edges of zero remain.
    """
    filled = np.flatnonzero(counts)
    if not len(filled):
        return edges
    bounds = _bounds(edges)
    kept = np.array([bounds[filled[0]], bounds[filled[-1] + 1], 0, 1])
    before = np.concatenate([[0.0], np.cumsum(counts)])
    free = len(edges) - len(kept)
    wanted = before[-1] * np.arange(1, free + 1) / (free + 1)
    cell = np.searchsorted(before, wanted, side="left") - 1
    share = (wanted - before[cell]) / counts[cell]
    found = _inside(bounds[cell], bounds[cell + 1], share)
    return doubles(np.sort(_finite(np.concatenate([kept, found]))))


def at_ends(edges: Floats, counts: Floats) -> Floats:
    """Return edges, float64[e], half of which cut the first filled cell and half the last one."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return edges
    bounds, half = _bounds(edges), len(edges) // 2
    found = []
    for cell, parts in ((filled[0], half), (filled[-1], len(edges) - half)):
        low, high = (np.full(parts, bounds[at]) for at in (cell, cell + 1))
        found.append(_inside(low, high, np.linspace(0, 1, parts)))
    return doubles(np.sort(_finite(np.concatenate(found))))


def _bounds(edges: Floats) -> Ints:
    """Return the keys between which the cells of some edges lie, int64[e + 2]."""
    return np.concatenate([[-TOP], keys(edges), [TOP]])


def _inside(low: Ints, high: Ints, share: Floats) -> Ints:
    """Return keys at a share of the way from low to high, never beyond either."""
    wide = high.astype(np.float64) - low.astype(np.float64)
    # A difference of keys fits int64 but for cells over nearly all doubles.
    narrow = wide < 2.0**61
    exact = np.where(narrow, high, low) - low
    near = low + np.rint(share * exact).astype(np.int64)
    far = np.rint(low + share * wide).astype(np.int64)
    return np.clip(np.where(narrow, near, far), low, high)


def _finite(found: Ints) -> Ints:
    return np.clip(found, 1 - TOP, TOP - 1)

"""Rows and columns of each tree: drawn from the joint coin toss, so that nobody chooses them."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from atoll.core.random import PublicRandom


def sample_rows(
    public: PublicRandom, step: str, tree: int, rows: int, rate: float
) -> npt.NDArray[np.uint32]:
    """Return the ascending rows of a tree: max(1, round(rate · rows)) of them."""
    return _sample(public, step, tree, "rows", rows, rate)


def sample_columns(
    public: PublicRandom, step: str, tree: int, party: str, columns: int, rate: float
) -> npt.NDArray[np.uint32]:
    """Return the ascending columns of one party in a tree: max(1, round(rate · columns))."""
    return _sample(public, step, tree, f"columns/{party}", columns, rate)


def _sample(
    public: PublicRandom, step: str, tree: int, purpose: str, count: int, rate: float
) -> npt.NDArray[np.uint32]:
    if rate >= 1.0 or count == 0:
        return np.arange(count, dtype=np.uint32)
    size = max(1, round(rate * count))
    rng = public.generator(step, tree, f"boosting/{purpose}")
    return np.sort(rng.choice(count, size, replace=False, shuffle=False)).astype(np.uint32)


def slot_order(seed: bytes, tree: int, count: int) -> npt.NDArray[np.int64]:
    """Return a host's secret permutation of its candidate cuts in one tree.

    ``seed`` is 32 secret bytes of this attempt; the keys that are sorted come from SHAKE-256.
    """
    context = b"atoll/boosting-slots/v1" + seed + tree.to_bytes(8, "big")
    keys = np.frombuffer(hashlib.shake_256(context).digest(8 * count), dtype="<u8")
    return np.argsort(keys, kind="stable")

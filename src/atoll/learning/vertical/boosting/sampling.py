"""What is random about each tree: a public sample of rows, each party's columns and order of cuts.

Rows are drawn from the joint coin toss, so that no one chooses them, unless the job fixes it.
Columns and orders are each party's secret: others would else know which column a cut is of.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from atoll.channel.own_seed import own_seed
from atoll.channel.party import Party
from atoll.core.codec import encode
from atoll.core.random import PublicRandom


def sample_size(count: int, rate: float) -> int:
    """Return how many of ``count`` are drawn: max(1, round(rate · count)), none of none."""
    return min(count, max(1, round(rate * count)))


def sample_rows(
    public: PublicRandom, step: str, tree: int, rows: int, rate: float
) -> npt.NDArray[np.uint32]:
    """Return the ascending rows of a tree: max(1, round(rate · rows)) of them."""
    if rate >= 1.0 or rows == 0:
        return np.arange(rows, dtype=np.uint32)
    rng = public.generator(step, tree, "boosting/rows")
    drawn = rng.choice(rows, sample_size(rows, rate), replace=False, shuffle=False)
    return np.sort(drawn).astype(np.uint32)


def sample_columns(seed: bytes, tree: int, columns: int, rate: float) -> npt.NDArray[np.uint32]:
    """Return the ascending columns of one party in a tree: max(1, round(rate · columns)).

    ``seed`` is that party's ``tree_seed``: which of its columns others do not know, so that a cut
    does not show its column by the trees that it occurs in.
    """
    if rate >= 1.0 or columns == 0:
        return np.arange(columns, dtype=np.uint32)
    order = _order(b"atoll/boosting-columns/v1", seed, tree, columns)
    return np.sort(order[: sample_size(columns, rate)]).astype(np.uint32)


def tree_seed(
    party: Party, names: tuple[str, ...], codes: npt.NDArray[np.uint8], parameters: bytes
) -> bytes:
    """Return the 32 secret bytes behind a party's columns of each tree and its orders of cuts.

    See ``own_seed``; ``parameters`` is their digest, ``names`` and ``codes`` uint8[rows, columns]
    are the party's binned columns.
    """
    about = encode([list(names), parameters])
    return own_seed(party, "boosting/trees", about, lambda: [codes])


def candidate_order(seed: bytes, tree: int, count: int) -> npt.NDArray[np.int64]:
    """Return a host's secret permutation of its candidate cuts in one tree.

    ``seed`` is its ``tree_seed``; the keys that are sorted come from SHAKE-256.
    """
    return _order(b"atoll/boosting-candidates/v1", seed, tree, count)


def _order(context: bytes, seed: bytes, tree: int, count: int) -> npt.NDArray[np.int64]:
    whole = context + seed + tree.to_bytes(8, "big")
    keys = np.frombuffer(hashlib.shake_256(whole).digest(8 * count), dtype="<u8")
    return np.argsort(keys, kind="stable")

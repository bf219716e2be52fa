"""What is random about each tree: public samples of rows and columns, each host's order of cuts.

Samples are drawn from the joint coin toss, so that no one chooses them, unless the job fixes it.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

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
    size = sample_size(count, rate)
    rng = public.generator(step, tree, f"boosting/{purpose}")
    return np.sort(rng.choice(count, size, replace=False, shuffle=False)).astype(np.uint32)


def candidate_seed(
    party: Party,
    step: str,
    names: tuple[str, ...],
    codes: npt.NDArray[np.uint8],
    parameters: bytes,
) -> bytes:
    """Return the 32 secret bytes behind a host's orders of cuts (``candidate_order``).

    From the operating system; but where the public randomness is fixed, a hash of it, of the
    ``parameters``' digest and of the host's ``names`` and binned columns uint8[rows, columns]. Then
    they repeat with the data, and only who knows all of these bins can compute them.
    """
    if not party.public_rng.fixed:
        return party.secret_rng.bytes(32)
    public = party.public_rng.derive(step, "boosting/candidates")
    whole = encode([party.name, list(names), list(codes.shape), parameters, public])
    found = hashlib.sha256(
        b"atoll/boosting-candidate-seed/v1" + len(whole).to_bytes(8, "big") + whole
    )
    found.update(codes.tobytes())
    return found.digest()


def candidate_order(seed: bytes, tree: int, count: int) -> npt.NDArray[np.int64]:
    """Return a host's secret permutation of its candidate cuts in one tree.

    ``seed`` is what ``candidate_seed`` gave; the keys that are sorted come from SHAKE-256.
    """
    context = b"atoll/boosting-candidates/v1" + seed + tree.to_bytes(8, "big")
    keys = np.frombuffer(hashlib.shake_256(context).digest(8 * count), dtype="<u8")
    return np.argsort(keys, kind="stable")

"""Masks: streams of ring elements that two parties, or one and its shares, can make again.

A mask is the AES-256-CTR stream of a 32-byte seed, read as little-endian words of the ring. The
counter says where in the vector a block stands, so any block's mask is made without those before
it; masks are added to a block while it is in the processor's cache, and none lies in memory whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from atoll.core.codec import encode
from atoll.core.errors import UserError

Ring = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]
BLOCK_BYTES = 1 << 17
_ZEROS = bytes(BLOCK_BYTES)
_COUNTED = 16


class Mask(NamedTuple):
    """A mask by its seed, and whether it is subtracted."""

    seed: bytes
    negative: bool


def seed(session: bytes, purpose: str, secret: bytes, *names: str) -> bytes:
    """Return the seed of a mask: a hash of the secret, bound to session, purpose and parties."""
    bound = ["atoll/secure-sum/v1", purpose, session, list(names), secret]
    return hashlib.sha256(encode(bound)).digest()


class Masks:
    """Several masks, added together to the blocks of one vector, from element ``first`` on.

    Errors: ATL-SUM-022 a first element that no counter points to (a multiple of 16 bytes).
    """

    def __init__(self, masks: Iterable[Mask], bits: int, first: int = 0) -> None:
        counter, rest = divmod(first * bits // 8, _COUNTED)
        if rest:
            raise UserError("ATL-SUM-022", "a block of a masked vector begins within a counter")
        start = modes.CTR(counter.to_bytes(_COUNTED, "big"))
        self._streams = [
            (np.subtract if mask.negative else np.add, _stream(mask.seed, start)) for mask in masks
        ]
        self._buffer = bytearray(BLOCK_BYTES + _COUNTED - 1)
        self._words: Ring = np.frombuffer(
            self._buffer, dtype=f"<u{bits // 8}", count=BLOCK_BYTES * 8 // bits
        )

    def add(self, words: Ring) -> None:
        """Add the next ``len(words)`` elements of all masks in place, uint32 or uint64[n]."""
        step = len(self._words)
        for at in range(0, len(words), step):
            block = words[at : at + step]
            zeros, part = memoryview(_ZEROS)[: block.nbytes], self._words[: len(block)]
            for change, stream in self._streams:
                stream(zeros, self._buffer)
                change(block, part, out=block)


def _stream(key: bytes, start: modes.CTR) -> Callable[[memoryview, bytearray], int]:
    return Cipher(algorithms.AES(key), start).encryptor().update_into


def add(vector: Ring, masks: Iterable[Mask], together: int = 256) -> None:
    """Add whole masks to ``vector`` in place, uint32 or uint64[n], ``together`` at a time."""
    waiting = list(masks)
    for start in range(0, len(waiting), together):
        Masks(waiting[start : start + together], vector.itemsize * 8).add(vector)

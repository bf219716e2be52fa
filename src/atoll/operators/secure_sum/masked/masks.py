"""Masks: streams of ring elements that two parties, or one and its shares, can make again.

A mask is the AES-256-CTR stream of a 32-byte seed, read as little-endian words of the ring. It is
added block by block to a vector in place, so that no mask ever lies in memory whole.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from atoll.core.codec import encode

Ring = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]
_BLOCK = 1 << 16
_ZEROS = bytes(_BLOCK)


def seed(session: bytes, purpose: str, secret: bytes, *names: str) -> bytes:
    """Return the seed of a mask: a hash of the secret, bound to session, purpose and parties."""
    bound = ["atoll/secure-sum/v1", purpose, session, list(names), secret]
    return hashlib.sha256(encode(bound)).digest()


def add(vector: Ring, mask: bytes, *, negative: bool = False) -> None:
    """Add the mask of this seed to ``vector`` in place (or subtract it), in the vector's ring."""
    encryptor = Cipher(algorithms.AES(mask), modes.CTR(bytes(16))).encryptor()
    buffer = bytearray(_BLOCK + 15)
    words = np.frombuffer(buffer, dtype=vector.dtype, count=_BLOCK // vector.itemsize)
    change = np.subtract if negative else np.add
    for start in range(0, len(vector), len(words)):
        block = vector[start : start + len(words)]
        encryptor.update_into(memoryview(_ZEROS)[: block.nbytes], buffer)
        change(block, words[: len(block)], out=block)

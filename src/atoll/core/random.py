"""Random sources: secret from the operating system, public from the job's common seed."""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

# Inside the class the name means its method.
_Bytes = bytes


class SecretRandom:
    """Secret randomness from the operating system, fresh at every call.

    ``seeded`` gives a reproducible source and is for tests and simulation alone.
    """

    def __init__(self) -> None:
        self._seed: _Bytes | None = None
        self._count = 0

    @classmethod
    def seeded(cls, seed: _Bytes | int) -> SecretRandom:
        """Make a reproducible source. Errors: ATL-SET-001 outside tests and simulation."""
        from atoll.core.settings import require_insecure

        require_insecure("seeded secret randomness")
        source = cls()
        raw = seed if isinstance(seed, _Bytes) else seed.to_bytes(16, "big", signed=True)
        source._seed = hashlib.sha256(b"atoll/test-secret/v1" + raw).digest()
        return source

    @classmethod
    def keyed(cls, key: _Bytes) -> SecretRandom:
        """Make the source that follows from a secret key of 32 bytes, for one use of it.

        For what an attempt after a crash must draw as the one before it (noise of privacy). The key
        comes from the operating system and stays at this party; each use has a key of its own.
        """
        source = cls()
        source._seed = hashlib.sha256(b"atoll/keyed-secret/v1" + key).digest()
        return source

    def bytes(self, count: int) -> _Bytes:
        """Return ``count`` secret bytes."""
        if self._seed is None:
            return secrets.token_bytes(count)
        self._count += 1
        block = self._seed + self._count.to_bytes(8, "big")
        return hashlib.shake_256(block).digest(count)

    def permutation(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return a secret uniform permutation of ``range(count)`` (int64), by sorting keys."""
        keys = np.frombuffer(self.stream(8 * count), dtype="<u8")
        return np.argsort(keys, kind="stable")

    def stream(self, count: int) -> _Bytes:
        """Return ``count`` bytes of an AES-256-CTR stream under a fresh secret key."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        cipher = Cipher(algorithms.AES(self.bytes(32)), modes.CTR(bytes(16)))
        return cipher.encryptor().update(bytes(count))

    def __repr__(self) -> str:
        return "<SecretRandom>"


class DerivedRandom:
    """Generators and bytes that follow from a seed, by step, round and purpose.

    One of a party's own has a seed that it alone holds: its draws repeat after a crash, and no one
    else can derive them.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def generator(self, step: str, round_: int, purpose: str) -> np.random.Generator:
        """Return the generator that all with this seed derive alike."""
        key = int.from_bytes(self._key(step, round_, purpose), "big")
        return np.random.Generator(np.random.Philox(key=key))

    def renew(self, used: np.random.Generator, step: str, round_: int, purpose: str) -> None:
        """Make ``used``, of this class, what ``generator`` returns: for loops that need many."""
        # As ``Philox(key=integer)`` reads it: the lower half of the integer first.
        words = np.frombuffer(self._key(step, round_, purpose), dtype=">u8")[::-1]
        state = dict(_FRESH)
        state["state"] = {"counter": np.zeros(4, np.uint64), "key": words.astype(np.uint64)}
        used.bit_generator.state = state

    def derive(self, step: str, purpose: str) -> bytes:
        """Return 32 bytes that all with this seed derive alike."""
        context = f"atoll/public-bytes/v1\0{step}\0{purpose}".encode()
        return hashlib.sha256(context + b"\0" + self._seed).digest()

    def _key(self, step: str, round_: int, purpose: str) -> bytes:
        context = f"atoll/public-random/v1\0{step}\0{round_}\0{purpose}".encode()
        return hashlib.sha256(context + b"\0" + self._seed).digest()[:16]


class PublicRandom(DerivedRandom):
    """Choices that all parties may know, derived alike from the job's common seed.

    The seed is tossed jointly, or it follows from a number in the job (``fixed``): then every run
    of the job has the same, and whoever wrote the job chose it.
    """

    def __init__(self, seed: bytes, *, fixed: bool = False) -> None:
        super().__init__(seed)
        self._fixed = fixed

    @property
    def fixed(self) -> bool:
        """Whether the seed follows from a number in the job and repeats from run to run."""
        return self._fixed


# The state of a Philox that has drawn nothing, without its key.
_FRESH = np.random.Philox(key=0).state

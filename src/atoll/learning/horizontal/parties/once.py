"""Noise that is drawn once: a sum that is done again after a crash gets the noise that it had.

Fresh noise over the same values would be a second look at them, and the same noise over others
would show their difference. So a key is drawn once in a step's run and kept where this seat keeps
its answers; the noise of a round follows from it, and goes to one vector alone.
"""

from __future__ import annotations

import hashlib

import numpy as np

from atoll.channel.party import Party
from atoll.core import codec
from atoll.core.errors import PeerError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithm import Vectors


def drawn_once(party: Party, name: str, source: bytes) -> SecretRandom:
    """Return the secret randomness for the noise of what is called ``name``, alike in each attempt.

    ``source`` (32 bytes) stands for what the noise is added to, and for what it was made from.
    Reveals: nothing. Errors: ATL-HOR-141 an earlier attempt drew it for something else,
    ATL-WRK-009.
    """
    if party.answer(_question(party, f"source {name}"), source) != source:
        raise PeerError(
            "ATL-HOR-141",
            f"the noise of {name!r} was drawn for other values in an earlier attempt",
            party=party.aggregator,
            hint="a new run draws noise of its own, and spends ε again",
        )
    key = party.answer(_question(party, "key"), party.secret_rng.bytes(32))
    return SecretRandom.keyed(hashlib.sha256(key + name.encode()).digest())


def source_of(sent: bytes, vectors: Vectors) -> bytes:
    """Return 32 bytes for vectors before their noise, and for the digest of what was sent."""
    made = hashlib.sha256(sent)
    for name, vector in sorted(vectors.items()):
        flat = np.ascontiguousarray(vector)
        made.update(codec.encode([name, flat.dtype.str, len(flat)]))
        made.update(flat.data)
    return made.digest()


def _question(party: Party, what: str) -> bytes:
    asked = ["atoll/horizontal-noise/v1", party.step_id, what]
    return hashlib.sha256(codec.encode(asked)).digest()

"""A seat's secret seed within a step: what it draws by it is its own, and repeats after a crash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core import codec
from atoll.core.random import DerivedRandom

Hold = Callable[[], Sequence[npt.NDArray[np.generic]]]


def own_seed(party: Party, purpose: str, about: bytes, hold: Hold) -> bytes:
    """Return 32 bytes that this seat alone knows, alike in every attempt of its step.

    From the operating system, kept where the seat keeps its answers; but where the public
    randomness is fixed, a hash of it, of ``about`` and of the seat's own arrays (``hold``). Then
    they repeat with the data, and only who knows all of it can compute them. Reveals: nothing.
    Errors: ATL-WRK-009.
    """
    public, step = party.public_rng, party.channel.scope.task
    if not public.fixed:
        asked = codec.encode(["atoll/own-seed/v1", party.step_id, step, purpose])
        return party.answer(hashlib.sha256(asked).digest(), party.secret_rng.bytes(32))
    arrays = [np.ascontiguousarray(array) for array in hold()]
    shapes = [[array.dtype.str, *array.shape] for array in arrays]
    whole = codec.encode([purpose, party.name, public.derive(step, purpose), about, shapes])
    found = hashlib.sha256(b"atoll/own-fixed-seed/v1" + len(whole).to_bytes(8, "big") + whole)
    for array in arrays:
        found.update(array.data)
    return found.digest()


def own_random(party: Party, purpose: str, hold: Hold) -> DerivedRandom:
    """Return what this seat draws by ``own_seed``. Errors: ATL-WRK-009."""
    return DerivedRandom(own_seed(party, purpose, b"", hold))

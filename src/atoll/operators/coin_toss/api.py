"""Coin toss: all parties of a job learn one uniform 32-byte seed that none of them could choose.

    every party                              every other
    commitment to (own value, opening) ───▶
    value, opening, what it saw        ───▶  seed = hash of all values

A dishonest party can end the toss after it has seen the result (no protocol of this kind prevents
that), but it cannot steer it. Committing to different values towards different parties is caught:
each opening carries a hash of all commitments seen.
"""

from __future__ import annotations

from typing import Literal

from atoll.core.reveal import Reveal
from atoll.operators.cost import Cost

Implementation = Literal["ideal", "commit"]

SEED_BYTES = 32

# Per ordered pair of parties: the values are the randomness that everyone is meant to know.
REVEALS: dict[str, tuple[Reveal, ...]] = {
    "ideal": (Reveal("everyone", "coin-toss.ideal.seed", "seed", "32", "the public seed"),),
    "commit": (
        Reveal(
            "everyone",
            "coin-toss.opening",
            "value",
            "32",
            "the sender's part of the public seed",
        ),
    ),
}

# Between two parties; every pair of parties costs the same.
COSTS: dict[str, Cost] = {
    "ideal": Cost(rounds="0", guest_to_host="32", host_to_guest="0", messages="1"),
    "commit": Cost(rounds="2", guest_to_host="128", host_to_guest="128", messages="4"),
}

"""Coin toss: all parties of a job learn one uniform 32-byte seed that none of them could choose.

    every party                              every other
    commitment to (own value, opening) ───▶
    value, opening, what it saw        ───▶  seed = hash of all values

A dishonest party can end the toss after it has seen the result (no protocol of this kind prevents
that), but it cannot steer it. Committing to different values towards different parties is caught:
each opening carries a hash of all commitments seen.

``relayed`` does the same through a hub, for parties that do not all communicate with each other:
it passes on every commitment before it receives an opening, and then every opening with its party's
signature of all commitments that this one saw: only who was shown the same takes it.

``fixed`` tosses nothing: the seed is a hash of a number in the job, which whoever wrote the job
chose, and repeats from run to run.
"""

from __future__ import annotations

from typing import Literal

from atoll.core.reveal import Reveal
from atoll.operators.cost import Cost, Edge

Implementation = Literal["ideal", "commit", "relayed", "fixed"]

SEED_BYTES = 32
# Parties of one toss at most.
MOST = 256

# Per ordered pair of parties: the values are the randomness that everyone is meant to know.
REVEALS: dict[str, tuple[Reveal, ...]] = {
    "ideal": (
        Reveal("everyone", "everyone", "coin-toss.ideal.seed", "seed", "32", "the public seed"),
    ),
    "commit": (
        Reveal(
            "everyone",
            "everyone",
            "coin-toss.opening",
            "value",
            "32",
            "the sender's part of the public seed",
        ),
    ),
    "relayed": (
        Reveal(
            "everyone",
            "everyone",
            "coin-toss.signed-opening",
            "value",
            "32",
            "the sender's part of the public seed",
        ),
        Reveal(
            "everyone",
            "everyone",
            "coin-toss.signed-openings",
            "values",
            "32 * parties",
            "every party's part of the public seed",
        ),
    ),
    "fixed": (),
}

# Per ordered pair; ``first`` is 1 where the sender is the first party by name, else 0.
COSTS: dict[str, Cost] = {
    "ideal": Cost("0", (Edge("everyone", "everyone", "32 * first", "first"),)),
    "commit": Cost("2", (Edge("everyone", "everyone", "128", "2"),)),
    # ``hub`` is 1 where the sender is the hub, ``leaf`` where the receiver is; ``names`` are
    # the bytes of all parties' names, and one each.
    "relayed": Cost(
        "2",
        (
            Edge(
                "everyone",
                "everyone",
                "160 * leaf + (168 * parties + 2 * names) * hub",
                "2 * (hub + leaf)",
            ),
        ),
    ),
    "fixed": Cost("0", ()),
}


def warnings(number: int | None) -> tuple[str, ...]:
    """Return what a plan must state where a number (0 … 2^63 - 1) stands in for the coins."""
    if number is None:
        return ()
    return (
        f"no coins are tossed: the job's seed {number} fixes the public randomness. Whoever wrote "
        "the job chose it, and could try many: which rows are held out, which rows and columns a "
        "tree or a sample takes. With the same data and parameters the splits, the samples and "
        "the secret order of each host's cuts repeat from run to run, so that the guest can link "
        "the cuts of several runs, and by that order confirm guesses at bins that a host's "
        "minimum_rows withholds.",
    )

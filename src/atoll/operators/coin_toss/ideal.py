"""The definition in the clear: the first party by name draws the seed. For tests alone."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.channel.party import Party
from atoll.core.message import Message, blob
from atoll.core.settings import require_insecure
from atoll.operators.coin_toss.api import SEED_BYTES


@dataclass(frozen=True)
class Seed(Message, kind="coin-toss.ideal.seed"):
    """The seed that one party drew."""

    seed: bytes = blob(SEED_BYTES, reveals="the public seed")


def run(party: Party) -> bytes:
    """Return the same 32 bytes at every party.

    Reveals: the seed, to all parties. Errors: ATL-SET-001 outside tests.
    """
    require_insecure("the ideal coin toss")
    first = min(party.roles)
    if party.name != first:
        return party.channel.receive(first, "toss/seed", Seed).seed
    message = Seed(party.secret_rng.bytes(SEED_BYTES))
    for peer in sorted(party.roles):
        if peer != first:
            party.channel.send(peer, "toss/seed", message)
    return message.seed

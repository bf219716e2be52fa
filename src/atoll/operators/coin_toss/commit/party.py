"""The parties of a coin toss, talking."""

from __future__ import annotations

from atoll.channel.party import Party
from atoll.core.errors import AtollError
from atoll.operators.coin_toss.commit.core import Toss
from atoll.operators.coin_toss.commit.messages import Commitment, Opening


def run(party: Party) -> bytes:
    """Return the same 32 bytes at every party of the job.

    Reveals: the seed, to all parties. Errors: ATL-TOS-001, ATL-TOS-002. Source: Blum 1983.
    """
    peers = sorted(peer for peer in party.roles if peer != party.name)
    toss = Toss(party.session, party.name, party.secret_rng.bytes(64))
    for peer in peers:
        party.channel.send(peer, "toss/commitment", toss.commit())
    for peer in peers:
        toss.committed(peer, party.channel.receive(peer, "toss/commitment", Commitment))
    for peer in peers:
        party.channel.send(peer, "toss/opening", toss.open())
    for peer in peers:
        opening = party.channel.receive(peer, "toss/opening", Opening)
        try:
            toss.opened(peer, opening)
        except AtollError as error:
            raise error.located(party=peer, phase="toss/opening") from None
    return toss.seed()

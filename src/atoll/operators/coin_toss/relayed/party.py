"""The parties of a relayed coin toss, talking.

Source: Blum 1983 (coin flipping by commitment). The hub commits before it receives an opening and
passes everything on, so it cannot steer what an honest party computes. It can show parties
different commitments in the name of others; they then hold different seeds, and what they do with
these does not fit together.
"""

from __future__ import annotations

from collections.abc import Mapping

from atoll.channel.party import Party
from atoll.core.errors import AtollError, PeerError
from atoll.operators.coin_toss.commit.core import Toss
from atoll.operators.coin_toss.commit.messages import Commitment, Opening
from atoll.operators.coin_toss.relayed.messages import Commitments, Openings


def run(party: Party) -> bytes:
    """Return the same 32 bytes at every party of the job; each communicates with the hub alone.

    Reveals: the seed, to all parties. Errors: ATL-TOS-001, ATL-TOS-002, ATL-TOS-004 what was passed
    on is not of these parties, or not what this one sent.
    """
    toss = Toss(party.session, party.name, party.secret_rng.bytes(64))
    if len(party.peers) == len(party.roles) - 1:
        _relay(party, toss)
    else:
        _follow(party, toss, party.peers[0])
    return toss.seed()


def _relay(party: Party, toss: Toss) -> None:
    """Play the hub: receive from each, and send all to all."""
    channel, names = party.channel, sorted(party.roles)
    commitments = {
        peer: channel.receive(peer, "toss/commitment", Commitment) for peer in party.peers
    }
    for peer, commitment in commitments.items():
        toss.committed(peer, commitment)
    commitments[party.name] = toss.commit()
    message = Commitments(tuple(names), tuple(commitments[name].digest for name in names))
    for peer in party.peers:
        channel.send(peer, "toss/commitments", message)
    opened = {peer: channel.receive(peer, "toss/opening", Opening) for peer in party.peers}
    for peer, opening in opened.items():
        _check(toss, peer, opening)
    opened[party.name] = toss.open()
    all_opened = Openings(
        tuple(names),
        tuple(opened[name].value for name in names),
        tuple(opened[name].opening for name in names),
        tuple(opened[name].seen for name in names),
    )
    for peer in party.peers:
        channel.send(peer, "toss/openings", all_opened)


def _follow(party: Party, toss: Toss, hub: str) -> None:
    """Play another party: communicate with the hub, and check all that it passes on."""
    channel, own = party.channel, toss.commit()
    channel.send(hub, "toss/commitment", own)
    received = channel.receive(hub, "toss/commitments", Commitments)
    digests = _by_name(party, hub, received.names, received.digests)
    if digests[party.name] != own.digest:
        raise _false(hub)
    for name, digest in digests.items():
        if name != party.name:
            toss.committed(name, Commitment(digest))
    channel.send(hub, "toss/opening", toss.open())
    opened = channel.receive(hub, "toss/openings", Openings)
    values = _by_name(party, hub, opened.names, opened.values)
    openings = _by_name(party, hub, opened.names, opened.openings)
    seen = _by_name(party, hub, opened.names, opened.seen)
    for name, value in values.items():
        if name != party.name:
            _check(toss, name, Opening(value, openings[name], seen[name]))


def _by_name(
    party: Party, hub: str, names: tuple[str, ...], entries: tuple[bytes, ...]
) -> Mapping[str, bytes]:
    if list(names) != sorted(party.roles) or len(names) != len(entries):
        raise _false(hub)
    return dict(zip(names, entries, strict=True))


def _check(toss: Toss, name: str, opening: Opening) -> None:
    try:
        toss.opened(name, opening)
    except AtollError as error:
        raise error.located(party=name, phase="toss/opening") from None


def _false(hub: str) -> PeerError:
    return PeerError("ATL-TOS-004", "the hub passed on what these parties did not send", party=hub)

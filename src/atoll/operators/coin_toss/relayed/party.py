"""The parties of a relayed coin toss, talking.

Source: Blum 1983 (coin flipping by commitment). The hub commits before it receives an opening and
passes everything on, so it cannot steer what an honest party computes. Each party signs all
commitments that it saw, with the key of its seat, and takes a seed that all the others signed for:
a hub that shows parties different commitments in the name of others has no signature of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping

from atoll.channel.party import Party
from atoll.core.codec import encode
from atoll.core.errors import AtollError, PeerError
from atoll.operators.coin_toss.commit.core import Toss
from atoll.operators.coin_toss.commit.messages import Commitment, Opening
from atoll.operators.coin_toss.relayed.messages import Commitments, SignedOpening, SignedOpenings


def run(party: Party) -> bytes:
    """Return the same 32 bytes at every party of the job; each communicates with the hub alone.

    ``party.identities`` are of all parties. Reveals: the seed, to all parties. Errors: ATL-TOS-001,
    ATL-TOS-002, ATL-TOS-004 what was passed on is not of these parties, or not what they sent.
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
    opened = {peer: channel.receive(peer, "toss/opening", SignedOpening) for peer in party.peers}
    for peer, opening in opened.items():
        _check(party, toss, peer, opening, source=peer)
    opened[party.name] = _open(party, toss)
    all_opened = SignedOpenings(
        tuple(names),
        tuple(opened[name].value for name in names),
        tuple(opened[name].opening for name in names),
        tuple(opened[name].signature for name in names),
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
    channel.send(hub, "toss/opening", _open(party, toss))
    opened = channel.receive(hub, "toss/openings", SignedOpenings)
    values = _by_name(party, hub, opened.names, opened.values)
    openings = _by_name(party, hub, opened.names, opened.openings)
    signatures = _by_name(party, hub, opened.names, opened.signatures)
    for name, value in values.items():
        if name != party.name:
            # An honest hub checks all of it before it passes anything on.
            opening = SignedOpening(value, openings[name], signatures[name])
            _check(party, toss, name, opening, source=hub)


def _by_name(
    party: Party, hub: str, names: tuple[str, ...], entries: tuple[bytes, ...]
) -> Mapping[str, bytes]:
    if list(names) != sorted(party.roles) or len(names) != len(entries):
        raise _false(hub)
    return dict(zip(names, entries, strict=True))


def _open(party: Party, toss: Toss) -> SignedOpening:
    own = toss.open()
    return SignedOpening(own.value, own.opening, party.identities.sign(_bound(party, own.seen)))


def _check(party: Party, toss: Toss, name: str, opening: SignedOpening, source: str) -> None:
    """Take what ``name`` opened, as ``source`` sent it, if it signed what this party saw."""
    seen = toss.open().seen
    try:
        if not party.identities.verify(name, _bound(party, seen), opening.signature):
            raise PeerError("ATL-TOS-002", f"{name} did not sign the commitments seen here")
        toss.opened(name, Opening(opening.value, opening.opening, seen))
    except AtollError as error:
        raise error.located(party=source, phase="toss/opening") from None


def _bound(party: Party, seen: bytes) -> bytes:
    return encode(["atoll/coin-toss/v2", "signed", party.session, seen])


def _false(hub: str) -> PeerError:
    return PeerError("ATL-TOS-004", "the hub passed on what these parties did not send", party=hub)

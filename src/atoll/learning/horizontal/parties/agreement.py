"""Clients agree on what the aggregator sent them at the end: a result is one for all, or none.

What a client keeps shapes what it adds to later sums. An aggregator that sent each another result
(a scaling that leaves one client's columns, offsets by client) would have later sums, masked or
not, be of one client alone. So each client signs a digest of what it was sent, in the session of
this attempt, and goes on once enough others have signed the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from atoll.channel.party import Party
from atoll.core import codec
from atoll.core.errors import PeerError
from atoll.learning.horizontal.parties.messages import Agreed, Signed

TAG = "agree"


def agree(party: Party, sent: bytes, there: Collection[str], least: int) -> None:
    """Sign a digest of the result at a client, and see that ``least`` of those left signed it too.

    Clients in two groups of ``least`` each may still have different results. Reveals: nothing.
    Errors: ATL-HOR-170 fewer signed the same, or others than those that were left.
    """
    bound, hub = _bound(party, sent), party.aggregator
    party.channel.send(hub, TAG, Signed(party.identities.sign(bound)))
    found = party.channel.receive(hub, TAG, Agreed)
    names = found.names
    known = list(names) == sorted(set(names)) and set(names) <= {*there}
    if not known or party.name not in names or not least <= len(names) == len(found.signatures):
        raise _differ(hub)
    for name, signature in zip(names, found.signatures, strict=True):
        if not party.identities.verify(name, bound, signature):
            raise _differ(hub)


def pass_on(party: Party, sent: bytes, here: Sequence[str], least: int) -> frozenset[str]:
    """Send the clients of ``here`` each other's signatures; return those that have not left.

    Errors: ATL-HOR-170 a client signed something else; ATL-NET-048 fewer than ``least`` are left.
    """
    bound = _bound(party, sent)
    found = party.gather(here, TAG, Signed, least=least)
    for name, message in found.items():
        if not party.identities.verify(name, bound, message.signature):
            raise _differ(name)
    names = tuple(sorted(found))
    agreed = Agreed(names, tuple(found[name].signature for name in names))
    return frozenset(name for name in names if party.try_send(name, TAG, agreed, spare=True))


def _bound(party: Party, sent: bytes) -> bytes:
    context = ["atoll/horizontal-result/v1", party.session, sent]
    return hashlib.sha256(codec.encode(context)).digest()


def _differ(party: str) -> PeerError:
    return PeerError(
        "ATL-HOR-170",
        "the clients did not sign the same result",
        party=party,
        hint="run it again; if it happens again, ask the party that aggregates",
    )

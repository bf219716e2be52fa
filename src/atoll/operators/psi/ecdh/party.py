"""The parties of an ECDH intersection, talking. Both sides run the same steps at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from atoll.channel.party import Party
from atoll.core.message import Message
from atoll.operators.psi.api import PsiParameters, PsiResult
from atoll.operators.psi.ecdh.core import Core, bitmaps, take_bitmaps
from atoll.operators.psi.ecdh.messages import Bitmap, Commitment, Hello, Points, Tags, Verdict
from atoll.operators.psi.ids import OwnIds
from atoll.operators.psi.pair import peer_of

if TYPE_CHECKING:
    import pyarrow as pa

M = TypeVar("M", bound=Message)


def run(party: Party, ids: pa.Array | pa.ChunkedArray, parameters: PsiParameters) -> PsiResult:
    """Intersect binary ids with one peer: count for both, indices for those entitled.

    Reveals: sizes and count to both; to the entitled, which of its ids are in common.
    Errors: ATL-PSI-001 to 009, ATL-PSI-011, ATL-CRV-001 to 003. Source: Meadows 1986, PROTOCOLS 4.
    """
    peer = peer_of(party)
    core = meet(party, peer, OwnIds(ids, party.limits), parameters)
    if parameters.entitles(party.roles[peer]):
        for message in bitmaps(core.found):
            party.channel.send(peer, "psi/bitmap", message)
    if not parameters.entitles(party.role):
        return PsiResult(core.count, None)
    positions = take_bitmaps(core.rows, core.count, receive_bitmaps(party, peer))
    return PsiResult(core.count, core.sorted(positions))


def meet(party: Party, peer: str, own: OwnIds, parameters: PsiParameters) -> Core:
    """Run everything up to the verdict: both learn the count and accept it, or both end.

    Reveals: sizes, count and verdict, to both.
    Errors: ATL-PSI-003 to 008, ATL-PSI-011, 012, ATL-CRV-001 to 003.
    """
    core = Core(party.role, own, parameters, party.session, party.secret_rng, party.limits)
    party.channel.send(peer, "psi/hello", core.hello())
    core.agree(party.channel.receive(peer, "psi/hello", Hello), party.rows.get(peer))
    sent, due = core.chunks, core.peer_chunks
    _both_ways(party, peer, "points", sent, core.points, due, Points, core.take_points)
    core.check_points()
    party.channel.send(peer, "psi/commitment", core.commit())
    core.committed(party.channel.receive(peer, "psi/commitment", Commitment))
    _both_ways(party, peer, "tags", due, core.tags, sent, Tags, core.take_tags)
    party.channel.send(peer, "psi/verdict", core.verdict())
    core.decide(party.channel.receive(peer, "psi/verdict", Verdict))
    return core


def _both_ways(
    party: Party,
    peer: str,
    name: str,
    outgoing: int,
    make: Callable[[int], Message],
    incoming: int,
    kind: type[M],
    take: Callable[[int, M], None],
) -> None:
    # In step: while one party makes its chunk k the other makes its own, so both always work.
    whole = max(outgoing, incoming)
    for chunk in range(whole):
        party.cancel.check()
        if chunk < outgoing:
            party.channel.send(peer, f"psi/{name}", make(chunk))
        if chunk < incoming:
            take(chunk, party.channel.receive(peer, f"psi/{name}", kind))
        party.progress(f"psi.{name}", chunk + 1, whole)


def receive_bitmaps(party: Party, peer: str) -> Iterator[Bitmap]:
    """Yield the peer's bitmap messages, each at most ``BITMAP_CHUNK`` bytes."""
    while True:
        party.cancel.check()
        yield party.channel.receive(peer, "psi/bitmap", Bitmap)

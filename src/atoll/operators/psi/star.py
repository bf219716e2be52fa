"""One guest and many hosts: a two-party run with each, then the rows that all have in common.

This is a star, not a multi-party intersection: the guest learns which of its ids each single host
has, and each host how many ids it shares with the guest; both are declared. Each host then gets a
bitmap of the joint rows over its own masked list. To find them, the guest gets from each host the
positions in the guest's masked list by rising tag instead of a bitmap: the same ids, tied to
places in the host's list that is shuffled and masked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from atoll.channel.lanes import together
from atoll.channel.party import Party
from atoll.core.codec import encode
from atoll.core.errors import PeerError, UserError
from atoll.core.message import Message, integer
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.operators.cost import Cost, Edge
from atoll.operators.psi.api import CHUNK_ROWS_MOST, PsiParameters, PsiResult
from atoll.operators.psi.api import cost as pair_cost
from atoll.operators.psi.api import reveals as pair_reveals
from atoll.operators.psi.ecdh.core import Core, bitmaps, take_bitmaps
from atoll.operators.psi.ecdh.messages import Links
from atoll.operators.psi.ecdh.party import meet, receive_bitmaps
from atoll.operators.psi.ids import OwnIds
from atoll.operators.psi.pair import check_count

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Joint(Message, kind="psi.star.joint"):
    """How many ids all parties share; None when that is too few, whatever it is."""

    count: int | None = integer(
        0, 1 << 32, reveals="how many ids all parties have in common", optional=True
    )


@dataclass(frozen=True)
class _Met:
    """What the guest holds after it met one host: own rows, and where the host lists them."""

    core: Core
    rows: npt.NDArray[np.uint32]
    positions: npt.NDArray[np.int64]


def reveals(parameters: PsiParameters) -> tuple[Reveal, ...]:
    """Return what the guest and each single host learn, in ``count`` (theirs) and ``joint``."""
    counted = parameters.model_copy(update={"receivers": "none"})
    own = "which of the own ids are in common"
    found = [
        *pair_reveals(counted),
        Reveal(
            "host", "guest", "psi.ecdh.links", "positions", "count", own + " with this single host"
        ),
        Reveal(
            "guest",
            "host",
            "psi.star.joint",
            "count",
            "1",
            "how many ids all parties have in common",
        ),
    ]
    if parameters.receivers == "both":
        size = "ceil_div(rows_host, 8)"
        found.append(
            Reveal("guest", "host", "psi.ecdh.bitmap", "bits", size, own + " to all parties")
        )
    return tuple(found)


def cost(parameters: PsiParameters) -> Cost:
    """Return the declared cost between the guest and each host, in the sizes of ``psi.cost``."""
    pair = pair_cost(parameters.model_copy(update={"receivers": "none"}))
    links = Edge("host", "guest", "4 * count", f"max(1, ceil_div(count, {CHUNK_ROWS_MOST}))")
    entitled = int(parameters.receivers == "both")
    joint = Edge("guest", "host", f"{entitled} * ceil_div(rows_host, 8)", f"{1 + entitled}")
    return Cost(pair.rounds, (*pair.edges, links, joint))


def check(parameters: PsiParameters) -> None:
    """Refuse what a star cannot do. Reveals: nothing. Errors: ATL-PSI-001."""
    if parameters.protocol != "ecdh" or parameters.receivers not in ("both", "guest"):
        raise UserError("ATL-PSI-001", "with many hosts: ecdh, for both or for the guest")


def run(party: Party, ids: pa.Array | pa.ChunkedArray, parameters: PsiParameters) -> PsiResult:
    """Intersect the binary ids of one guest and all hosts; int64[count] rows, aligned at all.

    Reveals: pairwise sizes, counts and, to the guest, pairwise ids; the joint rows to ``both``.
    Errors: ATL-PSI-001 to 012, ATL-CRV-001 to 003. Semi-honest.
    """
    check(parameters)
    own = OwnIds(ids, party.limits)
    if party.role == Role.HOST:
        return _host(_pair(party.at(party.name), party.name), own, parameters)
    work: dict[str, Callable[[Party], _Met]] = {
        host: partial(_meet, host=host, own=own, parameters=parameters) for host in party.hosts
    }
    met = together(party, work)
    return _join(party, own, met, parameters)


def _pair(lane: Party, host: str) -> Party:
    bound = encode(["atoll/psi-star/v1", lane.session, lane.guest, host])
    roles = {lane.guest: Role.GUEST, host: Role.HOST}
    return replace(lane, roles=roles, session=hashlib.sha256(bound).digest())


def _by_tag(core: Core) -> npt.NDArray[np.int64]:
    tags = core.found_tags()
    return np.flatnonzero(core.found)[np.lexsort(tags.T[::-1])]


def _meet(lane: Party, host: str, own: OwnIds, parameters: PsiParameters) -> _Met:
    core = meet(_pair(lane, host), host, own, parameters)
    listed = np.zeros(core.count, np.uint32)
    for start in range(0, max(1, core.count), CHUNK_ROWS_MOST):
        message = lane.channel.receive(host, "psi/links", Links)
        size = min(CHUNK_ROWS_MOST, core.count - start)
        if message.first != start or len(message.positions) != size:
            raise PeerError("ATL-PSI-007", "another chunk of links was due", party=host)
        listed[start : start + size] = message.positions
    if core.count and (listed.max() >= core.rows or len(np.unique(listed)) != core.count):
        raise PeerError("ATL-PSI-010", "links repeat a position or leave the list", party=host)
    return _Met(core, core.own_rows(listed.astype(np.int64)), _by_tag(core))


def _join(party: Party, own: OwnIds, met: dict[str, _Met], parameters: PsiParameters) -> PsiResult:
    shared = np.ones(len(own), np.bool_)
    for one in met.values():
        here = np.zeros(len(own), np.bool_)
        here[one.rows] = True
        shared &= here
    count = int(np.count_nonzero(shared))
    enough = count >= parameters.minimum_intersection
    for host, one in met.items():
        lane = party.at(host)
        lane.channel.send(host, "psi/joint", Joint(count if enough else None))
        if enough and parameters.receivers == "both":
            found = np.zeros(one.core.peer_rows, np.bool_)
            found[one.positions[shared[one.rows]]] = True
            for message in bitmaps(found):
                lane.channel.send(host, "psi/bitmap", message)
    check_count(enough)
    return PsiResult(count, own.sorted(shared))


def _host(party: Party, own: OwnIds, parameters: PsiParameters) -> PsiResult:
    core = meet(party, party.guest, own, parameters)
    for message in _links(_by_tag(core)):
        party.channel.send(party.guest, "psi/links", message)
    joint = party.channel.receive(party.guest, "psi/joint", Joint)
    count = joint.count or 0
    check_count(joint.count is not None and count >= parameters.minimum_intersection)
    if count > core.count:
        raise PeerError("ATL-PSI-010", "more ids in common with all than with the guest")
    if parameters.receivers != "both":
        return PsiResult(count, None)
    positions = take_bitmaps(core.rows, count, receive_bitmaps(party, party.guest))
    return PsiResult(count, core.sorted(positions))


def _links(positions: npt.NDArray[np.int64]) -> Iterator[Links]:
    for start in range(0, max(1, len(positions)), CHUNK_ROWS_MOST):
        yield Links(start, positions[start : start + CHUNK_ROWS_MOST].astype(np.uint32))

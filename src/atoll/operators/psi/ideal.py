"""The definition in the clear: the guest sees every id of the host. Tests and simulation only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import PeerError
from atoll.core.limits import MESSAGE_BYTES
from atoll.core.message import Message, array, integer
from atoll.core.names import Role
from atoll.core.settings import require_insecure
from atoll.operators.psi.api import PsiParameters, PsiResult
from atoll.operators.psi.ids import OwnIds
from atoll.operators.psi.pair import check_count, check_sets, peer_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Ids(Message, kind="psi.ideal.ids"):
    """All ids of the host, in its order."""

    lengths: npt.NDArray[np.uint16] = array(
        "u2", (None,), MESSAGE_BYTES, reveals="every id, in the clear"
    )
    data: npt.NDArray[np.uint8] = array(
        "u1", (None,), MESSAGE_BYTES, reveals="every id, in the clear"
    )


@dataclass(frozen=True)
class IdealResult(Message, kind="psi.ideal.outcome"):
    """What the host learns: sizes and, if it is entitled, its rows in common."""

    rows: int = integer(0, 1 << 40, reveals="how many rows the guest has")
    count: int = integer(0, 1 << 40, reveals="how many ids are in common")
    positions: npt.NDArray[np.int64] | None = array(
        "i8",
        (None,),
        MESSAGE_BYTES,
        reveals="which of the own ids are in common",
        optional=True,
    )


def intersect(own: pa.Array, other: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which of the own ids the other has: bool[n], the definition of an intersection.

    Reveals: nothing; every implementation is held against it.
    """
    import pyarrow.compute as pc

    found = pc.is_in(own, value_set=other)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)


def run(party: Party, ids: pa.Array | pa.ChunkedArray, parameters: PsiParameters) -> PsiResult:
    """Intersect binary ids in the clear; the result holds int64[count] rows by rising id.

    Reveals: the host's ids to the guest, beside the declared result.
    Errors: ATL-SET-001 outside tests, ATL-PSI-001 to 004.
    """
    require_insecure("the ideal intersection")
    peer, own = peer_of(party), OwnIds(ids, party.limits)
    side = _guest if party.role == Role.GUEST else _host
    count, indices = side(party, peer, own, parameters)
    check_count(count >= parameters.minimum_intersection)
    return PsiResult(count, indices if parameters.entitles(party.role) else None)


def _guest(
    party: Party, peer: str, own: OwnIds, parameters: PsiParameters
) -> tuple[int, npt.NDArray[np.int64]]:
    import pyarrow as pa

    message = party.channel.receive(peer, "psi/ids", Ids)
    offsets = np.concatenate([[0], np.cumsum(message.lengths, dtype=np.int64)])
    if offsets[-1] != len(message.data):
        raise PeerError("ATL-PSI-007", "lengths and bytes of the ids disagree", party=peer)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(message.data.tobytes())]
    other = pa.Array.from_buffers(pa.large_binary(), len(message.lengths), buffers)
    theirs = OwnIds(other, party.limits)
    mine = own.sorted(intersect(own.array.cast(pa.large_binary()), theirs.array))
    positions = theirs.sorted(intersect(theirs.array, own.array.cast(pa.large_binary())))
    enough = len(mine) >= parameters.minimum_intersection
    entitled = positions if enough and parameters.entitles(Role.HOST) else None
    party.channel.send(peer, "psi/outcome", IdealResult(len(own), len(mine), entitled))
    check_sets(parameters, len(own), len(theirs))
    return len(mine), mine


def _host(
    party: Party, peer: str, own: OwnIds, parameters: PsiParameters
) -> tuple[int, npt.NDArray[np.int64] | None]:
    values, offsets = own.take(np.arange(len(own), dtype=np.uint32))
    party.channel.send(peer, "psi/ids", Ids(np.diff(offsets).astype(np.uint16), values))
    outcome = party.channel.receive(peer, "psi/outcome", IdealResult)
    check_sets(parameters, len(own), outcome.rows)
    return outcome.count, outcome.positions

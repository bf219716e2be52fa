"""What the parties of an ECDH intersection send each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.message import Message, array, blob, boolean, integer
from atoll.operators.psi.api import BITMAP_CHUNK, CHUNK_ROWS_MOST

_POSITION = "a position, known to both"
_ROWS = 1 << 32


@dataclass(frozen=True)
class Hello(Message, kind="psi.ecdh.hello"):
    """Who begins with how many rows, under which agreement."""

    agreement: bytes = blob(32, opaque="a hash of the session id and of the signed parameters")
    rows: int = integer(0, _ROWS, reveals="how many rows the other party has")


@dataclass(frozen=True)
class Points(Message, kind="psi.ecdh.points"):
    """A chunk of the sender's masked ids, in its secret order."""

    first: int = integer(0, _ROWS, opaque=_POSITION)
    points: npt.NDArray[np.uint8] = array(
        "u1", (None, 32), 32 * CHUNK_ROWS_MOST, opaque="masked by a fresh secret scalar"
    )


@dataclass(frozen=True)
class Commitment(Message, kind="psi.ecdh.commitment"):
    """The sender's whole list of tags, fixed before it sees the receiver's."""

    digest: bytes = blob(32, opaque="a hash of the tags and of a fresh secret")


@dataclass(frozen=True)
class Tags(Message, kind="psi.ecdh.tags", version=2):
    """A chunk of the receiver's ids, doubly masked, cut and shuffled by the sender."""

    first: int = integer(0, _ROWS, opaque=_POSITION)
    opening: bytes = blob(32, opaque="fresh random bytes, the secret of the commitment")
    tags: npt.NDArray[np.uint8] = array(
        "u1",
        (None, None),
        16 * CHUNK_ROWS_MOST,
        reveals="how many ids are in common, even when too few to go on (bytes of a shuffled list)",
    )


@dataclass(frozen=True)
class Verdict(Message, kind="psi.ecdh.verdict"):
    """Whether the sender goes on; the same bytes whatever the count is."""

    accepted: bool = boolean(reveals="whether that is enough")


@dataclass(frozen=True)
class Bitmap(Message, kind="psi.ecdh.bitmap"):
    """A chunk of the bits over the receiver's masked list: set where the sender has the id."""

    first: int = integer(0, _ROWS, opaque=_POSITION)
    bits: npt.NDArray[np.uint8] = array(
        "u1", (None,), BITMAP_CHUNK, reveals="which of the own ids are in common"
    )


@dataclass(frozen=True)
class Links(Message, kind="psi.ecdh.links"):
    """A chunk of positions in the receiver's masked list, by rising tag: only in a star."""

    first: int = integer(0, _ROWS, opaque=_POSITION)
    positions: npt.NDArray[np.uint32] = array(
        "u4", (None,), CHUNK_ROWS_MOST, reveals="which of the own ids are in common"
    )

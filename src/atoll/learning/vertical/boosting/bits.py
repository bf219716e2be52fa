"""Partitions on the wire: one bit per row of a node, each node padded to whole bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from atoll.core.errors import PeerError

Bools = npt.NDArray[np.bool_]


def size(rows: int) -> int:
    """Return the bytes of one node's partition."""
    return -(-rows // 8)


def pack(sides: Iterable[Bools]) -> bytes:
    """Return the partitions of several nodes, one after the other; True means left."""
    return b"".join(np.packbits(side, bitorder="little").tobytes() for side in sides)


def unpack(data: bytes, rows: Sequence[int]) -> list[Bools]:
    """Read partitions of nodes with these many rows.

    Errors: ATL-BST-004 unless the bytes fit the rows exactly, with zeros as padding.
    """
    if len(data) != sum(size(count) for count in rows):
        raise PeerError("ATL-BST-004", "a partition does not have one bit for each row of its node")
    sides, begin = [], 0
    for count in rows:
        end = begin + size(count)
        flat = np.unpackbits(np.frombuffer(data[begin:end], dtype=np.uint8), bitorder="little")
        if flat[count:].any():
            raise PeerError("ATL-BST-004", "a partition names rows beyond the end of its node")
        sides.append(flat[:count].view(np.bool_))
        begin = end
    return sides

"""What both implementations check and how their replies are cut into messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import PeerError, UserError
from atoll.core.message import Message, array
from atoll.operators.histogram.api import CHUNK_CELLS, NODES, WIDTH, NodeBound, NodeCuts, Sums


@dataclass(frozen=True)
class CellCounts(Message, kind="histogram.counts"):
    """How many cells of each node follow."""

    counts: npt.NDArray[np.uint32] = array(
        "u4", (None,), NODES, reveals="how many cuts of each node the host sends"
    )


def spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of each chunk of ``size`` within ``count``."""
    for start in range(0, count, size):
        yield start, min(start + size, count)


def check_pairs(g: npt.NDArray[np.int32], h: npt.NDArray[np.int32]) -> None:
    """Refuse g and h that are not int32[n] of one length. Errors: ATL-HIS-001."""
    fits = g.ndim == 1 and g.shape == h.shape and g.dtype == np.int32 and h.dtype == np.int32
    if not fits:
        raise UserError("ATL-HIS-001", "g and h must be int32 vectors of one length")


def check_nodes(
    rows: int,
    bins: npt.NDArray[np.uint8],
    width: int,
    nodes: Sequence[NodeCuts],
    noise: Sequence[Sums] | None,
) -> None:
    """Refuse inputs that do not fit: ``bins`` uint8[rows, columns], noise int64[m] a node.

    Errors: ATL-HIS-001.
    """
    if bins.dtype != np.uint8 or bins.ndim != 2 or bins.shape[0] != rows:
        raise UserError("ATL-HIS-001", "bins must be uint8 with one line per received row")
    if not 2 <= width <= WIDTH:
        raise UserError("ATL-HIS-001", "the width must lie between 2 and 256 bins")
    if len(nodes) > NODES or (noise is not None and len(noise) != len(nodes)):
        raise UserError("ATL-HIS-001", "too many nodes, or noise for another number of nodes")
    for index, node in enumerate(nodes):
        _check_node(index, node, rows, bins.shape[1], width)
        cells = (len(node.columns),)
        if noise is not None and not noise[index][0].shape == noise[index][1].shape == cells:
            raise UserError("ATL-HIS-001", f"node {index} has noise of another length")


def _check_node(index: int, node: NodeCuts, rows: int, columns: int, width: int) -> None:
    cells = node.columns.shape
    arrays: list[npt.NDArray[Any]] = [node.rows, node.columns, node.cuts, node.missing_left]
    if [a.dtype.str[1:] for a in arrays] != ["u4", "u4", "u2", "b1"] or node.rows.ndim != 1:
        raise UserError("ATL-HIS-001", f"node {index} has arrays of other dtypes")
    if len(cells) != 1 or node.cuts.shape != cells or node.missing_left.shape != cells:
        raise UserError("ATL-HIS-001", f"node {index} has cut arrays of different lengths")
    if _reaches(node.rows, rows) or _reaches(node.columns, columns):
        raise UserError("ATL-HIS-001", f"node {index} names rows or columns that do not exist")
    if _reaches(node.cuts, width - 1):
        raise UserError("ATL-HIS-001", f"node {index} cuts at or above the missing bin")


def _reaches(values: npt.NDArray[Any], limit: int) -> bool:
    return values.size > 0 and int(values.max()) >= limit


def send_counts(party: Party, tag: str, nodes: Sequence[NodeCuts]) -> None:
    """Announce how many cells of each node will follow. Reveals: that, to the guest."""
    counts = np.array([len(node.columns) for node in nodes], dtype=np.uint32)
    party.channel.send(party.guest, f"histogram/{tag}/counts", CellCounts(counts))


def receive_counts(party: Party, host: str, tag: str, bounds: Sequence[NodeBound]) -> list[int]:
    """Receive the announced counts and hold them against what may come. Errors: ATL-HIS-003."""
    counts = party.channel.receive(host, f"histogram/{tag}/counts", CellCounts).counts
    if len(counts) != len(bounds):
        raise PeerError("ATL-HIS-003", "the reply is for another number of nodes")
    for index, (count, bound) in enumerate(zip(counts.tolist(), bounds, strict=True)):
        if count > bound.most or bound.cells not in (None, count):
            raise PeerError("ATL-HIS-003", f"another number of cells for node {index}")
    return [int(count) for count in counts]


class CellReader:
    """Reads a reply's cells, cut into chunks over all nodes, and hands them out node by node."""

    def __init__(
        self, total: int, empty: npt.NDArray[Any], following: Iterator[npt.NDArray[Any]]
    ) -> None:
        self._left = total
        self._following = following
        self._held = empty

    def take(self, count: int) -> npt.NDArray[Any]:
        """Return the next ``count`` cells: uint8[count, 192], or int64[count, 2] in the clear.

        Errors: ATL-HIS-003 for a chunk of another size.
        """
        while len(self._held) < count:
            self._held = np.concatenate([self._held, self._next()])
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _next(self) -> npt.NDArray[Any]:
        want = min(self._left, CHUNK_CELLS)
        chunk = next(self._following)
        if len(chunk) != want:
            raise PeerError("ATL-HIS-003", "a chunk of the reply has another size")
        self._left -= want
        return chunk

"""The definition in the clear: the guest shows g and h to the hosts. Tests and simulation only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import PeerError, UserError
from atoll.core.message import Message, array, integer
from atoll.core.settings import require_insecure
from atoll.operators.histogram.api import (
    CHUNK_CELLS,
    CHUNK_ROWS,
    NodeBound,
    NodeCuts,
    Opened,
    Sums,
)
from atoll.operators.histogram.checks import (
    CellReader,
    check_nodes,
    check_pairs,
    receive_counts,
    send_counts,
    spans,
)


@dataclass(frozen=True)
class Rows(Message, kind="histogram.ideal.rows"):
    """A chunk of a tree's g and h."""

    tree: int = integer(0, 1 << 40, opaque="the number of the tree, known to all")
    first: int = integer(0, 1 << 40, opaque="a position, known to all")
    g: npt.NDArray[np.int32] = array("i4", (None,), CHUNK_ROWS, reveals="every g, in the clear")
    h: npt.NDArray[np.int32] = array("i4", (None,), CHUNK_ROWS, reveals="every h, in the clear")


@dataclass(frozen=True)
class Cells(Message, kind="histogram.ideal.cells"):
    """A chunk of a reply's left sums."""

    g: npt.NDArray[np.int64] = array(
        "i8", (None,), CHUNK_CELLS, reveals="the left sum of g of each cut that the host sends"
    )
    h: npt.NDArray[np.int64] = array(
        "i8", (None,), CHUNK_CELLS, reveals="the left sum of h of each cut that the host sends"
    )


def left_sums(
    values: npt.NDArray[np.int32], bins: npt.NDArray[np.uint8], width: int, node: NodeCuts
) -> npt.NDArray[np.int64]:
    """Return int64[m]: the sum of ``values`` on the left of each cut of the node.

    Reveals: nothing; this is the definition that every implementation is held against.
    """
    sums = np.zeros(len(node.columns), dtype=np.int64)
    chosen = values[node.rows].astype(np.int64)
    for column in np.unique(node.columns):
        cells = np.zeros(width, dtype=np.int64)
        np.add.at(cells, bins[node.rows, column], chosen)
        running = np.cumsum(cells)
        at = np.flatnonzero(node.columns == column)
        sums[at] = running[node.cuts[at]] + cells[width - 1] * node.missing_left[at]
    return sums


class IdealGuest:
    """The guest in the clear. Reveals: g and h to every host. Errors: ATL-SET-001 outside tests."""

    def __init__(self, party: Party) -> None:
        require_insecure("the ideal histogram")
        self._party = party

    def start(self) -> None:
        """Do nothing: there is no key."""

    def publish(self, tree: int, g: npt.NDArray[np.int32], h: npt.NDArray[np.int32]) -> None:
        """Send int32[n] g and h to every host. Reveals: g and h. Errors: ATL-HIS-001."""
        check_pairs(g, h)
        for start, stop in spans(len(g), CHUNK_ROWS):
            message = Rows(tree, start, g[start:stop], h[start:stop])
            for host in self._party.hosts:
                self._party.channel.send(host, "histogram/rows", message)

    def collect(self, host: str, tag: str, bounds: Sequence[NodeBound]) -> list[Opened]:
        """Return the sums of each node. Errors: ATL-HIS-003."""
        counts = receive_counts(self._party, host, tag, bounds)
        reader = CellReader(sum(counts), np.zeros((0, 2), np.int64), self._chunks(host, tag))
        whole: list[Opened] = []
        for count, bound in zip(counts, bounds, strict=True):
            pair = reader.take(count)
            g, h = pair[:, 0], pair[:, 1]
            inside = (bound.g_low <= g) & (g <= bound.g_high)
            inside &= (bound.h_low <= h) & (h <= bound.h_high)
            whole.append(Opened(np.where(inside, g, 0), np.where(inside, h, 0), inside))
        return whole

    def _chunks(self, host: str, tag: str) -> Iterator[npt.NDArray[np.int64]]:
        while True:
            cells = self._party.channel.receive(host, f"histogram/{tag}/cells", Cells)
            if len(cells.g) != len(cells.h):
                raise PeerError("ATL-HIS-003", "a chunk holds more sums of one than the other")
            yield np.stack([cells.g, cells.h], axis=1)


class IdealHost:
    """A host in the clear. Reveals: the sums to the guest. Errors: ATL-SET-001 outside tests."""

    def __init__(self, party: Party) -> None:
        require_insecure("the ideal histogram")
        self._party = party
        self._pairs: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None = None

    def start(self) -> None:
        """Do nothing: there is no key."""

    def receive(self, tree: int, rows: int) -> None:
        """Receive int32[rows] of g and h. Errors: ATL-HIS-001, ATL-HIS-002."""
        if rows > self._party.limits.rows:
            raise UserError("ATL-HIS-001", "more rows than the limits of this job allow")
        g, h = np.empty(rows, np.int32), np.empty(rows, np.int32)
        for start, stop in spans(rows, CHUNK_ROWS):
            chunk = self._party.channel.receive(self._party.guest, "histogram/rows", Rows)
            fits = (chunk.tree, chunk.first) == (tree, start)
            if not fits or not len(chunk.g) == len(chunk.h) == stop - start:
                raise PeerError("ATL-HIS-002", "another chunk of rows was due")
            g[start:stop], h[start:stop] = chunk.g, chunk.h
        self._pairs = (g, h)

    def reply(
        self,
        tag: str,
        bins: npt.NDArray[np.uint8],
        width: int,
        nodes: Sequence[NodeCuts],
        noise: Sequence[Sums] | None = None,
    ) -> None:
        """Send the left sums over uint8[n, columns] bins, plus int64[m] noise.

        Reveals: the sums and how many there are, to the guest. Errors: ATL-HIS-001, ATL-HIS-005.
        """
        if self._pairs is None:
            raise UserError("ATL-HIS-005", "a reply needs a tree's rows first")
        check_nodes(len(self._pairs[0]), bins, width, nodes, noise)
        send_counts(self._party, tag, nodes)
        parts = [np.zeros((0, 2), np.int64)]
        for index, node in enumerate(nodes):
            sums = np.stack([left_sums(v, bins, width, node) for v in self._pairs], axis=1)
            parts.append(sums if noise is None else sums + np.stack(noise[index], axis=1))
        whole = np.concatenate(parts)
        for start, stop in spans(len(whole), CHUNK_CELLS):
            message = Cells(whole[start:stop, 0], whole[start:stop, 1])
            self._party.channel.send(self._party.guest, f"histogram/{tag}/cells", message)

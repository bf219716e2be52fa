"""Histogram sums: the guest holds (g, h) per row, each host its binned columns.

For every cut (column, bin c) of every node, the guest learns the sums of g and h over the node's
rows on the left of the cut: bins 0…c of that column, and the missing rows (the last bin) where
``missing_left``. The hosts learn nothing about g and h.

    guest                                   host
    start()          ── key ─────────────▶  start()
    publish(t, g, h) ── rows, in chunks ─▶  receive(t, n)
    collect(…)       ◀─ counts, cells ────  reply(…)

A node's rows and cuts are the caller's business (see ``learning/vertical``): the operator binds no
policy to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from atoll.core.reveal import Reveal
from atoll.operators.cost import Cost, Edge

Implementation = Literal["ideal", "elgamal"]
Sums = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

CELL_BYTES = 192
CHUNK_ROWS = 1 << 14
CHUNK_CELLS = 1 << 14
NODES = 1 << 16
WIDTH = 256


@dataclass(frozen=True)
class NodeBound:
    """What the guest knows of one node's reply before it arrives.

    ``cells`` is the exact number of cuts, or None where the host decides (then at most ``most``).
    Every true sum of g lies in ``g_low``…``g_high`` inclusive, of h in ``h_low``…``h_high``;
    decryption searches these ranges and nothing else. They must follow from what the host knows.
    """

    cells: int | None
    g_low: int
    g_high: int
    h_low: int
    h_high: int
    most: int = 1 << 20


class Opened(NamedTuple):
    """One node's sums: int64[m] of g and h, and bool[m], which of them lie within the bounds.

    Where they do not, g and h mean nothing. A host must not learn which these are: it may have
    added something to a sum, and whether that is then in range says something of the sum.
    """

    g: npt.NDArray[np.int64]
    h: npt.NDArray[np.int64]
    inside: npt.NDArray[np.bool_]


NOTHING = Opened(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))


@dataclass(frozen=True)
class NodeCuts:
    """What a host sends of one node: its rows and the cuts whose left sums leave, in order."""

    rows: npt.NDArray[np.uint32]
    columns: npt.NDArray[np.uint32]
    cuts: npt.NDArray[np.uint16]
    missing_left: npt.NDArray[np.bool_]


class HistogramGuest(Protocol):
    """The label holder's side."""

    def start(self) -> None:
        """Make what the run needs (a key) and send its public part to every host."""
        ...

    def publish(self, tree: int, g: npt.NDArray[np.int32], h: npt.NDArray[np.int32]) -> None:
        """Hide int32[n] g and h once and send them to every host.

        Errors: ATL-HIS-001 other shapes or dtypes, ATL-HIS-005 not started.
        """
        ...

    def collect(self, host: str, tag: str, bounds: Sequence[NodeBound]) -> list[Opened]:
        """Wait for a host's reply of this tag; return the sums of each node.

        Errors: ATL-HIS-003 other counts than agreed, ATL-HIS-004 what was sent is no ciphertext.
        None of them depends on the value of a sum.
        """
        ...


class HistogramHost(Protocol):
    """A feature provider's side."""

    def start(self) -> None:
        """Receive what the run needs from the guest. Errors: ATL-HIS-006."""
        ...

    def receive(self, tree: int, rows: int) -> None:
        """Receive a tree's ``rows`` hidden (g, h); they replace the tree before.

        Errors: ATL-HIS-002 not these rows; those of ``crypto`` for what is no ciphertext.
        """
        ...

    def reply(
        self,
        tag: str,
        bins: npt.NDArray[np.uint8],
        width: int,
        nodes: Sequence[NodeCuts],
        noise: Sequence[Sums] | None = None,
    ) -> None:
        """Send the left sums of every node's cuts, in order, plus (int64[m], int64[m]) of noise.

        ``bins`` is uint8[n, columns] with values below ``width``; bin ``width - 1`` means missing.
        Reveals: the sums and how many there are, to the guest.
        Errors: ATL-HIS-001 shapes or values that do not fit, ATL-HIS-005 nothing received yet.
        """
        ...


_COUNTS = Reveal(
    "host",
    "guest",
    "histogram.counts",
    "counts",
    "replied_nodes",
    "how many cuts of each node the host sends",
)

# ``rows`` counts the rows of all trees; ``cells`` lists the cuts sent, node by node, of all
# replies; ``replied_nodes`` counts their nodes.
REVEALS: dict[str, tuple[Reveal, ...]] = {
    "ideal": (
        Reveal("guest", "host", "histogram.ideal.rows", "g", "rows", "every g, in the clear"),
        Reveal("guest", "host", "histogram.ideal.rows", "h", "rows", "every h, in the clear"),
        _COUNTS,
        Reveal(
            "host",
            "guest",
            "histogram.ideal.cells",
            "g",
            "sum(cells)",
            "the left sum of g of each cut that the host sends",
        ),
        Reveal(
            "host",
            "guest",
            "histogram.ideal.cells",
            "h",
            "sum(cells)",
            "the left sum of h of each cut that the host sends",
        ),
    ),
    "elgamal": (
        _COUNTS,
        Reveal(
            "host",
            "guest",
            "histogram.elgamal.cells",
            "cells",
            "192 * sum(cells)",
            "the left sums of g and h of each cut that the host sends (bytes of ciphertext)",
        ),
    ),
}

# Where opened sums are counted: (message, field, how many sums each element is).
OPENED: dict[str, tuple[tuple[str, str, int | float], ...]] = {
    "ideal": (("histogram.ideal.cells", "g", 1), ("histogram.ideal.cells", "h", 1)),
    "elgamal": (("histogram.elgamal.cells", "cells", 2 / CELL_BYTES),),
}

# With each host. ``replies`` counts calls; ``row_messages`` are the chunks of 2¹⁴ rows of all
# trees, ``cell_messages`` those of 2¹⁴ cells of all replies.
_REPLIES = "replies + cell_messages"
COSTS: dict[str, Cost] = {
    "ideal": Cost(
        "replies",
        (
            Edge("guest", "host", "8 * rows", "row_messages"),
            Edge("host", "guest", "16 * sum(cells) + 4 * replied_nodes", _REPLIES),
        ),
    ),
    "elgamal": Cost(
        "replies",
        (
            Edge("guest", "host", "192 * rows + 160", "1 + row_messages"),
            Edge("host", "guest", "192 * sum(cells) + 4 * replied_nodes", _REPLIES),
        ),
    ),
}

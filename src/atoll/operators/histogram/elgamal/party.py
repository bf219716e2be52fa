"""The parties of an EC-ElGamal histogram, talking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.operators.histogram.api import (
    CELL_BYTES,
    CHUNK_ROWS,
    NOTHING,
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
from atoll.operators.histogram.elgamal.core import GuestCore, HostCore, messages, total_cells
from atoll.operators.histogram.elgamal.messages import Cells, Key, Rows


class ElgamalGuest:
    """The label holder: holds int32[n] g and h and the only secret key.

    Reveals: nothing to the hosts. Semi-honest. Errors: ATL-HIS-001, 003, 004, 005.
    """

    def __init__(self, party: Party) -> None:
        self._party = party
        self._core = GuestCore(party.session, party.limits.threads)

    def start(self) -> None:
        """Make a fresh key and send its public part to every host."""
        key = self._core.start(self._party.secret_rng.bytes(32))
        for host in self._party.hosts:
            self._party.channel.send(host, "histogram/key", key)

    def publish(self, tree: int, g: npt.NDArray[np.int32], h: npt.NDArray[np.int32]) -> None:
        """Encrypt int32[n] g and h once and send them to every host. Errors: ATL-HIS-001, 005."""
        party = self._party
        check_pairs(g, h)
        for start, stop in spans(len(g), CHUNK_ROWS):
            party.cancel.check()
            entropy = party.secret_rng.bytes(32)
            message = self._core.encrypt(tree, start, g[start:stop], h[start:stop], entropy)
            for host in party.hosts:
                party.channel.send(host, "histogram/rows", message)
            party.progress("histogram.publish", stop, len(g))

    def collect(self, host: str, tag: str, bounds: Sequence[NodeBound]) -> list[Opened]:
        """Return the sums of each node. Errors: ATL-HIS-003, ATL-HIS-004."""
        counts = receive_counts(self._party, host, tag, bounds)
        empty = np.zeros((0, CELL_BYTES), np.uint8)
        reader = CellReader(sum(counts), empty, self._chunks(host, tag))
        whole: list[Opened] = []
        for count, bound in zip(counts, bounds, strict=True):
            self._party.cancel.check()
            cells = np.ascontiguousarray(reader.take(count))
            whole.append(self._core.decrypt(cells, bound) if count else NOTHING)
        return whole

    def _chunks(self, host: str, tag: str) -> Iterator[npt.NDArray[np.uint8]]:
        while True:
            yield self._party.channel.receive(host, f"histogram/{tag}/cells", Cells).cells


class ElgamalHost:
    """A feature provider: holds the binned columns, sees only ciphertexts.

    Reveals: the left sums of the cuts that it sends, to the guest. Semi-honest.
    Errors: ATL-HIS-001, 002, 005, 006.
    """

    def __init__(self, party: Party) -> None:
        self._party = party
        self._core = HostCore(party.session, party.limits.threads)

    def start(self) -> None:
        """Receive the guest's public key. Errors: ATL-HIS-006, those of ``crypto``."""
        self._core.start(self._party.channel.receive(self._party.guest, "histogram/key", Key))

    def receive(self, tree: int, rows: int) -> None:
        """Receive a tree's encrypted pairs. Errors: ATL-HIS-001, ATL-HIS-002, ``crypto``'s."""
        if rows > self._party.limits.rows:
            raise UserError("ATL-HIS-001", "more rows than the limits of this job allow")
        self._core.take(tree, rows, self._chunks(rows))

    def _chunks(self, rows: int) -> Iterator[Rows]:
        done = 0
        while True:
            self._party.cancel.check()
            chunk = self._party.channel.receive(self._party.guest, "histogram/rows", Rows)
            yield chunk
            done += len(chunk.cells)
            self._party.progress("histogram.receive", done, rows)

    def reply(
        self,
        tag: str,
        bins: npt.NDArray[np.uint8],
        width: int,
        nodes: Sequence[NodeCuts],
        noise: Sequence[Sums] | None = None,
    ) -> None:
        """Send the left sums over uint8[n, columns] bins, plus int64[m] noise, re-randomised.

        Reveals: the sums and how many there are, to the guest. Errors: ATL-HIS-001, ATL-HIS-005.
        """
        party = self._party
        self._core.ready()
        check_nodes(self._core.rows, bins, width, nodes, noise)
        send_counts(party, tag, nodes)
        parts = self._parts(bins, width, nodes, noise)
        for message in messages(total_cells(nodes), parts):
            party.channel.send(party.guest, f"histogram/{tag}/cells", message)

    def _parts(
        self,
        bins: npt.NDArray[np.uint8],
        width: int,
        nodes: Sequence[NodeCuts],
        noise: Sequence[Sums] | None,
    ) -> Iterator[npt.NDArray[np.uint8]]:
        bins = np.ascontiguousarray(bins)
        for index, node in enumerate(nodes):
            self._party.cancel.check()
            added = None if noise is None else noise[index]
            entropy = self._party.secret_rng.bytes(32)
            yield self._core.sums(bins, width, node, added, entropy)
            self._party.progress("histogram.reply", index + 1, len(nodes))

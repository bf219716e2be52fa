"""The steps of an EC-ElGamal histogram: no channel, no clock, randomness handed in.

The pair (g, h) of a row travels as (rG, gG + rP₁, hG + rP₂). Hosts add points by bin and return
8·sum + a fresh encryption of zero; the guest searches the logarithm in a public range.
Source: Bellare, Boldyreva, Staddon 2003 (one r for two keys); PROTOCOLS 3 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from atoll.core.errors import PeerError, UserError
from atoll.crypto.elgamal import PairPublicKey, PairSecretKey, PairVector
from atoll.operators.histogram.api import (
    CELL_BYTES,
    CHUNK_CELLS,
    CHUNK_ROWS,
    NodeBound,
    NodeCuts,
    Opened,
    Sums,
)
from atoll.operators.histogram.checks import spans
from atoll.operators.histogram.elgamal.messages import Cells, Key, Rows


class GuestCore:
    """The guest's state: the session and the secret key, which lives as long as the run."""

    def __init__(self, session: bytes, threads: int) -> None:
        self._session = session
        self._threads = threads
        self._key: PairSecretKey | None = None

    def start(self, entropy: bytes) -> Key:
        """Make the key pair of this run and the message that publishes it. Reveals: nothing."""
        self._key = PairSecretKey.generate(entropy)
        return Key(self._session, self._key.public_key().to_bytes())

    def encrypt(
        self,
        tree: int,
        first: int,
        g: npt.NDArray[np.int32],
        h: npt.NDArray[np.int32],
        entropy: bytes,
    ) -> Rows:
        """Encrypt one chunk of int32 pairs. Reveals: nothing. Errors: ATL-HIS-005."""
        return Rows(tree, first, self._held().encrypt(g, h, entropy, self._threads))

    def decrypt(self, cells: npt.NDArray[np.uint8], bound: NodeBound) -> Opened:
        """Open one node's uint8[m, 192] cells within its public bounds.

        Errors: ATL-HIS-004 for what is no ciphertext; the key is gone after it.
        """
        key = self._held()
        ranges = (bound.g_low, bound.g_high, bound.h_low, bound.h_high)
        try:
            return Opened(*key.decrypt(cells, *ranges, threads=self._threads))
        except PeerError:
            self._key = None
            raise PeerError("ATL-HIS-004", "the sums of a reply cannot be opened") from None

    def _held(self) -> PairSecretKey:
        if self._key is None:
            raise UserError("ATL-HIS-005", "the histogram has no key: call start first")
        return self._key


class HostCore:
    """A host's state: the guest's public key and the pairs of the present tree."""

    def __init__(self, session: bytes, threads: int) -> None:
        self._session = session
        self._threads = threads
        self._key: PairPublicKey | None = None
        self._pairs: PairVector | None = None
        self.rows = 0

    def start(self, message: Key) -> None:
        """Take the guest's key. Errors: ATL-HIS-006, those of ``crypto`` for a malformed key."""
        if message.session != self._session:
            raise PeerError("ATL-HIS-006", "the key is of another session")
        self._key = PairPublicKey.from_bytes(message.public)

    def take(self, tree: int, rows: int, chunks: Iterator[Rows]) -> None:
        """Take a tree's chunks in order: canonical points of the curve, exactly ``rows`` of them.

        Errors: ATL-HIS-002, those of ``crypto`` for malformed points.
        """
        self._pairs = None
        cells = np.empty((rows, CELL_BYTES), np.uint8)
        for start, stop in spans(rows, CHUNK_ROWS):
            chunk = next(chunks)
            fits = (chunk.tree, chunk.first, len(chunk.cells)) == (tree, start, stop - start)
            if not fits:
                raise PeerError("ATL-HIS-002", "another chunk of rows was due")
            cells[start:stop] = chunk.cells
        self._pairs, self.rows = PairVector.parse(cells, self._threads), rows

    def ready(self) -> None:
        """Refuse to reply before a key and a tree are there. Errors: ATL-HIS-005."""
        self._held()

    def sums(
        self,
        bins: npt.NDArray[np.uint8],
        width: int,
        node: NodeCuts,
        noise: Sums | None,
        entropy: bytes,
    ) -> npt.NDArray[np.uint8]:
        """Return one node's re-randomised left sums, uint8[m, 192]. Reveals: nothing by itself."""
        key, pairs = self._held()
        if not len(node.columns):
            return np.zeros((0, CELL_BYTES), np.uint8)
        cells = pairs.histogram(node.rows, bins, width, self._threads)
        cuts = cells.cut_sums(node.columns, node.cuts, node.missing_left)
        noise_g, noise_h = noise if noise is not None else (None, None)
        return cuts.finish(key, entropy, noise_g, noise_h, self._threads)

    def _held(self) -> tuple[PairPublicKey, PairVector]:
        if self._key is None or self._pairs is None:
            raise UserError("ATL-HIS-005", "a reply needs a key and a tree's rows first")
        return self._key, self._pairs


def messages(total: int, parts: Iterator[npt.NDArray[np.uint8]]) -> Iterator[Cells]:
    """Cut the nodes' cells, uint8[m, 192] each, into messages of ``CHUNK_CELLS`` cells."""
    held: list[npt.NDArray[np.uint8]] = []
    for start, stop in spans(total, CHUNK_CELLS):
        while sum(map(len, held)) < stop - start:
            held.append(next(parts))
        whole = np.concatenate(held)
        held = [whole[stop - start :]]
        yield Cells(whole[: stop - start])


def total_cells(nodes: Sequence[NodeCuts]) -> int:
    """Return how many cells a reply holds."""
    return sum(len(node.columns) for node in nodes)

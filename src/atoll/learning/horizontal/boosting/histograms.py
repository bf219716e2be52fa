"""A client's share of a level: its rows' places in the trees, and their sums by node and bin."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.learning.horizontal.boosting.forest import ROUTES, Routes, add_trees, nodes_of
from atoll.learning.horizontal.features.api import numbers
from atoll.learning.horizontal.features.counted import from_vector
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.models.api import Rows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
CODES, CUTS, MARGIN, GROWN, PLACE, LEVEL = "codes", "cuts", "margin", "grown", "place", "level"
CHANNELS = 3
# Cells and weights of so many values at a time stay in the processor's cache.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class Shape:
    """The sizes that all agree on: depth of trees, outputs, codes of a column."""

    depth: int
    outputs: int
    width: int

    @property
    def nodes(self) -> int:
        """Nodes of a full tree."""
        return nodes_of(self.depth)


class OwnRows:
    """A client's binned rows, their margins and places, taken up from what it kept.

    ``kept`` may be empty or of other rows; then all is computed again from the trees. Codes are
    uint8[columns, n], margins float64[outputs, n], places int64[outputs, n].
    """

    def __init__(self, rows: Rows, cuts: Floats, kept: Mapping[str, Vector]) -> None:
        self._kept = kept if _same(kept, cuts, rows) else {}
        self._cuts = cuts
        if CODES in self._kept:
            size = rows.shape[1] * len(rows)
            self.codes = self._kept[CODES].view(np.uint8)[:size].reshape(rows.shape[1], len(rows))
        else:
            codes = from_vector(cuts, rows.shape[1]).encode(numbers(rows))
            self.codes = np.ascontiguousarray(codes.T)

    def keep(
        self,
        margins: Floats,
        places: Ints,
        vectors: Mapping[str, Vector],
        at: tuple[int, int],
        shape: Shape,
    ) -> dict[str, Vector]:
        """Return what the next round begins with, after level ``at`` = (tree, level)."""
        check = _check(vectors, at[0] * shape.outputs, shape.nodes)
        return {
            CODES: self._kept.get(CODES, _packed(self.codes)),
            CUTS: self._cuts,
            MARGIN: margins.ravel(),
            GROWN: np.array([at[0], check], dtype=np.float64),
            PLACE: places.ravel().astype(np.float32),
            LEVEL: np.array(at, dtype=np.float64),
        }

    def margins(
        self, base: Floats, vectors: Mapping[str, Vector], trees: int, shape: Shape
    ) -> Floats:
        """Return the margins after so many trees of each output."""
        found, grown = np.repeat(base[:, np.newaxis], self.codes.shape[1], axis=1), 0
        if GROWN in self._kept:
            grown, check = (int(value) for value in self._kept[GROWN])
            if grown <= trees and check == _check(vectors, grown * shape.outputs, shape.nodes):
                found = np.array(self._kept[MARGIN], dtype=np.float64).reshape(found.shape)
            else:
                # What was kept is of another run, or of one that went on from before this round.
                grown, self._kept = 0, {CODES: self._kept[CODES]}
        add_trees(found, vectors, range(grown, trees), self.codes, shape.depth, shape.width)
        return found

    def places(self, vectors: Mapping[str, Vector], tree: int, level: int, shape: Shape) -> Ints:
        """Return the node of the growing tree at which each row stands."""
        begin, found = 0, np.zeros((shape.outputs, self.codes.shape[1]), dtype=np.int64)
        at = self._kept.get(LEVEL)
        if at is not None and at[0] == tree and at[1] <= level:
            begin = int(at[1])
            found = self._kept[PLACE].reshape(found.shape).astype(np.int64)
        for output in range(shape.outputs if begin < level else 0):
            number = tree * shape.outputs + output
            routes = Routes.of(vectors, number, shape.nodes, shape.width)
            for _ in range(begin, level):
                found[output] = routes.down(found[output], self.codes)
        return found


def _same(kept: Mapping[str, Vector], cuts: Floats, rows: Rows) -> bool:
    if CODES not in kept or not np.array_equal(kept[CUTS], cuts):
        return False
    whole = kept[CODES].nbytes == -(-rows.size // 4) * 4
    return whole and len(kept[MARGIN]) % max(len(rows), 1) == 0


def _check(vectors: Mapping[str, Vector], trees: int, nodes: int) -> int:
    """Return a checksum of the first trees, by which a client knows those that it has added."""
    found = 0
    for name in ROUTES:
        found = zlib.crc32(vectors[name][: trees * nodes].tobytes(), found)
    return found


def _packed(codes: Codes) -> Vector:
    """Return bytes of codes as float32, four in each: what clients keep is vectors."""
    whole = np.zeros(-(-codes.size // 4) * 4, dtype=np.uint8)
    whole[: codes.size] = codes.ravel()
    return whole.view(np.float32)


def level_sums(
    codes: Codes, places: Ints, g: Floats, h: Floats, live: Ints, shape: Shape, inside: Ints | None
) -> Floats:
    """Return float64[3, live, columns, width]: g, h and rows by live node, column and bin.

    ``live`` int64[live] are output · nodes + node, ascending; g and h float64[outputs, n] are
    whole numbers; ``inside`` are the rows that are summed (None: all).
    """
    found = np.zeros((CHANNELS, len(live), codes.shape[0], shape.width))
    output_of = live // shape.nodes
    for output in range(shape.outputs):
        at = np.flatnonzero(output_of == output)
        if not len(at):
            continue
        ranks = np.full(shape.nodes, -1, dtype=np.int64)
        ranks[live[at] % shape.nodes] = np.arange(len(at))
        rank = ranks[places[output]]
        rows = np.flatnonzero(rank >= 0) if inside is None else inside[rank[inside] >= 0]
        whole = len(rows) == codes.shape[1]
        here = codes if whole else codes[:, rows]
        values = (g[output], h[output]) if whole else (g[output][rows], h[output][rows])
        rank = rank if whole else rank[rows]
        _add_sums(found[:, at[0] : at[-1] + 1], here, rank, values, shape.width)
    return found


def _add_sums(
    found: Floats, codes: Codes, rank: Ints, values: tuple[Floats, Floats], width: int
) -> None:
    """Write the sums of one output's live nodes to float64[3, live, columns, width]."""
    live, (columns, rows) = found.shape[1], codes.shape
    block = max(1, _BLOCK // max(rows, 1))
    for first in range(0, columns, block):
        part = codes[first : first + block]
        size = len(part)
        cell = (rank * (size * width) + np.arange(size)[:, np.newaxis] * width + part).ravel()
        shape = (live, size, width)
        for channel, value in enumerate(values):
            weights = np.broadcast_to(value, part.shape).reshape(-1)
            sums = np.bincount(cell, weights, live * size * width)
            found[channel, :, first : first + size] = sums.reshape(shape)
        counts = np.bincount(cell, minlength=live * size * width)
        found[2, :, first : first + size] = counts.reshape(shape)

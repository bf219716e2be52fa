"""A random rotation that spreads an update evenly over its values, before they are quantised.

Largest values then are near the root mean square, whatever the update: one scale fits all values,
so that quantising costs least and the scale may be public. Sources: Suresh et al., "Distributed
Mean Estimation with Limited Communication" (ICML 2017), section 3; Konečný et al. 2016, section 3.
Here the Walsh–Hadamard matrix is multiplied (Kronecker) by a small Hartley matrix, so that vectors
of any length need few zeros to fill up.
"""

from __future__ import annotations

import functools
import math
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Limits, Passage, Postprocessor, Stage
from atoll.learning.horizontal.sums import Extent, Update

_FAILURE_BITS = 40
# Float32 keeps norms to about this.
_TOLERANCE = 1e-4
# A block has so many rows at least, and less than twice as many: at most 1 / 16 is filled up.
_ROWS = 16
# Up to so many values the Walsh–Hadamard matrix itself is applied.
_PRODUCT = 32


class Shape(NamedTuple):
    """``blocks`` of ``values`` each, in a table of ``rows`` times ``width``, a power of two."""

    blocks: int
    values: int
    rows: int
    width: int

    @property
    def length(self) -> int:
        """Values of all tables."""
        return self.blocks * self.rows * self.width


class Rotate(Postprocessor):
    """Rotates each vector in equal blocks of at most ``block`` values, by signs drawn in public.

    A block is filled up with zeros to a multiple of a power of two, by less than a sixteenth;
    ``length`` states how many values travel. It is linear and keeps L2 norms:
    the aggregator turns the sum back, masked or not. O(n log block) steps; memory beyond the
    vector: a few blocks.
    """

    stage: ClassVar[Stage] = Stage.COMPRESS
    block: int = Field(
        default=1 << 20, ge=32, le=1 << 24, description="most values that are turned together"
    )

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        signs = self._signs({name: len(v) for name, v in update.vectors.items()}, passage)
        turned: dict[str, Vector] = {}
        for name, vector in update.vectors.items():
            shape = self.shape(len(vector))
            tables = np.zeros((shape.blocks, shape.rows * shape.width), vector.dtype)
            for at, table in enumerate(tables):
                span = slice(at * shape.values, (at + 1) * shape.values)
                part = vector[span]
                np.multiply(part, signs[name][span], out=table[: len(part)])
                _turn(table, shape)
            turned[name] = tables.reshape(-1)
        return Update(turned, update.numbers)

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """See ``Postprocessor.aggregate``."""
        signs = self._signs(dict.fromkeys(total.vectors, size), passage)
        vectors: dict[str, Vector] = {}
        for name, vector in total.vectors.items():
            shape, whole = self.shape(size), np.empty(size, vector.dtype)
            for at, turned in enumerate(vector.reshape(shape.blocks, -1)):
                span = slice(at * shape.values, (at + 1) * shape.values)
                table = turned.copy()
                _turn(table, shape)
                part = whole[span]
                np.multiply(table[: len(part)], signs[name][span], out=part)
            vectors[name] = whole
        return Update(vectors, total.numbers)

    def shape(self, size: int) -> Shape:
        """Return how a vector of so many values is laid out."""
        blocks = -(-size // self.block)
        values = -(-size // blocks)
        width = 1 << max(0, (values // _ROWS).bit_length() - 1)
        return Shape(blocks, values, -(-values // width), width)

    def length(self, size: int) -> int:
        """See ``Postprocessor.length``."""
        return self.shape(size).length

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """See ``Postprocessor.limits``."""
        norm = min(before.norm, before.most * math.sqrt(size)) * (1 + _TOLERANCE)
        return Limits(norm, norm)

    def reach(self, norm: float, size: int) -> float:
        """Return what no rotated value passes of a vector of this norm, but for 2^-40.

        A rotated value is a sum of a block's values, each with a random sign and a factor of at
        most sqrt(2 / table), so it passes t with a chance of at most 2 exp(-t² table / (4 norm²))
        (Hoeffding 1963); there are ``length(size)`` of them.
        """
        shape = self.shape(size)
        exponent = math.log(2 * shape.length) + _FAILURE_BITS * math.log(2)
        share = min(1.0, math.sqrt(4 * exponent / (shape.rows * shape.width)))
        return norm * share * (1 + _TOLERANCE)

    def _signs(self, sizes: dict[str, int], passage: Passage) -> dict[str, np.ndarray]:
        generator = passage.public["rotation"]
        return {
            name: generator.integers(0, 2, size, dtype=np.int8) * np.int8(2) - np.int8(1)
            for name, size in sorted(sizes.items())
        }


def _turn(block: Vector, shape: Shape) -> None:
    """Multiply a block by its symmetric orthogonal matrix, in place: twice is the block again."""
    table = block.reshape(shape.rows, shape.width)
    hadamard(table)
    table[:] = _hartley(shape.rows).astype(table.dtype) @ table


def hadamard(table: Vector) -> None:
    """Multiply each row of ``table``, [rows, 2^k], by the Walsh–Hadamard matrix over sqrt(2^k)."""
    count, width = table.shape
    # The lowest steps would be loops over a few values each: one product does them at once.
    half = min(width, _PRODUCT)
    small = table.reshape(-1, half)
    small[:] = small @ _signs_matrix(half).astype(table.dtype)
    while half < width:
        pairs = table.reshape(count, width // (2 * half), 2, half)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        low += high
        high *= -2
        high += low
        half *= 2
    table *= table.dtype.type(1 / math.sqrt(width))


@functools.cache
def _signs_matrix(width: int) -> Vector:
    """Return the Walsh–Hadamard matrix of 1 and -1, float64[width, width]."""
    made = np.ones((1, 1))
    while len(made) < width:
        made = np.block([[made, made], [made, -made]])
    return made


@functools.cache
def _hartley(rows: int) -> Vector:
    """Return the Hartley matrix, float64[rows, rows]: symmetric, orthogonal, entries near even."""
    angle = np.outer(np.arange(rows), np.arange(rows)) % rows * (2 * np.pi / rows)
    made: Vector = (np.cos(angle) + np.sin(angle)) / math.sqrt(rows)
    return made

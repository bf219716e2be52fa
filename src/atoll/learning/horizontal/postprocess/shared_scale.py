"""Quantisation on one public scale, several codes in one element of a masked sum.

Codes of all clients stand on the same grid, so their sum is the code of the sum, and a secure sum
can add them. An element of its ring holds as many codes as leave each room for the sum of all
clients. Sources: Suresh et al. 2017, section 2 (stochastic k-level quantisation); Bonawitz et al.,
"Federated Learning with Autotuned Communication-Efficient Secure Aggregation" (2019), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from atoll.core.errors import DataError
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Limits, Passage, Postprocessor, Stage
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.sums import Extent, Update

CODED = "coded"
_RING: Final = 32


class SharedScale(Postprocessor):
    """Sends each value as one of 2^width levels from -reach to reach, rounded at random.

    The sum stays unbiased; each client's values are off by less than ``step`` each. A value beyond
    ``reach`` is its owner's error, never clipped (after a rotation ``Rotate.reach`` is a bound that
    holds). Only for sums under ``mask()``, which must stand behind it. Errors of ``client``:
    ATL-HOR-120 a value out of reach.
    """

    stage: ClassVar[Stage] = Stage.COMPRESS
    width: Literal[1, 2, 4, 8] = Field(default=8, description="bits of a client's code")
    reach: float = Field(gt=0, le=1e18, description="greatest absolute value of an entry")
    clients: int = Field(ge=1, le=1 << 20, description="most clients of one sum")

    @property
    def levels(self) -> int:
        """The greatest code."""
        return (1 << self.width) - 1

    @property
    def step(self) -> float:
        """The distance of two levels."""
        return 2 * self.reach / self.levels

    @property
    def sum_bits(self) -> int:
        """How many bits the sum of all clients' codes takes."""
        return (self.levels * self.clients).bit_length()

    @property
    def packed(self) -> int:
        """How many codes an element holds, whose sums fit 30 bits together: one at least."""
        return (_RING - 2) // self.sum_bits

    def mask(self) -> Mask:
        """Return the mask of such elements."""
        top = sum(self.levels << (self.sum_bits * at) for at in range(self.packed))
        return Mask(bound=float(top), clients=self.clients, ring=_RING, unit=1.0)

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``; vectors int64[ceil(size / packed)]."""
        vectors = {name: self._elements(name, v, passage) for name, v in update.vectors.items()}
        return Update(vectors, {**update.numbers, CODED: 1.0})

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """See ``Postprocessor.aggregate``."""
        numbers = dict(total.numbers)
        middle = numbers.pop(CODED) * self.levels / 2
        vectors: dict[str, Vector] = {}
        for name, elements in total.vectors.items():
            whole = np.rint(elements).astype(np.int64)
            codes = np.empty((len(whole), self.packed))
            for at in range(self.packed):
                codes[:, at] = whole & ((1 << self.sum_bits) - 1)
                whole >>= self.sum_bits
            vectors[name] = (codes.reshape(-1)[:size] - middle) * self.step
        return Update(vectors, numbers)

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """See ``Postprocessor.refusal``."""
        if any(link.stage == Stage.NOISE for link in links):
            return "puts values on its own grid, and noise has one that is accounted for"
        if self.mask() not in links:
            return "is for masked sums, behind it the mask that it makes"
        if links[links.index(self) + 1].stage == Stage.COMPRESS:
            return "packs values, and nothing but the mask can stand behind it"
        return None

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """See ``Postprocessor.limits``: those of codes."""
        return Limits(self.mask().bound * of.updates, math.inf)

    def length(self, size: int) -> int:
        """See ``Postprocessor.length``."""
        return -(-size // self.packed)

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """See ``Postprocessor.bits``."""
        return self.length(values), _RING

    def _elements(self, name: str, vector: Vector, passage: Passage) -> Vector:
        if vector.size and not float(np.abs(vector).max()) <= self.reach:
            raise DataError(
                "ATL-HOR-120",
                f"{name!r} of an update holds a value beyond {self.reach:g}, the scale of its sum",
                hint="clip updates to the norm that the scale was made for",
            )
        unit = vector.astype(np.float64)
        unit += self.reach
        unit /= self.step
        unit += passage.own.random(len(unit))
        codes = np.zeros(self.length(len(vector)) * self.packed, np.int64)
        codes[: len(vector)] = np.minimum(unit, self.levels)
        table = codes.reshape(-1, self.packed)
        elements = np.zeros(len(table), np.int64)
        for at in range(self.packed):
            elements |= table[:, at] << (self.sum_bits * at)
        # Whole numbers stand in an update where floats do until the sum is taken apart.
        return elements  # type: ignore[return-value]

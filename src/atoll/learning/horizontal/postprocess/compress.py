"""Fewer values and fewer bits: random-k, top-k and stochastic quantisation.

Sources: Konečný et al. 2016 (random masks); Stich, Cordonnier, Jaggi 2018 (top-k with memory);
Alistarh et al., "QSGD" (NeurIPS 2017); Karimireddy et al. 2019 (error feedback).
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Passage, Postprocessor, Stage
from atoll.learning.horizontal.sums import Update


class RandomK(Postprocessor):
    """Sends a share of the values, the same at all clients of a round, scaled to an unbiased sum.

    Which values is drawn in public, so nothing but the values travels, and sums can be masked.
    """

    stage: ClassVar[Stage] = Stage.COMPRESS
    share: float = Field(gt=0, le=1, description="share of the values that is sent")

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        chosen = self._chosen(update, passage)
        return Update({n: v[chosen[n]] for n, v in update.vectors.items()}, update.numbers)

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """See ``Postprocessor.aggregate``."""
        whole = {name: np.zeros(size, v.dtype) for name, v in total.vectors.items()}
        chosen = self._chosen(Update(whole, {}), passage)
        for name, values in total.vectors.items():
            whole[name][chosen[name]] = values * values.dtype.type(size / len(values))
        return Update(whole, total.numbers)

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """See ``Postprocessor.bits``."""
        return self._count(values), bits

    def _count(self, size: int) -> int:
        return max(1, round(self.share * size))

    def _chosen(self, update: Update, passage: Passage) -> dict[str, Vector]:
        generator = passage.public["random-k"]
        return {
            name: np.sort(generator.choice(len(v), self._count(len(v)), replace=False))
            for name, v in sorted(update.vectors.items())
        }


class TopK(Postprocessor):
    """Sends the share of values that are largest in absolute value, and where they stand.

    What is left out is added to the client's next update (``feedback``). Which values a client
    sends shows where its update is large; it cannot be masked.
    """

    stage: ClassVar[Stage] = Stage.COMPRESS
    linear: ClassVar[bool] = False
    share: float = Field(gt=0, le=1, description="share of the values that is sent")
    feedback: bool = Field(default=True, description="whether what is left out is sent later")

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        return _carried(self, update, passage)

    def keep(self, vector: Vector, passage: Passage) -> Vector:
        """Return ``vector`` with all but its largest values at zero."""
        count = max(1, round(self.share * len(vector)))
        kept = np.zeros_like(vector)
        if count < len(vector):
            at = np.argpartition(np.abs(vector), -count)[-count:]
            kept[at] = vector[at]
            return kept
        return vector.copy()

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """See ``Postprocessor.bits``."""
        count = max(1, round(self.share * values))
        return count, bits + math.ceil(math.log2(max(2, values)))


class Quantise(Postprocessor):
    """Sends each value in ``bits`` bits: the nearest levels of a block's largest, drawn unbiased.

    A block of ``block`` values shares one float32 scale. ``rounding`` stochastic keeps the sum
    unbiased; nearest does not. A scale of its own for each client cannot be masked.
    """

    stage: ClassVar[Stage] = Stage.COMPRESS
    linear: ClassVar[bool] = False
    width: Literal[1, 2, 4, 8] = Field(default=8, description="bits of a value")
    block: int = Field(default=2048, ge=8, le=1 << 20, description="values that share a scale")
    rounding: Literal["stochastic", "nearest"] = "stochastic"
    feedback: bool = Field(default=False, description="whether rounding errors are sent later")

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        return _carried(self, update, passage)

    def keep(self, vector: Vector, passage: Passage) -> Vector:
        """Return what the aggregator reads of ``vector``."""
        codes, scales = self.encode(vector, passage.own)
        return self.decode(codes, scales, len(vector)).astype(vector.dtype, copy=False)

    def encode(
        self, vector: Vector, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return codes uint8[blocks, block] below 2^width, and float32 scales by block."""
        blocks = -(-len(vector) // self.block)
        padded = np.zeros(blocks * self.block, dtype=np.float32)
        padded[: len(vector)] = vector
        table = padded.reshape(blocks, self.block)
        scales = np.abs(table).max(axis=1)
        levels = (1 << self.width) - 1
        # From -scale … scale to 0 … levels; an empty block stays at its middle.
        unit = table / np.where(scales, scales, 1)[:, None]
        unit += 1
        unit *= levels / 2
        if self.rounding == "stochastic":
            unit += generator.random(unit.shape, dtype=np.float32)
            np.floor(unit, out=unit)
        else:
            np.rint(unit, out=unit)
        return np.clip(unit, 0, levels).astype(np.uint8), scales

    def decode(self, codes: np.ndarray, scales: np.ndarray, size: int) -> Vector:
        """Return float32[size] of codes and scales."""
        levels = (1 << self.width) - 1
        table = codes.astype(np.float32)
        table *= 2 / levels
        table -= 1
        table *= scales[:, None]
        return table.reshape(-1)[:size]

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """See ``Postprocessor.bits``."""
        return values, self.width + 32 / self.block


def _carried(link: TopK | Quantise, update: Update, passage: Passage) -> Update:
    """Pass each vector through ``link.keep``, with what it left out before added first."""
    vectors = {}
    for name, vector in update.vectors.items():
        key = f"left out.{name}"
        if link.feedback and key in passage.kept:
            vector = vector + passage.kept[key]
        sent = link.keep(vector, passage)
        if link.feedback:
            passage.kept[key] = vector - sent
        vectors[name] = sent
    return Update(vectors, update.numbers)

"""Fewer values and fewer bits: random-k, top-k and stochastic quantisation.

Sources: Konečný et al. 2016 (random masks); Stich, Cordonnier, Jaggi 2018 (top-k with memory);
Alistarh et al., "QSGD" (NeurIPS 2017); Karimireddy et al. 2019 (error feedback, scaled signs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from atoll.core.errors import UserError
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import (
    Bytes,
    Coder,
    Limits,
    Passage,
    Postprocessor,
    Stage,
)
from atoll.learning.horizontal.postprocess.coding import pack, packed_bytes, unpack
from atoll.learning.horizontal.sums import Extent, Update

# What float32 rounds by.
_TOLERANCE = 1e-4


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

    def length(self, size: int) -> int:
        """See ``Postprocessor.length``."""
        return max(1, round(self.share * size))

    def _chosen(self, update: Update, passage: Passage) -> dict[str, Vector]:
        generator = passage.public["random-k"]
        return {
            name: np.sort(generator.choice(len(v), self.length(len(v)), replace=False))
            for name, v in sorted(update.vectors.items())
        }


class TopK(Coder):
    """Sends the share of values that are largest in absolute value, and where they stand.

    What is left out is added to the client's next update (``feedback``). Which values a client
    sends shows where its update is large; it cannot be masked. On the wire: the positions in
    ascending order, ceil(log2 size) bits each, then the values in float32.
    """

    share: float = Field(gt=0, le=1, description="share of the values that is sent")
    feedback: bool = Field(default=True, description="whether what is left out is sent later")

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        return _carried(self, update, passage)

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """See ``Postprocessor.refusal``."""
        return _not_carried(self, links)

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """See ``Postprocessor.limits``: a value that is left out each time adds up over rounds."""
        times = (of.round + 1 if self.feedback else 1) * (1 + _TOLERANCE)
        return Limits(before.most * times, before.norm * times)

    def keep(self, name: str, vector: Vector, passage: Passage) -> Vector:
        """Return ``vector`` with all but its largest values at zero."""
        count, size = self._count(len(vector)), len(vector)
        at = np.arange(size)
        if count < size:
            at = np.sort(np.argpartition(np.abs(vector), -count)[-count:])
        values = vector[at].astype("<f4")
        kept = np.zeros_like(vector)
        kept[at] = values
        if passage.wire is not None:
            positions = pack(at.astype(np.uint32), _width_of(size))
            passage.wire[name] = np.concatenate([positions, values.view(np.uint8)])
        return kept

    def coded_bytes(self, size: int) -> int:
        """See ``Coder.coded_bytes``."""
        return packed_bytes(self._count(size), _width_of(size)) + 4 * self._count(size)

    def read(self, data: Bytes, size: int) -> Vector:
        """See ``Coder.read``."""
        count = self._count(size)
        if data.shape != (self.coded_bytes(size),):
            raise ValueError("another number of bytes")
        at = unpack(data[: -4 * count], count, _width_of(size)).astype(np.int64)
        if at[-1] >= size or (np.diff(at) <= 0).any():
            raise ValueError("positions that do not ascend within the vector")
        whole = np.zeros(size, np.float32)
        whole[at] = np.frombuffer(data[-4 * count :].tobytes(), "<f4")
        return whole

    def _count(self, size: int) -> int:
        return max(1, round(self.share * size))


class Quantise(Coder):
    """Sends each value in ``width`` bits: the nearest levels of a block's largest, drawn unbiased.

    A block of ``block`` values shares one float32 scale. ``rounding`` stochastic keeps the sum
    unbiased; nearest does not, and of one bit it is the sign times the block's mean absolute
    value. A scale of its own for each client cannot be masked. On the wire: the codes, ``width``
    bits each, then the scales. Errors: ATL-HOR-124 feedback of errors that grow.
    """

    width: Literal[1, 2, 4, 8] = Field(default=8, description="bits of a value")
    block: int = Field(default=2048, ge=8, le=1 << 20, description="values that share a scale")
    rounding: Literal["stochastic", "nearest"] = "stochastic"
    feedback: bool = Field(default=False, description="whether rounding errors are sent later")

    @model_validator(mode="after")
    def _shrinking(self) -> Self:
        if self.feedback:
            self.require_shrinking()
        return self

    def require_shrinking(self) -> None:
        """Refuse one bit drawn at random where errors are fed back. Errors: ATL-HOR-124.

        It is off by up to twice the largest value, so that errors would grow without end; all
        others are off by two thirds of it at most, the sign by less than the vector's length.
        """
        if self.width == 1 and self.rounding == "stochastic":
            raise UserError(
                "ATL-HOR-124",
                "errors of one bit drawn at random grow when they are fed back",
                hint="choose rounding: nearest, two bits or more, or no feedback",
            )

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        return _carried(self, update, passage)

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """See ``Postprocessor.refusal``."""
        return _not_carried(self, links)

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """See ``Postprocessor.limits``: a value moves by less than one level."""
        times = (of.round + 1 if self.feedback else 1) * (1 + _TOLERANCE)
        level = 2 * before.most / ((1 << self.width) - 1)
        return Limits(before.most * times, (before.norm + level * math.sqrt(size)) * times)

    def keep(self, name: str, vector: Vector, passage: Passage) -> Vector:
        """Return what the aggregator reads of ``vector``."""
        codes, scales = self.encode(vector, passage.own)
        if passage.wire is not None:
            data = pack(codes.reshape(-1)[: len(vector)], self.width)
            passage.wire[name] = np.concatenate([data, scales.astype("<f4").view(np.uint8)])
        return self.decode(codes, scales, len(vector)).astype(vector.dtype, copy=False)

    def coded_bytes(self, size: int) -> int:
        """See ``Coder.coded_bytes``."""
        return packed_bytes(size, self.width) + 4 * self._blocks(size)

    def read(self, data: Bytes, size: int) -> Vector:
        """See ``Coder.read``."""
        blocks = self._blocks(size)
        if data.shape != (self.coded_bytes(size),):
            raise ValueError("another number of bytes")
        scales = np.frombuffer(data[-4 * blocks :].tobytes(), "<f4")
        if not np.isfinite(scales).all() or (scales < 0).any():
            raise ValueError("a scale is not a positive number")
        codes = np.zeros(blocks * self.block, np.uint8)
        codes[:size] = unpack(data[: -4 * blocks], size, self.width)
        return self.decode(codes.reshape(blocks, self.block), scales, size)

    def _blocks(self, size: int) -> int:
        return -(-size // self.block)

    def encode(
        self, vector: Vector, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return codes uint8[blocks, block] below 2^width, and float32 scales by block."""
        blocks = self._blocks(len(vector))
        padded = np.zeros(blocks * self.block, dtype=np.float32)
        padded[: len(vector)] = vector
        table = padded.reshape(blocks, self.block)
        scales = np.abs(table).max(axis=1)
        if self.width == 1 and self.rounding == "nearest":
            counts = np.full(blocks, self.block, np.float32)
            counts[-1] -= padded.size - len(vector)
            scales = np.abs(table).sum(axis=1) / counts
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


def _carried(link: TopK | Quantise, update: Update, passage: Passage) -> Update:
    """Pass each vector through ``link.keep``, with what it left out before added first."""
    vectors = {}
    for name, vector in update.vectors.items():
        key = f"left out.{name}"
        if link.feedback and key in passage.kept:
            vector = vector + passage.kept[key]
        sent = link.keep(name, vector, passage)
        if link.feedback:
            passage.kept[key] = vector - sent
        vectors[name] = sent
    return Update(vectors, update.numbers)


def _not_carried(link: TopK | Quantise, links: Sequence[Postprocessor]) -> str | None:
    """Refuse to carry over what stands elsewhere in the next round."""
    for before in links[: links.index(link)]:
        if link.feedback and before.stage == Stage.COMPRESS:
            return f"carries over what {type(before).__name__} puts elsewhere in each round"
    return None


def _width_of(size: int) -> int:
    return max(1, (size - 1).bit_length())

"""What updates of honest clients lie within: each keeps to it, and what they hand in is checked.

One definition for both sides. A client cuts each value to a bound times its own weight. Without a
mask the aggregator holds each update to that, and to what the links of the chain make of it; masks
hide whose values are beyond their share, so there the sum as a whole is held to it. Within these
limits a lying client can still take all of ``bound``, and under masks whatever rows it has.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from atoll.learning.horizontal.algorithm import Algorithm, wrapped
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.parties.measured import FIGURE, LOSS, ROWS
from atoll.learning.horizontal.postprocess.api import Limits, Stage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import norm
from atoll.learning.horizontal.sums import MOST_NUMBER, Extent, Update, greatest

# What adding in float64 rounds.
_ROUNDED = 1 + 2.0**-40
# Rows of a client where a plan does not know how many: the range of a masked number.
_UNKNOWN = 1 << 40
# Values that are cut at once.
_BLOCK = 1 << 18


def extent_of(
    rows: Mapping[str, int], there: Collection[str], clients: int, round_: int = 0
) -> Extent:
    """Return what stands behind the updates of ``there``; ``rows`` by client, 0 where unknown."""
    known = {name: count or _UNKNOWN for name, count in rows.items()}
    each = [known.get(name, _UNKNOWN) for name in there]
    return Extent(len(there), sum(each), max(known.values(), default=_UNKNOWN), clients, round_)


@dataclass(frozen=True)
class Range:
    """The range of the updates of a training, over vectors float[size] of a model.

    ``bound`` is the greatest absolute value of what is weighed, by weight 1. Behind noise there are
    no weights, and a clip bounds values. ``classifies``: a figure counts right classes.
    """

    algorithm: Algorithm
    chain: Chain
    bound: float
    size: int
    classifies: bool = False

    def fitted(self, made: Update, of: Extent) -> Update:
        """Return a client's update with its values cut; one within the range is returned itself.

        Values within it keep their bits. The work is the same whether anything is cut or not.
        """
        if self._weighing is None:
            return made
        cut = {}
        for name, vector in made.vectors.items():
            cut[name] = _cut(vector, self._most(name, made.numbers, of))
        if all(cut[name] is vector for name, vector in made.vectors.items()):
            return made
        return Update(cut, made.numbers)

    def refusal(self, found: Update, of: Extent) -> str | None:
        """Return why what left a client, or the sum of several, is not of honest ones, else None.

        ``found`` has passed the chain at its clients, and is finite.
        """
        if not self._counted(found, of):
            return "its numbers cannot be"
        count, longest = len(found.vectors), 0.0
        for name, vector in found.vectors.items():
            start = Limits(self._most(name, found.numbers, of), math.inf)
            limits = self.chain.limits(start, of, self.size, count)
            if greatest(vector) > limits.most * _ROUNDED:
                return "a value is beyond its bound"
            longest = max(longest, limits.norm * _ROUNDED)
        if count and longest < math.inf and norm(found) > longest:
            return "it is longer than its clip"
        return None

    def weightless(self, total: Update) -> bool:
        """Return whether none of a sum's clients weighs anything."""
        part = self._weighing
        return part is not None and total.numbers[part.stated_weight or ""] <= 0

    @property
    def _weighing(self) -> Algorithm | None:
        """The algorithm, without what wraps it, where clients state what they weigh."""
        if any(link.stage == Stage.NOISE for link in self.chain.links):
            return None
        return next((part for part in wrapped(self.algorithm) if part.stated_weight), None)

    def _most(self, name: str, numbers: Mapping[str, float], of: Extent) -> float:
        """Return the greatest absolute value of a vector before the chain."""
        part = self._weighing
        if part is None:
            return math.inf
        if name in part.weighed:
            return self.bound * part.units(numbers, of)
        # What is not weighed has the room that the heaviest client's values have.
        return self.bound * part.heaviest(of) * of.updates

    def _counted(self, found: Update, of: Extent) -> bool:
        numbers, part = found.numbers, self._weighing
        if any(value < 0 for name, value in numbers.items() if name != LOSS):
            return False
        if max(map(abs, numbers.values()), default=0.0) > MOST_NUMBER:
            return False
        if self.classifies and numbers.get(FIGURE, 0.0) > numbers.get(ROWS, 0.0):
            return False
        return part is None or not found.vectors or part.possible(found, of)


def _cut(vector: Vector, limit: float) -> Vector:
    """Return a vector with its values cut to ``limit``; itself where all are within."""
    most, cut, changed = _below(limit, vector), np.empty_like(vector), False
    for first in range(0, len(vector), _BLOCK):
        part = cut[first : first + _BLOCK]
        np.clip(vector[first : first + _BLOCK], -most, most, out=part)
        changed |= not np.array_equal(vector[first : first + _BLOCK], part)
    return cut if changed else vector


def _below(limit: float, vector: Vector) -> np.floating:
    """Return the greatest value of a vector's format that is not above ``limit``."""
    with np.errstate(over="ignore"):
        nearest = vector.dtype.type(limit)
    return nearest if float(nearest) <= limit else np.nextafter(nearest, vector.dtype.type(0))

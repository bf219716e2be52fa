"""Updates as whole numbers that a secure sum adds: the last link of a chain.

A vector's values are rounded to one public grid. The numbers of an update (weights, losses, counts)
travel beside them in digits, on a grid of their own on which counts are exact. In a simulation the
same whole numbers are added in the clear, so a simulated sum has the bits of a masked one.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.core.errors import DataError
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Limits, Passage, Postprocessor, Stage
from atoll.learning.horizontal.sums import Extent, Update
from atoll.operators.secure_sum.api import SumParameters
from atoll.operators.secure_sum.fixed_point import FixedPoint

Units = npt.NDArray[np.signedinteger]
Parts = tuple[tuple[str, int], ...]

# A number is within 2^40 and a multiple of 2^-20.
NUMBER_BITS, NUMBER_FRACTION = 40, 20
NUMBER = "number."
CUT = "ATL-SUM-002"
# Values that are cut and rounded at once.
_BLOCK = 1 << 16
MASKED = "masked"
# How far from its grid a value of noise may be by the rounding of its format.
_OFF_GRID = 1e-3


class Mask(Postprocessor):
    """Rounds an update to what is summed under masks: whole numbers in a ring of ``bits`` bits.

    ``bound`` is for what is summed: a client's weight is in the values already, and the tail of
    noise is part of it. What does not fit is an error at its owner, before anything is sent. Where
    others choose what an update is made from, an error would show them one client's values: with
    ``Passage.cut`` what does not fit is cut to the range, and its owner alone knows.

    Without ``unit`` values are rounded to the finest grid that ``clients`` sums fit; behind noise
    ``unit`` is the noise's own grid, values must lie on it, and clients · bound must fit the ring
    in such units. Errors of ``client``: ATL-SUM-002 a value or number out of range or not finite,
    ATL-HOR-052 one beside the grid; of the link: ATL-SUM-001.
    """

    stage: ClassVar[Stage] = Stage.MASK
    bound: float = Field(gt=0, le=1e18, description="greatest absolute value of a summed entry")
    clients: int = Field(ge=1, le=1 << 20, description="most clients of one sum")
    ring: Literal[32, 64] = Field(default=32, description="bits of a ring element")
    unit: float | None = Field(
        default=None, gt=0, le=1e12, description="grid of the values, where noise has one"
    )

    def model_post_init(self, _: object) -> None:
        """Refuse a range that the ring cannot hold. Errors: ATL-SUM-001."""
        self.form()

    def form(self) -> FixedPoint:
        """Return how values lie in the ring."""
        return FixedPoint(self.bound, self.clients, self.ring, self.unit)

    def client(self, update: Update, passage: Passage) -> Update:
        """Return the update in ring units: int32 or int64[size], and digits for each number."""
        form = self.form()
        vectors: dict[str, Vector] = {}
        for name, vector in update.vectors.items():
            vectors[name] = _as_vector(self._units(form, name, vector, passage.cut))
        for name, value in {**update.numbers, MASKED: 1.0}.items():
            if passage.cut is not None:
                (within,), cut = _within(np.array([value]), 2.0**NUMBER_BITS)
                value = float(within)
                passage.cut += [CUT] * cut
            vectors[NUMBER + name] = _as_vector(self._digits(name, value))
        return Update(vectors, {})

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """Return the sum in float64, with its numbers. Errors: ATL-HOR-053 too many clients."""
        scale = self.form().scale
        vectors: dict[str, Vector] = {}
        numbers: dict[str, float] = {}
        for name, units in total.vectors.items():
            if name.startswith(NUMBER):
                numbers[name.removeprefix(NUMBER)] = self._joined(units)
            else:
                vectors[name] = units / scale
        if numbers.pop(MASKED) > self.clients:
            raise DataError(
                "ATL-HOR-053",
                f"more than {self.clients} clients are in one masked sum",
                hint="the mask's clients bound what fits the ring: raise it, or draw fewer",
            )
        return Update(vectors, numbers)

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """See ``Postprocessor.limits``: each client rounds by half a unit at most."""
        off = of.updates / self.form().scale
        return Limits(before.most + off, before.norm + off * math.sqrt(size))

    def counted(self, total: Update) -> int:
        """Return how many clients' updates a sum in ring units is of, as it states itself."""
        return round(self._joined(total.vectors[NUMBER + MASKED]))

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """See ``Postprocessor.bits``."""
        return values, self.ring

    def parameters(self, parts: Parts) -> SumParameters:
        """Return the secure sum of updates in ring units with these ``parts``."""
        # Whole numbers with their own unit: rounding was done here.
        bound = max(self.form().most, float(1 << self._width()))
        size = sum(length for _, length in parts)
        return SumParameters(size=size, bound=bound, bits=self.ring, unit=1.0)

    def _units(self, form: FixedPoint, name: str, vector: Vector, cut: list[str] | None) -> Units:
        """Return a vector in ring units; with ``cut`` what is out of range is cut to it.

        The work is the same whether anything is cut or not.
        """
        units, passed = np.empty(len(vector), form.signed), False
        for first in range(0, len(vector), _BLOCK):
            span = slice(first, first + _BLOCK)
            block, changed = vector[span], False
            if cut is not None:
                block, changed = _within(block, self._reach())
            units[span] = form.encode(block).view(form.signed)
            passed |= changed
            if self.unit is not None and not changed:
                _on_grid(name, vector[span], units[span], form.scale)
        if cut is not None:
            cut += [CUT] * passed
        return units

    def _reach(self) -> float:
        """Return the greatest absolute value that fits: with a unit, the last on its grid."""
        if self.unit is None:
            return self.bound
        return float(np.floor(self.bound / self.unit)) * self.unit

    def _width(self) -> int:
        """Return the bits of a digit: the sum of all clients' fits the ring with its sign."""
        return self.ring - 2 - self.clients.bit_length()

    def _digits(self, name: str, value: float) -> Units:
        """Return a number in digits with its sign, the lowest first."""
        if not abs(value) <= 2.0**NUMBER_BITS:
            raise DataError(
                "ATL-SUM-002",
                f"{name!r} of an update is not within 2^{NUMBER_BITS}, the range of its sum",
            )
        whole, width = round(abs(value) * 2.0**NUMBER_FRACTION), self._width()
        sign = -1 if value < 0 else 1
        places = range(0, NUMBER_BITS + NUMBER_FRACTION + 1, width)
        mask = (1 << width) - 1
        digits = [sign * (whole >> place & mask) for place in places]
        return np.array(digits, dtype=self.form().signed)

    def _joined(self, digits: npt.NDArray[np.generic]) -> float:
        width = self._width()
        whole = sum(int(digit) << (i * width) for i, digit in enumerate(digits.tolist()))
        return whole / (1 << NUMBER_FRACTION)


def parts_of(update: Update) -> Parts:
    """Return the names and lengths of what an update in ring units consists of, in their order."""
    return tuple(sorted((name, len(vector)) for name, vector in update.vectors.items()))


def flatten(update: Update, parts: Parts) -> Units:
    """Return one vector, int32 or int64[size], of an update in ring units.

    Errors: ATL-HOR-051 an update of other names or lengths than all agreed on.
    """
    if update.numbers or parts_of(update) != parts:
        raise _other_parts()
    vectors = [update.vectors[name] for name, _ in parts]
    return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)  # type: ignore[return-value]


def unflatten(units: Units, parts: Parts) -> Update:
    """Return the update in ring units that lies in ``units``, shape [size].

    Errors: ATL-HOR-051 a vector of another size.
    """
    if units.shape != (sum(length for _, length in parts),):
        raise _other_parts()
    vectors: dict[str, Vector] = {}
    start = 0
    for name, length in parts:
        vectors[name] = _as_vector(units[start : start + length])
        start += length
    return Update(vectors, {})


def _as_vector(units: Units) -> Vector:
    """Whole numbers stand in an update where floats do until the sum is taken apart."""
    return units  # type: ignore[return-value]


def _within(vector: Vector, reach: float) -> tuple[Vector, bool]:
    """Return a vector with its values cut to ``reach``, and whether any was beyond.

    What is not a number becomes 0.
    """
    # In float64, so that a bound between two values of float32 is not rounded up.
    within = np.clip(np.nan_to_num(vector.astype(np.float64), nan=0.0), -reach, reach)
    return within, not np.array_equal(within, vector)


def _on_grid(name: str, vector: Vector, units: Units, scale: float) -> None:
    beside = np.abs(vector * np.float64(scale) - units)
    if beside.size and beside.max() > _OFF_GRID:
        raise DataError(
            "ATL-HOR-052",
            f"{name!r} of an update holds a value beside the grid of its noise",
            hint="what is rounded after its noise is not the noise that was accounted for",
        )


def _other_parts() -> DataError:
    return DataError("ATL-HOR-051", "an update has other parts than this round's sum")

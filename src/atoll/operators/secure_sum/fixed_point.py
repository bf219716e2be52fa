"""Real vectors as ring elements: one scale and one range for all, checked at their owner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError

_BLOCK = 1 << 18

Numbers = npt.NDArray[np.floating] | npt.NDArray[np.signedinteger]


@dataclass(frozen=True)
class FixedPoint:
    """Values of at most ``bound`` in absolute value, for at most ``clients``, in ``bits`` bits.

    Without ``unit`` the scale is the greatest power of two at which the sum of all clients fits the
    ring; with it the scale is 1 / ``unit``, a grid that all agreed on. A value is rounded to the
    nearest multiple of 1/scale, so a sum is off by at most clients / (2 · scale).
    Errors: ATL-SUM-001 for a range that the ring cannot hold; ``encode``: ATL-SUM-002 for a value
    out of range or not finite, which is its owner's error and never a wrong sum, ATL-SUM-021 for
    whole numbers on another grid than theirs.
    """

    bound: float
    clients: int
    bits: int = 32
    unit: float | None = None

    def __post_init__(self) -> None:
        if self.bits not in (32, 64) or not 0 < self.bound < 1e300 or self.clients < 1:
            raise UserError(
                "ATL-SUM-001", "a sum needs a bound, clients, and a ring of 32 or 64 bits"
            )
        if self.unit is not None and not 0 < self.unit < 1e300:
            raise UserError("ATL-SUM-001", "the unit of a sum is above 0")
        if self.bound * self.scale < 1 or self.most * self.clients >= 2.0 ** (self.bits - 1):
            raise UserError(
                "ATL-SUM-001",
                f"{self.clients} values up to {self.bound:g} do not fit {self.bits} bits",
                hint="lower the bound, or use the ring of 64 bits",
            )

    @cached_property
    def scale(self) -> float:
        """Ring units of the value 1: a power of two unless a unit is given."""
        if self.unit is not None:
            return 1 / self.unit
        # One bit for the sign; each client may round up by half a unit.
        room = 2.0 ** min(self.bits - 1, 52 + 10) / self.clients - 1
        return float(2.0 ** np.floor(np.log2(room / self.bound))) if room > 0 else 0.0

    @property
    def most(self) -> float:
        """The greatest absolute value of an entry in ring units, a whole number."""
        return float(np.floor(self.bound * self.scale + 0.5))

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The ring's elements."""
        return np.dtype(f"<u{self.bits // 8}")

    @property
    def signed(self) -> np.dtype[np.signedinteger]:
        """The ring's elements, read with their sign."""
        return np.dtype(f"<i{self.bits // 8}")

    def check(self, values: Numbers) -> None:
        """Refuse values out of range, of any shape. Errors: ATL-SUM-002, ATL-SUM-021."""
        if values.dtype.kind == "i" and self.scale != 1:
            raise DataError("ATL-SUM-021", "whole numbers are summed with the unit 1 alone")
        # Written so that a value that is not a number fails, too.
        if values.size and not max(float(values.max()), -float(values.min())) <= self.bound:
            raise DataError(
                "ATL-SUM-002",
                f"a value is not within {self.bound:g}, the range of this sum",
                hint="clip updates before they are summed, or agree on a greater bound",
            )

    def encode(self, values: Numbers) -> npt.NDArray[np.unsignedinteger]:
        """Return ring elements, uint32 or uint64, shape as ``values``. Errors: as ``check``."""
        self.check(values)
        if values.dtype.kind == "i":
            return values.astype(self.signed).view(self.dtype)
        if values.ndim == 1 and len(values) > _BLOCK:
            # Block by block, for no more than the result is held beside the values.
            whole = np.empty(len(values), self.dtype)
            for first in range(0, len(values), _BLOCK):
                whole[first : first + _BLOCK] = self._rounded(values[first : first + _BLOCK])
            return whole
        return self._rounded(values)

    def _rounded(self, values: Numbers) -> npt.NDArray[np.unsignedinteger]:
        # In float32 a product by a power of two is exact, and half the work.
        exact = values.dtype == np.float32 and np.frexp(self.scale)[0] == 0.5 and self.scale < 1e30
        kind = np.float32 if exact else np.float64
        scaled = np.multiply(values, kind(self.scale), dtype=kind)
        return np.rint(scaled, out=scaled).astype(self.signed).view(self.dtype)

    def decode(self, total: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float64]:
        """Return the sum that ring elements stand for, float64, shape as ``total``."""
        return total.view(self.signed) / self.scale

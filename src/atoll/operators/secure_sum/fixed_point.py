"""Real vectors as ring elements: one scale and one range for all, checked at their owner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class FixedPoint:
    """Values of at most ``bound`` in absolute value, for at most ``clients``, in ``bits`` bits.

    The scale is the greatest power of two at which the sum of all clients fits the ring; a value is
    rounded to the nearest multiple of 1/scale, so a sum is off by at most clients / (2 · scale).
    Errors: ATL-SUM-001 for a range that the ring cannot hold; ``encode``: ATL-SUM-002 for a value
    out of range or not finite, which is its owner's error and never a wrong sum.
    """

    bound: float
    clients: int
    bits: int = 32

    def __post_init__(self) -> None:
        if self.bits not in (32, 64) or not 0 < self.bound < 1e300 or self.clients < 1:
            raise UserError(
                "ATL-SUM-001", "a sum needs a bound, clients, and a ring of 32 or 64 bits"
            )
        if self.scale * self.bound < 1:
            raise UserError(
                "ATL-SUM-001",
                f"{self.clients} values up to {self.bound:g} do not fit {self.bits} bits",
                hint="lower the bound, or use the ring of 64 bits",
            )

    @property
    def scale(self) -> float:
        """Ring units of the value 1: a power of two."""
        # One bit for the sign; each client may round up by half a unit.
        room = 2.0 ** min(self.bits - 1, 52 + 10) / self.clients - 1
        return float(2.0 ** np.floor(np.log2(room / self.bound)))

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The ring's elements."""
        return np.dtype(f"<u{self.bits // 8}")

    def encode(self, values: Floats) -> npt.NDArray[np.unsignedinteger]:
        """Return ring elements, uint32 or uint64, shape as ``values``. Errors: ATL-SUM-002."""
        # Written so that a value that is not a number fails, too.
        if values.size and not max(float(values.max()), -float(values.min())) <= self.bound:
            raise DataError(
                "ATL-SUM-002",
                f"a value is not within {self.bound:g}, the range of this sum",
                hint="clip updates before they are summed, or agree on a greater bound",
            )
        signed = np.dtype(f"<i{self.bits // 8}")
        return np.rint(values * np.float64(self.scale)).astype(signed).view(self.dtype)

    def decode(self, total: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float64]:
        """Return the sum that ring elements stand for, float64."""
        return total.view(np.dtype(f"<i{self.bits // 8}")) / self.scale

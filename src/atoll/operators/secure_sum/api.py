"""Secure sum: the aggregator learns the sum of the clients' vectors, and no vector.

    each client                              aggregator
    fresh keys, signed            ───▶
                                  ◀───       the keys of all
    shares of its secrets, sealed ───▶
                                  ◀───       what the others sealed for it
    its vector under masks        ───▶       (whoever is missing from here on is left out)
                                  ◀───       who survived
    a signature of the survivors  ───▶
                                  ◀───       all signatures
    one share of each client      ───▶       the sum of the survivors' vectors

Clients communicate with the aggregator alone. Safe against an aggregator that lies and less than a
third of the clients with it; a lying client can make the sum wrong, as it can by its values.
Source: Bonawitz et al., "Practical Secure Aggregation" (CCS 2017), active variant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import DataError
from atoll.core.reveal import Reveal
from atoll.operators.secure_sum.fixed_point import FixedPoint
from atoll.operators.secure_sum.identities import Identities

Implementation = Literal["ideal", "masked"]
Floats = npt.NDArray[np.floating]


class SumParameters(BaseModel):
    """What all agree on before a sum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1, le=1 << 31, description="values of each vector")
    bound: float = Field(gt=0, le=1e12, description="greatest absolute value of an entry")
    bits: Literal[32, 64] = Field(default=32, description="bits of a ring element")
    stay: float = Field(
        default=0.67, gt=0.66, le=1, description="share of the clients that must stay to the end"
    )

    def threshold(self, clients: int) -> int:
        """Return how many of so many clients must stay: more than two thirds."""
        return max(2 * clients // 3 + 1, int(np.ceil(self.stay * clients)))

    def form(self, clients: int) -> FixedPoint:
        """Return how values lie in the ring. Errors: ATL-SUM-001."""
        return FixedPoint(self.bound, clients, self.bits)


@dataclass(frozen=True)
class SumInputs:
    """A client's vector, float32 or float64[size]; None at the aggregator.

    ``identities`` sign and verify.
    """

    values: Floats | None
    identities: Identities


@dataclass(frozen=True)
class SumResult:
    """The sum, float64[size], and whose vectors are in it; both None at clients."""

    total: npt.NDArray[np.float64] | None
    survivors: tuple[str, ...] | None


def vector_of(inputs: SumInputs, parameters: SumParameters) -> Floats:
    """Return a client's vector, float32 or float64[size]. Errors: ATL-SUM-004."""
    if inputs.values is None or inputs.values.shape != (parameters.size,):
        raise DataError("ATL-SUM-004", "this client's vector has another size than the plan states")
    return inputs.values


REVEALS: dict[str, tuple[Reveal, ...]] = {
    "ideal": (
        Reveal(
            "client", "aggregator", "secure-sum.ideal.vector", "values", "size", "the vector itself"
        ),
    ),
    # Sizes for a sum in which all clients stay.
    "masked": (
        Reveal(
            "client",
            "aggregator",
            "secure-sum.opened",
            "shares",
            "33 * clients",
            "with enough others', the sum of the survivors' vectors",
        ),
        Reveal(
            "aggregator",
            "client",
            "secure-sum.survivors",
            "names",
            "clients",
            "which clients' vectors are in the sum",
        ),
    ),
}

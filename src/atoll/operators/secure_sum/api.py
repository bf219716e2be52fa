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
With many clients each shares masks with some others that it draws itself (``masked.graph``).
Source: Bonawitz et al., "Practical Secure Aggregation" (CCS 2017), active variant.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from atoll.channel.identities import Identities
from atoll.channel.party import Party
from atoll.core.codec import encode
from atoll.core.errors import DataError, UserError
from atoll.core.reveal import Reveal
from atoll.operators.secure_sum.fixed_point import FixedPoint, Numbers
from atoll.operators.secure_sum.masked.graph import Graph, sparse

Implementation = Literal["ideal", "masked"]


class SumParameters(BaseModel):
    """What all agree on before a sum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1, le=1 << 31, description="values of each vector")
    bound: float = Field(gt=0, le=1e19, description="greatest absolute value of an entry")
    bits: Literal[32, 64] = Field(default=32, description="bits of a ring element")
    unit: float | None = Field(
        default=None, gt=0, le=1e12, description="grid of the values; empty: the finest that fits"
    )
    stay: float = Field(
        default=0.67, gt=0.66, le=1, description="share of the clients that must stay to the end"
    )
    graph: Literal["auto", "complete", "sparse"] = Field(
        default="auto", description="who shares masks: all with all, or with some of many"
    )
    corrupt: float = Field(
        default=1 / 3,
        ge=0,
        le=1 / 3,
        description="sparse: share of the clients that may work together with the aggregator",
    )
    leave: float = Field(
        default=0.1, ge=0, le=1 / 3, description="sparse: share of the clients that may leave"
    )

    def threshold(self, clients: int) -> int:
        """Return how many of so many clients must stay: more than two thirds."""
        return max(2 * clients // 3 + 1, int(np.ceil(self.stay * clients)))

    def form(self, clients: int) -> FixedPoint:
        """Return how values lie in the ring. Errors: ATL-SUM-001."""
        return FixedPoint(self.bound, clients, self.bits, self.unit)

    def graph_of(self, clients: int) -> Graph:
        """Return who shares masks among so many clients.

        ``auto`` is the complete graph until a sparse one that is sound saves half of the masks:
        from about 600 clients on with the default shares, 300 where a twentieth leaves.
        Errors: ATL-SUM-018 a sparse graph is asked for and no sound one is so sparse.
        """
        found = None
        if self.graph != "complete":
            found = sparse(clients, self.corrupt, self.leave)
        if found is None and self.graph == "sparse":
            raise UserError(
                "ATL-SUM-018",
                f"no sparse graph of {clients} clients is sound and worth it",
                hint="let all share masks with all, or assume fewer that collude or leave",
            )
        return found or Graph(0, self.threshold(clients))


@dataclass(frozen=True)
class SumInputs:
    """A client's vector, float32, float64 or whole numbers [size]; None at the aggregator.

    It may lie in a file (``numpy.memmap``): it is read in blocks. ``identities`` sign and verify.
    ``question`` (32 bytes) names what the vector is, alike in every attempt of a step, and
    ``source`` is a digest of what it was made from. A client then consents once for each question,
    to one source and one set of survivors, so that a sum may be done again after a crash and no two
    sums differ by one vector. Without it no attempt may do the round again.
    """

    values: Numbers | None
    identities: Identities
    question: bytes | None = None
    source: bytes = b""


@dataclass(frozen=True)
class SumResult:
    """The sum in ring units, int32 or int64[size], their scale, and whose vectors are in it.

    All None at clients. A large sum lies in a file; ``units`` may then be read in blocks.
    """

    units: npt.NDArray[np.signedinteger] | None
    survivors: tuple[str, ...] | None
    scale: float | None = None

    @property
    def total(self) -> npt.NDArray[np.float64] | None:
        """The sum, float64[size]."""
        if self.units is None or self.scale is None:
            return None
        return self.units / self.scale


def vector_of(inputs: SumInputs, parameters: SumParameters) -> Numbers:
    """Return a client's vector, shape [size]. Errors: ATL-SUM-004."""
    if inputs.values is None or inputs.values.shape != (parameters.size,):
        raise DataError("ATL-SUM-004", "this client's vector has another size than the plan states")
    return inputs.values


def in_round(party: Party, round_: int) -> Party:
    """Return this party for the sum of one round: on a lane and under a session of its own.

    Nothing made for one round is accepted in another, and tags never meet.
    """
    bound = encode(["atoll/secure-sum/round/v1", party.session, round_])
    return replace(party.at(f"sum {round_}"), session=hashlib.sha256(bound).digest())


REVEALS: dict[str, tuple[Reveal, ...]] = {
    "ideal": (
        Reveal(
            "client", "aggregator", "secure-sum.ideal.vector", "values", "size", "the vector itself"
        ),
    ),
    # Sizes for a sum over the complete graph in which all clients stay; a sparse one opens less.
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

"""Private set intersection of two parties' ids: who has which rows in common.

    guest                                    host
    own rows            ◀───────────────▶   own rows
    masked ids          ◀───────────────▶   masked ids        (shuffled)
    commitment          ◀───────────────▶   commitment        (to the next list)
    doubly masked, cut  ◀───────────────▶   doubly masked, cut (shuffled again)
    the count is enough ◀───────────────▶   the count is enough
    bitmap              ◀───────────────▶   bitmap            (to those entitled)

Both learn the other's number of rows and the number of ids in common; only ``receivers`` learn
which. Below ``minimum_intersection`` everything ends with one constant message. Semi-honest: a
party that lies learns which of the ids in its own list the other holds, whatever the minimum and
``receivers`` say, and is not caught.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.exposure import PSI_RUNS, Exposure
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.core.work import Rate
from atoll.operators.cost import Cost, Edge

Implementation = Literal["ideal", "ecdh"]
Receivers = Literal["both", "guest", "host", "none"]

STATISTICAL_BITS = 40
CHUNK_ROWS_MOST = 1 << 20
EXPOSURE = (Exposure(PSI_RUNS, 1),)
# With AVX2 about five times as long; the portable rate is an estimate.
RATE = Rate(
    "byte",
    {"avx512": 1e-7, "avx2": 4.8e-7, "portable": 1e-6},
    "bench psi: 100,000 ids, 8.4 MB in 0.9 s, one core of a cloud machine with AVX-512",
)
BITMAP_CHUNK = 1 << 22


class PsiParameters(BaseModel):
    """What both parties sign for one intersection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Implementation = Field(default="ecdh", description="how the intersection is computed")
    minimum_intersection: int = Field(
        default=20,
        ge=0,
        le=1 << 40,
        description="refuse below so many common ids; both sets must hold as many, too",
    )
    receivers: Receivers = Field(default="both", description="who learns which ids are in common")
    chunk_rows: int = Field(
        default=1 << 15, ge=1, le=CHUNK_ROWS_MOST, description="rows per message; 32 bytes each"
    )

    def entitles(self, role: Role) -> bool:
        """Return whether a party of this role learns which of its ids are in common."""
        return self.receivers in ("both", str(role))


@dataclass(frozen=True)
class PsiResult:
    """What a party learns: how many ids are in common and, if entitled, where they are.

    ``indices`` is int64[count] into the party's own ids, ordered by the ids' bytes, so that row k
    is the same id at both parties; None for those who only learn the count.
    """

    count: int
    indices: npt.NDArray[np.int64] | None


def tag_bytes(rows_a: int, rows_b: int) -> int:
    """Return how many bytes of a doubly masked id are sent: no accident but with 2⁻⁴⁰.

    Source: ⌈(40 + log₂ n_A + log₂ n_B) / 8⌉, the birthday bound over all pairs.
    """
    return -(-(STATISTICAL_BITS + (max(1, rows_a * rows_b) - 1).bit_length()) // 8)


_TAG = "ceil_div(40 + log2(max(1, rows_guest * rows_host)), 8)"
_ROLES = ("guest", "host")


def reveals(parameters: PsiParameters) -> tuple[Reveal, ...]:
    """Return what a run declares, in the public sizes ``rows_guest``, ``rows_host``, ``count``."""
    return _ideal(parameters) if parameters.protocol == "ideal" else _ecdh(parameters)


def _ecdh(parameters: PsiParameters) -> tuple[Reveal, ...]:
    found: list[Reveal] = []
    for other, role in (_ROLES, _ROLES[::-1]):
        rows = "how many rows the other party has"
        found += [
            Reveal(other, role, "psi.ecdh.hello", "rows", "1", rows),
            Reveal(
                other,
                role,
                "psi.ecdh.tags",
                "tags",
                f"rows_{role} * {_TAG}",
                "how many ids are in common, even when too few to go on (bytes of a shuffled list)",
            ),
            Reveal(other, role, "psi.ecdh.verdict", "accepted", "1", "whether that is enough"),
        ]
        if parameters.receivers in ("both", role):
            what = "which of the own ids are in common"
            size = f"ceil_div(rows_{role}, 8)"
            found.append(Reveal(other, role, "psi.ecdh.bitmap", "bits", size, what))
    return tuple(found)


def _ideal(parameters: PsiParameters) -> tuple[Reveal, ...]:
    found = [
        Reveal("host", "guest", "psi.ideal.ids", "lengths", "rows_host", "every id, in the clear"),
        Reveal("host", "guest", "psi.ideal.ids", "data", "id_bytes_host", "every id, in the clear"),
        Reveal("guest", "host", "psi.ideal.outcome", "rows", "1", "how many rows the guest has"),
        Reveal("guest", "host", "psi.ideal.outcome", "count", "1", "how many ids are in common"),
    ]
    if parameters.receivers in ("both", "host"):
        what = "which of the own ids are in common"
        found.append(Reveal("guest", "host", "psi.ideal.outcome", "positions", "count", what))
    return tuple(found)


def cost(parameters: PsiParameters) -> Cost:
    """Return the declared cost, in ``rows_guest``, ``rows_host``, ``count`` and ``chunk_rows``.

    Rounds and messages hold for bitmaps of at most 2²⁵ rows, which are one message.
    """
    entitled = {role: parameters.receivers in ("both", role) for role in _ROLES}
    if parameters.protocol == "ideal":
        positions = "8 * count" if entitled["host"] else "0"
        ids = "2 * rows_host + id_bytes_host"
        return Cost("0", (Edge("guest", "host", positions, "1"), Edge("host", "guest", ids, "1")))
    chunks = {role: f"max(1, ceil_div(rows_{role}, chunk_rows))" for role in _ROLES}
    edges = []
    for sender, receiver in (_ROLES, _ROLES[::-1]):
        size = f"32 * rows_{sender} + rows_{receiver} * {_TAG}"
        messages = f"3 + {chunks['guest']} + {chunks['host']}"
        if entitled[receiver]:
            size, messages = f"{size} + ceil_div(rows_{receiver}, 8)", f"{messages} + 1"
        edges.append(Edge(sender, receiver, size, messages))
    both = int(all(entitled.values()))
    rounds = f"3 + 2 * min({chunks['guest']}, {chunks['host']}) + {both}"
    return Cost(rounds, tuple(edges))

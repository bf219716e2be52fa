"""What is accounted for: a noisy sum of clipped contributions, and who may take part in it.

The unit is one client with all its rows, or one row of a client where single rows are clipped. Two
neighbouring relations are offered, and each figure names its own:

- ``add-or-remove``: with or without one unit. Where participation, or the number of rows, is seen,
  so that none can be absent, it is one unit's contributions against nothing (zero vectors).
- ``replace``: one client's rows, or one row, replaced by any others; twice as far as the former.

Source: Dwork, Roth, "The Algorithmic Foundations of Differential Privacy" (2014), section 2.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from atoll.core.errors import UserError

UNIT = "client"
LEAST_MULTIPLIER, MOST_MULTIPLIER = 1e-3, 1e6


class Relation(StrEnum):
    """Which two runs are to look alike."""

    ADD_OR_REMOVE = "add-or-remove"
    REPLACE = "replace"


@dataclass(frozen=True)
class Sampling:
    """Who takes part in a round, as far as it may be counted on.

    ``known``: no amplification, since the participants are seen or not drawn at random. ``poisson``
    and ``uniform`` (``count`` of ``registered`` without replacement) amplify only while no one who
    reads the result knows who took part. Errors: ATL-PRV-013 for other ways, such as with
    replacement or by loss, and for a count above the registered.
    """

    method: Literal["known", "poisson", "uniform"] = "known"
    count: int = 1
    registered: int = 1

    def __post_init__(self) -> None:
        if self.method not in ("known", "poisson", "uniform"):
            raise unaccounted(self.method)
        if not 1 <= self.count <= self.registered:
            raise UserError("ATL-PRV-013", "a round has from one to all registered clients")

    @property
    def rate(self) -> float:
        """The chance of a client to take part in a round."""
        return self.count / self.registered


def unaccounted(method: str) -> UserError:
    """Return the refusal of a way to sample that no bound is known for."""
    return UserError(
        "ATL-PRV-013",
        f"no privacy can be accounted for when clients are sampled as {method!r}",
        hint="sample all clients, a fixed number without replacement, or each with one chance",
    )


@dataclass(frozen=True)
class Release:
    """One round's noisy sum.

    ``multiplier`` is the noise's standard deviation over the greatest L2 norm of one client's
    contribution. ``gaussian`` is at least as good as rounded Gaussian noise of that multiplier;
    ``skellam`` has ``grid`` as its standard deviation in units of the integers drawn. Errors:
    ATL-PRV-012 out of bounds.
    """

    multiplier: float
    sampling: Sampling = Sampling()
    mechanism: Literal["gaussian", "skellam"] = "gaussian"
    grid: float = math.inf

    def __post_init__(self) -> None:
        if not LEAST_MULTIPLIER <= self.multiplier <= MOST_MULTIPLIER or self.grid < 1:
            raise UserError(
                "ATL-PRV-012",
                f"a noise multiplier lies from {LEAST_MULTIPLIER:g} to {MOST_MULTIPLIER:g}",
            )


@dataclass(frozen=True)
class Guarantee:
    """A statement of (ε, δ) privacy: its relation, its unit (client, row), which bound gave it."""

    epsilon: float
    delta: float
    relation: Relation
    by: str = ""
    unit: str = UNIT


def require_delta(delta: float) -> float:
    """Return δ if it is above 0 and below 1. Errors: ATL-PRV-012."""
    if not 0 < delta < 1:
        raise UserError("ATL-PRV-012", "δ is a number above 0 and below 1")
    return delta

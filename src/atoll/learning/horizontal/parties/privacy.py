"""Differential privacy between parties: what is asked for, what it takes, and what is spent.

Everything here follows from the parameters and from what the plan states of all parties, so each
party works out the same noise and the same figures for itself before anything runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.postprocess.noise import (
    CentralNoise,
    DistributedNoise,
    LocalNoise,
    Noise,
    nominal,
)
from atoll.privacy.accounting.api import Guarantee, Relation, Release, Sampling
from atoll.privacy.accounting.bounds import guarantee
from atoll.privacy.accounting.calibrate import multiplier_for
from atoll.privacy.accounting.spending import Spending

# The names of both ε, as ``budget`` has them in simulation.
READERS, AGGREGATOR = "epsilon.readers", "epsilon.aggregator"
# Deviations of noise that a sum has room for: more come with a chance below 2^-280.
_TAIL = 20.0
# A row's gradient is cut to the grid; a norm of so many units for each root of the values keeps
# what is cut off below 1 %, and the noise far above one unit.
_FINE = 128.0
_MOST_PLACES = 40
MOST_NOISE = 1e4
# Whole numbers up to here are exact in float64.
_EXACT = 52


class Privacy(BaseModel):
    """(ε, δ) differential privacy of a training: of what unit, and whose noise brings it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0, le=100, description="ε of all rounds together")
    delta: float = Field(default=1e-5, ge=1e-10, lt=0.1, description="δ of all rounds together")
    unit: Literal["row", "client"] = Field(
        default="row", description="what is protected: one row, or a client with all its rows"
    )
    relation: Relation = Field(
        default=Relation.ADD_OR_REMOVE,
        description="add-or-remove: with the unit or with nothing in its place; replace: with any "
        "other in its place (twice as far)",
    )
    noise: Literal["distributed", "local", "central"] = Field(
        default="distributed",
        description="distributed: clients add shares of it under the mask; local: each adds all of "
        "it, without a mask; central: the aggregator adds it to masked sums, which it is trusted "
        "with",
    )
    colluding: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="distributed: clients that may pool what they know, with the aggregator too; "
        "each of them knows its own share of the noise",
    )
    multiplier: float | None = Field(
        default=None,
        ge=1e-3,
        le=MOST_NOISE,
        description="standard deviation of a round's noise, in clips; then rounds end at ε. "
        "Empty: as little as all rounds need for ε",
    )


@dataclass(frozen=True)
class Size:
    """What noise and masks are sized by, as all parties know it.

    ``values`` of the model, ``clients`` of the job, ``minimum`` that must stay, ``rows`` that a
    client has at most and ``all_rows`` that all have together.
    """

    values: int
    clients: int
    minimum: int
    rows: int
    all_rows: int


@dataclass(frozen=True)
class Private:
    """A training with privacy: noise, the mask behind it, and how many rounds ε allows."""

    asked: Privacy
    noise: Noise
    mask: Mask | None
    rounds: int
    size: Size

    @property
    def at_clients(self) -> bool:
        """Whether clients draw noise; else the aggregator does."""
        return self.asked.noise != "central"

    @property
    def chain(self) -> Chain:
        """Return what an update passes before it is summed. Errors: ATL-HOR-050."""
        clip = () if self.asked.unit == "row" else (Clip(norm=self.noise.norm),)
        return Chain((*clip, self.noise, *(() if self.mask is None else (self.mask,))))

    def spent(self, rounds: int) -> Spending:
        """Return what so many rounds guarantee against other clients and the aggregator.

        Nothing amplifies: all rows take part in each round, and who takes part is seen.
        """
        seen = self.noise.aggregator()
        aggregator = None if seen is None else self._bound(seen, rounds)
        return Spending(self._bound(self.noise.readers(Sampling()), rounds), aggregator)

    def _bound(self, release: Release, rounds: int) -> Guarantee:
        asked = self.asked
        return replace(guarantee(release, rounds, asked.delta, asked.relation), unit=asked.unit)


def private(
    asked: Privacy, clip: float, rounds: int, size: Size, constants: Mapping[str, float]
) -> Private:
    """Return the training with noise for (ε, δ), the same at every party.

    ``clip`` is the greatest norm of what one unit adds, ``constants`` the numbers of an update that
    are the same at all clients. Reveals: nothing. Errors: ATL-HOR-073 not one round fits,
    ATL-HOR-143 no grid is both fine enough and within a ring, ATL-PRV-014.
    """
    done, multiplier = rounds, asked.multiplier
    if multiplier is None:
        # A discrete share is as good as a Gaussian that is a little smaller: see ``nominal``.
        multiplier = multiplier_for(
            asked.epsilon, asked.delta, rounds, Release(1.0), asked.relation
        )
    else:
        done = _affordable(asked, multiplier, rounds)
    if multiplier > MOST_NOISE:
        raise UserError(
            "ATL-PRV-014",
            "no noise of these bounds gives that privacy",
            hint="take fewer rounds, a larger ε or a larger δ",
        )
    shares = asked.noise == "distributed"
    honest = max(1, size.minimum - asked.colluding) if shares else 1
    ring, places = _grid(clip, multiplier / math.sqrt(honest), size, asked)
    common: dict[str, Any] = {
        "norm": clip,
        "multiplier": nominal(multiplier, clip * 2.0**places),
        "clients": size.clients,
        "places": places,
        "constants": dict(constants),
        "unit": asked.unit,
    }
    if asked.noise == "local":
        return Private(asked, LocalNoise(**common), None, done, size)
    noise = (
        DistributedNoise(**common, honest=honest)
        if shares
        else CentralNoise(**common, in_ring=True)
    )
    each = noise.units_each if shares else 0.0
    bound = _reach(clip, size, asked) + (_TAIL * each + 200) * 2.0**-places
    mask = Mask(bound=bound, clients=size.clients, ring=ring, unit=2.0**-places)
    return Private(asked, noise, mask, done, size)


def _reach(clip: float, size: Size, asked: Privacy) -> float:
    """Return the greatest entry of a client's sum before noise."""
    return clip * (max(1, size.rows) if asked.unit == "row" else 1)


def _grid(clip: float, each: float, size: Size, asked: Privacy) -> tuple[Literal[32, 64], int]:
    """Return a ring and the binary places of the grid: the finest that sums fit, if fine enough.

    ``each`` is the noise of one client, in clips. Errors: ATL-HOR-143.
    """
    reach = _reach(clip, size, asked) + _TAIL * each * clip
    rings: tuple[Literal[32, 64], ...] = (32, 64)
    for ring in rings:
        room = 2.0 ** min(ring - 1, _EXACT) / size.clients - 400
        places = min(_MOST_PLACES, math.floor(math.log2(room / reach))) if room > 0 else -1
        # A norm or a deviation in units lies within 2^40.
        places = min(places, 39 - math.ceil(math.log2(clip * max(1.0, each))))
        units = clip * 2.0**places
        if places >= 0 and min(units / math.sqrt(size.values), units * each) >= _FINE:
            return ring, places
    raise UserError(
        "ATL-HOR-143",
        f"no grid holds sums up to {reach:.3g} and gradients clipped to {clip:g}",
        hint="clip less, scale the columns, or train on fewer rows",
    )


def _affordable(asked: Privacy, multiplier: float, rounds: int) -> int:
    """Return how many rounds end within ε. Errors: ATL-HOR-073 not one does."""

    def fits(count: int) -> bool:
        found = guarantee(Release(multiplier), count, asked.delta, asked.relation)
        return found.epsilon <= asked.epsilon

    if fits(rounds):
        return rounds
    low, high = 0, rounds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if not low:
        raise UserError(
            "ATL-HOR-073",
            "not one round fits into this budget",
            place="privacy",
            hint="add noise (multiplier), or allow a larger ε or δ",
        )
    return low

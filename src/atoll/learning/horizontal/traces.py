"""How fast simulated clients are, when they are there, and when they fail.

A ``Profile`` describes one client; profiles are drawn from a seed by the client's number, so that
a million of them take no memory, or read from a table (``trace_table``). ``Traces`` derives the
rest from them: who is online at a moment, whose turn ends early.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.random import PublicRandom
from atoll.learning.horizontal.conditions import LINKS, Condition, Link
from atoll.learning.horizontal.selection.pool import Clients, Flags

_CACHED = 8192
_CHARGES = 0.25


@dataclass(frozen=True)
class Profile:
    """One client: seconds of a local step, bytes a second down and up, when it is online.

    It is online for ``online`` seconds from ``start`` on, in each ``period`` (0: always);
    ``failure`` is the probability that it vanishes during a turn. A known battery of ``condition``
    is its least charge.
    """

    seconds_per_step: float
    down: float = math.inf
    up: float = math.inf
    period: float = 0.0
    start: float = 0.0
    online: float = 0.0
    failure: float = 0.0
    condition: Condition = field(default_factory=Condition)


class SeededProfiles(BaseModel):
    """Distributions that profiles are drawn from. Speeds are heavy-tailed unless ``equal``.

    A step's seconds have the median ``seconds``: lognormal with ``shape`` as the standard deviation
    of its logarithm, or Pareto with ``shape`` as its tail index (below 1 it has no mean).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(default=0.05, gt=0, le=1e6, description="median seconds of a local step")
    spread: Literal["equal", "lognormal", "pareto"] = Field(
        default="lognormal", description="how clients' speeds differ"
    )
    shape: float = Field(default=1.0, gt=0, le=10, description="of the speeds' distribution")
    links: dict[Link, float] = Field(
        default={"3g": 0.1, "4g": 0.3, "5g": 0.1, "wifi": 0.5},
        min_length=1,
        description="shares of the kinds of network",
    )
    period: float = Field(default=86_400.0, gt=0, le=1e9, description="seconds of a day")
    online: float = Field(default=1.0, gt=0, le=1, description="mean share of a day online")
    failure: float = Field(default=0.0, ge=0, le=1, description="probability to vanish in a turn")

    def draw(self, number: int, public: PublicRandom) -> Profile:
        """Return the profile of a client, the same at each call."""
        generator = public.generator(f"client {number}", 0, "profile")
        start, share, link, free, charge = generator.random(5).tolist()
        kinds = list(self.links)
        ends = np.cumsum([self.links[kind] for kind in kinds])
        kind = kinds[int(np.searchsorted(ends, link * ends[-1], side="right"))]
        down, up = LINKS[kind]
        # Shares of a day lie evenly around their mean, as wide as they may.
        width = min(self.online, 1 - self.online)
        condition = Condition(battery=charge, link=kind, storage=int(10 ** (8 + 4 * free)), cores=4)
        return Profile(
            seconds_per_step=self._step(generator),
            down=down,
            up=up,
            period=self.period,
            start=start * self.period,
            online=(self.online + width * (2 * share - 1)) * self.period,
            failure=self.failure,
            condition=condition,
        )

    def _step(self, generator: np.random.Generator) -> float:
        if self.spread == "lognormal":
            return self.seconds * float(np.exp(self.shape * generator.standard_normal()))
        if self.spread == "pareto":
            return float(self.seconds * (2 * (1 - generator.random())) ** (-1 / self.shape))
        return self.seconds


@dataclass(frozen=True)
class Chance:
    """What chance does to one turn: the share after which it vanishes, and a repeated answer."""

    vanishes: float | None
    repeated: bool


@dataclass(frozen=True)
class Traces:
    """When clients are online, vanish and return, by their profiles and a seed.

    ``repeated`` is the probability that an answer arrives twice. Times are seconds on the simulated
    clock.
    """

    public: PublicRandom
    profile: Callable[[int], Profile]
    repeated: float = 0.0

    @classmethod
    def seeded(
        cls, public: PublicRandom, profiles: SeededProfiles | None = None, repeated: float = 0.0
    ) -> Traces:
        """Return traces whose profiles are drawn by the clients' numbers."""
        chosen = profiles or SeededProfiles()
        draw = functools.lru_cache(_CACHED)(lambda number: chosen.draw(number, public))
        return cls(public, draw, repeated)

    def online(self, numbers: Clients, moment: float) -> Flags:
        """Return bool[n]: which of these clients are online at a moment."""
        return np.array([self.stays(number, moment) > 0 for number in numbers.tolist()], dtype=bool)

    def stays(self, number: int, moment: float) -> float:
        """Return for how many more seconds a client is online; 0 if it is not."""
        profile = self.profile(number)
        if not self._comes_and_goes(profile):
            return math.inf
        return max(0.0, profile.online - (moment - profile.start) % profile.period)

    def returns(self, number: int, moment: float) -> float:
        """Return when a client is online next, from ``moment`` on."""
        profile = self.profile(number)
        if self.stays(number, moment) > 0:
            return moment
        if profile.online <= 0:
            return math.inf
        return moment + profile.period - (moment - profile.start) % profile.period

    def chance(self, number: int, turn: int) -> Chance:
        """Return what befalls a client's turn of this number, the same at each call."""
        profile = self.profile(number)
        if not profile.failure and not self.repeated:
            return Chance(None, False)
        generator = self.public.generator(f"client {number}", turn, "fate")
        fails, share, again = generator.random(3).tolist()
        return Chance(share if fails < profile.failure else None, again < self.repeated)

    def condition(self, number: int, moment: float) -> Condition:
        """Return a client's condition: its battery fills in a quarter of a day, then runs down."""
        profile = self.profile(number)
        least = profile.condition.battery
        if least is None or not profile.period:
            return profile.condition
        part = (moment - profile.start) % profile.period / profile.period
        charging = part < _CHARGES
        fill = part / _CHARGES if charging else (1 - part) / (1 - _CHARGES)
        battery = min(1.0, least + (1 - least) * fill)
        return profile.condition.model_copy(update={"battery": battery, "charging": charging})

    def _comes_and_goes(self, profile: Profile) -> bool:
        return profile.period > 0 and profile.online < profile.period

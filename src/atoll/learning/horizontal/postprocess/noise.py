"""Noise of differential privacy, as whole numbers on a grid: central, local and distributed.

Every client's contribution is rounded to the grid so that its L2 norm stays within ``norm``, and
the noise is drawn on the grid from secret randomness. So sums are exact, a mask may stand behind,
and the bits of floating-point noise, which give away what it hides, do not occur.

Sources: Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism" (ICML 2021), with its
conditional rounding; Agarwal, Kairouz, Liu, "The Skellam Mechanism" (NeurIPS 2021); Mironov, "On
Significance of the Least Significant Bits" (CCS 2012).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from atoll.core.errors import DataError, UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Limits, Passage, Postprocessor, Stage
from atoll.learning.horizontal.postprocess.clip import CLIPPED
from atoll.learning.horizontal.postprocess.mask import NUMBER
from atoll.learning.horizontal.sums import Extent, Update
from atoll.privacy.accounting.api import Release, Sampling
from atoll.privacy.discrete_gaussian import WideDiscreteGaussian
from atoll.privacy.skellam import Skellam

Grid = npt.NDArray[np.float64]
# With a deviation of so many units at each contributor, a sum of discrete Gaussians is one of them,
# and one is rounded Gaussian noise of sqrt(deviation^2 - 4) units, both up to factors in chances
# that differ from 1 by less than 2^-100 for each value (Kairouz et al. 2021; Peikert
# 2010, with a second deviation of 2).
_LEAST_UNITS = 4.0
_ROUNDED = 4.0
_MOST_UNITS = 2.0**40
_TRIES = 64
# Deviations of noise that values have room for: more come with a chance below 2^-280.
_TAIL = 20.0
# Float32 norms of long vectors are right to about this.
_TOLERANCE = 1e-4


class Noise(Postprocessor):
    """What the three kinds share: bounds, the grid, and numbers that stay public.

    An update's numbers are either ``constants``, the same at all clients, of which the aggregator
    takes ``clients`` times the value whoever answered, or ``measured``: these count towards the
    norm and get noise. Others are refused, since a weight or a loss gives away what the vectors
    hide; the number of clipped updates is dropped. With the ``unit`` row an update is a sum of
    rows, each cut to the grid within ``norm`` by the algorithm (``PrivateSGD``); it is taken as it
    is, and no link may stand before. Errors: ATL-HOR-052 a sum of rows beside the grid, ATL-HOR-070
    an update longer than ``norm``, ATL-HOR-071 a number that is not protected, ATL-HOR-072 a grid
    that is too coarse or too fine.
    """

    stage: ClassVar[Stage] = Stage.NOISE
    norm: float = Field(gt=0, le=1e9, description="greatest L2 norm of a contribution")
    multiplier: float = Field(
        ge=1e-3, le=1e4, description="standard deviation of the noise on the sum, in norms"
    )
    clients: int = Field(ge=1, le=1 << 20, description="clients of a round, on average")
    places: int = Field(default=20, ge=0, le=40, description="binary places of the grid")
    constants: dict[str, float] = Field(
        default={"weight": 1.0}, description="numbers that are the same at each client"
    )
    measured: tuple[str, ...] = Field(default=(), description="numbers that get noise")
    unit: Literal["client", "row"] = Field(
        default="client", description="whose contribution ``norm`` bounds, and noise hides"
    )

    @model_validator(mode="after")
    def _on_the_grid(self) -> Self:
        units = self.units_each
        if (
            not _LEAST_UNITS <= units <= self._most_units
            or self.norm * 2**self.places > _MOST_UNITS
        ):
            raise UserError(
                "ATL-HOR-072",
                f"noise of {units:.3g} units of 2^-{self.places} at each client cannot be drawn",
                hint="choose more binary places for little noise, fewer for large norms",
            )
        return self

    @property
    def units(self) -> float:
        """The noise's standard deviation on a sum, in units of the grid."""
        return self.multiplier * self.norm * 2.0**self.places

    @property
    def units_each(self) -> float:
        """The same of what one party draws."""
        return self.units

    @property
    def _most_units(self) -> float:
        return _MOST_UNITS

    @abstractmethod
    def readers(self, sampling: Sampling) -> Release:
        """Return what a round releases to those who read the model."""

    @abstractmethod
    def aggregator(self) -> Release | None:
        """Return what a round releases to the aggregator; None where it is trusted."""

    def client(self, update: Update, passage: Passage) -> Update:
        """See ``Postprocessor.client``."""
        self._check(update)
        parts = [np.asarray(v, dtype=np.float64) for v in update.vectors.values()]
        parts.append(np.array([update.numbers[name] for name in self.measured]))
        whole = np.concatenate(parts)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        by_row = self.unit == "row"
        gridded = self._summed(whole) if by_row else self._gridded(whole, passage.own)
        self._add_own(gridded, passage.secret)
        gridded *= 2.0**-self.places
        *vectors, measured = np.split(gridded, ends)
        numbers = dict(zip(self.measured, measured.tolist(), strict=True))
        return Update(dict(zip(update.vectors, vectors, strict=True)), numbers)

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """See ``Postprocessor.aggregate``."""
        constants = {name: value * self.clients for name, value in self.constants.items()}
        return Update(total.vectors, {**total.numbers, **constants})

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """See ``Postprocessor.refusal``."""
        if sum(link.stage == Stage.NOISE for link in links) > 1:
            return "stands beside other noise: only one of them is accounted for"
        if self.unit == "row":
            before = [link for link in links if link.stage < Stage.NOISE]
            return "hides rows: what changes their sum before it has no bound" if before else None
        if not any(getattr(link, "norm", math.inf) <= self.norm for link in _clips(links)):
            return f"needs a clip to a norm of at most {self.norm:g} before it"
        if not all(link.linear for link in links):
            return "cannot follow what rounds by one client's values: its norm has no bound"
        return None

    def limits(self, before: Limits, of: Extent, size: int) -> Limits:
        """See ``Postprocessor.limits``."""
        if self.unit == "row":
            before = Limits(self.norm * of.rows, self.norm * of.rows)
        off = of.updates * (_TAIL * self.units_each + 200) * 2.0**-self.places
        return Limits(before.most + off, before.norm + off * math.sqrt(size))

    def bits(self, values: int, bits: float) -> tuple[int, float]:
        """See ``Postprocessor.bits``; a mask may need more, for the sum."""
        reach = self.norm * 2.0**self.places + 20 * self.units_each + 200
        return values, math.ceil(math.log2(reach)) + 1

    def _add_own(self, gridded: Grid, secret: SecretRandom) -> None:
        """Add this client's noise in place."""

    def _check(self, update: Update) -> None:
        for name, value in update.numbers.items():
            if name == CLIPPED or name in self.measured:
                continue
            if name not in self.constants or value not in (0.0, self.constants[name]):
                raise UserError(
                    "ATL-HOR-071",
                    f"{name!r} of an update is neither a constant of all clients nor measured",
                    hint="weigh clients equally (weighting='equal')",
                )

    def _summed(self, whole: Grid) -> Grid:
        """Return a sum of rows in units of the grid, on which it lies."""
        units: Grid = whole * 2.0**self.places
        if not np.isfinite(units).all() or (units != np.rint(units)).any():
            raise DataError("ATL-HOR-052", "a sum of rows lies beside the grid of its noise")
        return units

    def _gridded(self, whole: Grid, generator: np.random.Generator) -> Grid:
        """Return ``whole`` in units of the grid, rounded at random within the norm."""
        length, most = float(np.sqrt(np.dot(whole, whole))), self.norm * 2.0**self.places
        if not length <= self.norm * (1 + _TOLERANCE):
            raise DataError("ATL-HOR-070", "an update is longer than the norm that noise is for")
        target = _before_rounding(most, len(whole))
        scaled = whole * (
            2.0**self.places * min(1.0, target / most * self.norm / max(length, 1e-300))
        )
        for _ in range(_TRIES):
            rounded = np.floor(scaled + generator.random(len(scaled)))
            if float(np.dot(rounded, rounded)) <= most * most:
                return rounded
        # Never longer than what it is made of.
        return np.trunc(scaled)


def _clips(links: Sequence[Postprocessor]) -> list[Postprocessor]:
    return [link for link in links if link.stage == Stage.CLIP]


def _before_rounding(most: float, values: int) -> float:
    """Return the norm from which random rounding stays within ``most`` at least 39 times of 100.

    Errors: ATL-HOR-072 if there is none. Source: Kairouz et al. 2021, the bound on randomly rounded
    vectors with β = exp(-1/2), solved for the norm before rounding.
    """
    rest = most * most - values / 4 - math.sqrt(values) / 2
    if rest <= 0:
        raise UserError(
            "ATL-HOR-072",
            f"a grid on which the norm is {most:.3g} units is too coarse for {values} values",
            hint="choose more binary places",
        )
    return max(0.0, (math.sqrt(1 + 4 * rest) - 1) / 2)


class CentralNoise(Noise):
    """The aggregator adds the noise once, to the sum: it is trusted with each update or each sum.

    It draws from its own secret randomness. Against readers of the model this needs the least
    noise; against the aggregator it gives nothing. ``in_ring``: a mask stands behind, and the noise
    is added modulo 2^bits. Once a sum has been read with its sign, a client whose vector makes it
    wrap around has the sign of all others' exactly, however much noise follows.
    """

    in_ring: bool = Field(default=False, description="a mask stands behind: noise in ring units")

    def on_ring(self, total: Update, passage: Passage) -> Update:
        """See ``Postprocessor.on_ring``."""
        if not self.in_ring:
            return total
        draw = WideDiscreteGaussian(self.units, passage.secret)
        vectors = {
            # Whole numbers of one width wrap around as the ring does.
            name: vector if name.startswith(NUMBER) else vector + _like(vector, draw)
            for name, vector in total.vectors.items()
        }
        return Update(vectors, total.numbers)

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """See ``Postprocessor.refusal``."""
        masked = any(link.stage == Stage.MASK for link in links)
        if self.in_ring and (self.measured or not masked):
            return "adds to ring units alone: not to numbers, nor where no mask stands"
        return super().refusal(links)

    def aggregate(self, total: Update, size: int, passage: Passage) -> Update:
        """See ``Postprocessor.aggregate``."""
        if self.in_ring:
            return super().aggregate(total, size, passage)
        draw = WideDiscreteGaussian(self.units, passage.secret)
        unit = 2.0**-self.places
        vectors = {n: v + draw.sample(len(v)) * unit for n, v in total.vectors.items()}
        noise = (draw.sample(len(self.measured)) * unit).tolist()
        measured = zip(self.measured, noise, strict=True)
        numbers = {name: total.numbers[name] + value for name, value in measured}
        return super().aggregate(Update(vectors, numbers), size, passage)

    def readers(self, sampling: Sampling) -> Release:
        """See ``Noise.readers``."""
        return Release(_as_gaussian(self.multiplier, self.units), sampling)

    def aggregator(self) -> Release | None:
        """See ``Noise.aggregator``."""
        return None


def _like(vector: Vector, draw: WideDiscreteGaussian) -> Vector:
    drawn: Vector = draw.sample(len(vector)).astype(vector.dtype)
    return drawn


class LocalNoise(Noise):
    """Each client adds all of the noise itself, so that no one is trusted with its update.

    Of n clients' noise the sum has sqrt(n) times as much; only one client's is counted on.
    """

    def readers(self, sampling: Sampling) -> Release:
        """See ``Noise.readers``."""
        return Release(_as_gaussian(self.multiplier, self.units), _seen(sampling))

    def aggregator(self) -> Release | None:
        """See ``Noise.aggregator``."""
        return Release(_as_gaussian(self.multiplier, self.units))

    def _add_own(self, gridded: Grid, secret: SecretRandom) -> None:
        gridded += WideDiscreteGaussian(self.units, secret).sample(len(gridded))


class DistributedNoise(Noise):
    """Each client adds a share, so that ``honest`` of them together give the noise; under a mask.

    ``honest`` is the number of contributors below which nothing is unmasked, less the colluders
    that are tolerated: these know their own shares and can take them away. The aggregator sees the
    noisy sum alone. Values leave as whole multiples of 2^-places: a mask on that grid keeps them.
    """

    honest: int = Field(ge=1, le=1 << 20, description="contributors whose noise is counted on")
    distribution: Literal["gaussian", "skellam"] = Field(
        default="gaussian", description="discrete Gaussian, or Skellam noise"
    )

    @property
    def units_each(self) -> float:
        """See ``Noise.units_each``."""
        return self.units / math.sqrt(self.honest)

    @property
    def _most_units(self) -> float:
        return _MOST_UNITS if self.distribution == "gaussian" else 2.0**24

    def refusal(self, links: Sequence[Postprocessor]) -> str | None:
        """See ``Postprocessor.refusal``."""
        if not any(link.stage == Stage.MASK for link in links):
            return "is a share of the noise, too little for an update that no mask hides"
        return super().refusal(links)

    def readers(self, sampling: Sampling) -> Release:
        """See ``Noise.readers``."""
        return self._release(_seen(sampling))

    def aggregator(self) -> Release | None:
        """See ``Noise.aggregator``."""
        return self._release(Sampling())

    def _release(self, sampling: Sampling) -> Release:
        if self.distribution == "skellam":
            return Release(self.multiplier, sampling, "skellam", self.units)
        return Release(_as_gaussian(self.multiplier, self.units), sampling)

    def _add_own(self, gridded: Grid, secret: SecretRandom) -> None:
        kind = WideDiscreteGaussian if self.distribution == "gaussian" else Skellam
        gridded += kind(self.units_each, secret).sample(len(gridded))


def nominal(multiplier: float, units: float) -> float:
    """Return the multiplier of grid noise that is as good as Gaussian noise of ``multiplier``.

    ``units`` is the norm in units of the grid. Reveals: nothing. Errors: none.
    """
    return math.sqrt(multiplier * multiplier + _ROUNDED / (units * units)) * (1 + 1e-12)


def _as_gaussian(multiplier: float, units: float) -> float:
    return multiplier * math.sqrt(1 - _ROUNDED / (units * units))


def _seen(sampling: Sampling) -> Sampling:
    """Return what may be counted on where clients bring the noise.

    The more of them, the more noise: how many took part shows, and a client drawn by a chance of
    its own may be seen to be there. A fixed number of them shows nothing.
    """
    return Sampling() if sampling.method == "poisson" else sampling

"""Skellam noise: the difference of two Poisson draws, whose sums are Skellam noise again.

Sources: Agarwal, Kairouz, Liu, "The Skellam Mechanism for Differentially Private Federated
Learning" (NeurIPS 2021); Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000),
for Poisson densities without cancellation.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.privacy.staircase import Staircase

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
WIDEST_SKELLAM = 1 << 24
_TABLE = 16


class Skellam:
    """Draws integers with the chances of X - Y, both Poisson with mean sigma^2 / 2.

    ``sigma`` is the standard deviation, from 1 to 2^24, in units of the integers drawn; a sum of n
    draws has sigma · sqrt(n). Chances are those of ``Staircase``. Reveals: nothing, drawing is
    local. Errors: ATL-PRV-011 another sigma. Source: Agarwal, Kairouz, Liu 2021, section 3.
    """

    def __init__(self, sigma: float, secret: SecretRandom) -> None:
        if not 1 <= sigma <= WIDEST_SKELLAM:
            raise UserError("ATL-PRV-011", "sigma of Skellam noise must be a number from 1 to 2^24")
        self.sigma = float(sigma)
        self._secret = secret
        self._staircase = _staircase(self.sigma**2 / 2)

    def sample(self, count: int) -> Ints:
        """Return int64[count] independent draws. Reveals: nothing. Errors: none."""
        both = self._staircase.sample(2 * count, self._secret)
        drawn: Ints = both[:count] - both[count:]
        return drawn


@functools.lru_cache(maxsize=16)
def _staircase(mean: float) -> Staircase:
    """Return the table of Poisson draws with one mean, which many clients draw from."""
    mode = math.floor(mean)
    return Staircase(PoissonDensity(mean, mode), mode, math.sqrt(mean))


class PoissonDensity:
    """The logarithm of Poisson chances, less that of the mode, by the distance from the mode.

    Reveals: nothing. Errors: none. Source: Loader 2000.
    """

    def __init__(self, mean: float, mode: int) -> None:
        self._mean, self._mode = mean, mode
        self._peak = float(self._log(np.array([mode], dtype=np.int64))[0])

    def __call__(self, distance: Ints) -> Floats:
        """Return float64[n] for int64[n] distances; minus infinity below 0."""
        value = distance + self._mode
        density = self._log(np.maximum(value, 0)) - self._peak
        # The mode of a mean that is a whole number is shared by two values.
        return np.where(value < 0, -np.inf, np.minimum(density, 0.0))

    def _log(self, value: Ints) -> Floats:
        at = np.maximum(value, 1).astype(np.float64)
        log = -_stirling(value) - _deviance(at, self._mean)
        # log(2 pi value) less a constant, without cancellation between neighbours.
        near = max(self._mode, 1)
        log -= 0.5 * np.log1p((at - near) / near)
        shift = 0.5 * math.log(2 * math.pi * near)
        return np.where(value == 0, -self._mean + shift, log)


def _deviance(value: Floats, mean: float) -> Floats:
    """Return value · log(value / mean) + mean - value, exact where the two are close."""
    apart = value - mean
    ratio = apart / (value + mean)
    square = ratio * ratio
    series = np.zeros_like(value)
    for odd in range(21, 1, -2):
        series = (series + 1 / odd) * square
    close = apart * ratio + 2 * value * ratio * series
    with np.errstate(divide="ignore"):
        far = value * np.log(value / mean) - apart
    return np.where(np.abs(ratio) < 0.1, close, far)


def _stirling(value: Ints) -> Floats:
    """Return log(n!) less Stirling's formula for it; 0 for 0, which is never used."""
    small = np.array([0.0, *(_stirling_of(n) for n in range(1, _TABLE))])
    n = np.maximum(value, _TABLE).astype(np.float64)
    square = n * n
    series = 1 / 1680 - 1 / (1188 * square)
    for coefficient in (1 / 1260, 1 / 360, 1 / 12):
        series = coefficient - series / square
    return np.where(value < _TABLE, small[np.minimum(value, _TABLE - 1)], series / n)


def _stirling_of(n: int) -> float:
    return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)

"""The discrete Gaussian on the integers, drawn from secret bytes: exactly, or fast and any width.

Source: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020),
algorithms 1 to 3, on whole arrays at a time. No floating point takes part in ``DiscreteGaussian``.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.privacy.staircase import Staircase

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MOST_SIGMA = 1 << 14
WIDEST_SIGMA = 1 << 40
_WIDEST = 3_000_000_000


class DiscreteGaussian:
    """Draws integers x with probability proportional to exp(-x^2 / (2 sigma^2)).

    ``sigma`` is an integer from 1 to 2^14, in units of the integers drawn; proposals so far out
    that they would be kept with less than 2^-75 are dropped. Reveals: nothing, drawing is local.
    Errors: ATL-PRV-001 for another sigma. Source: Canonne, Kamath, Steinke 2020, algorithm 3.
    """

    def __init__(self, sigma: int, secret: SecretRandom) -> None:
        if not 1 <= sigma <= MOST_SIGMA:
            raise UserError("ATL-PRV-001", f"sigma must be an integer from 1 to {MOST_SIGMA}")
        self.sigma = sigma
        self._secret = secret

    def sample(self, count: int) -> Ints:
        """Return int64[count] independent draws. Reveals: nothing. Errors: none."""
        found: list[Ints] = []
        missing = count
        while missing > 0:
            batch = self._batch(missing + missing // 2 + 16)
            found.append(batch[:missing])
            missing -= len(found[-1])
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def _batch(self, count: int) -> Ints:
        scale = self.sigma + 1
        proposed = self._laplace(count, scale)
        distance = np.abs(np.abs(proposed) * scale - self.sigma**2)
        keep = distance <= _WIDEST
        proposed, distance = proposed[keep], distance[keep]
        # exp(-(|y| - sigma^2/t)^2 / (2 sigma^2)), the fraction over 2 sigma^2 t^2.
        kept: Ints = proposed[self._exp(distance**2, 2 * self.sigma**2 * scale**2)]
        return kept

    def _laplace(self, count: int, scale: int) -> Ints:
        """Return some draws y, each with probability proportional to exp(-|y| / scale)."""
        within = self._uniform(np.full(count, scale, dtype=np.int64))
        within = within[self._exp(within, scale)]
        value = within + scale * self._successes(len(within))
        negative = self._uniform(np.full(len(value), 2, dtype=np.int64)) == 1
        kept = ~(negative & (value == 0))
        signed: Ints = np.where(negative, -value, value)[kept]
        return signed

    def _successes(self, count: int) -> Ints:
        """Return how often an event of chance 1/e occurs before it first does not."""
        total = np.zeros(count, dtype=np.int64)
        alive = np.arange(count)
        one = 1
        while len(alive):
            alive = alive[self._exp(np.full(len(alive), one, dtype=np.int64), one)]
            total[alive] += 1
        return total

    def _exp(self, numerator: Ints, denominator: int) -> Bools:
        """Return events of chance exp(-numerator / denominator) each."""
        whole, rest = numerator // denominator, numerator % denominator
        result = self._small_exp(rest, denominator)
        alive = np.flatnonzero(result & (whole > 0))
        left = whole[alive]
        while len(alive):
            kept = self._small_exp(np.ones(len(alive), dtype=np.int64), 1)
            result[alive[~kept]] = False
            left = left - 1
            going = kept & (left > 0)
            alive, left = alive[going], left[going]
        return result

    def _small_exp(self, numerator: Ints, denominator: int) -> Bools:
        """The same for numerators up to the denominator: an odd count of falling chances."""
        result = np.zeros(len(numerator), dtype=np.bool_)
        alive = np.arange(len(numerator))
        step = 1
        while len(alive):
            draw = self._uniform(np.full(len(alive), denominator * step, dtype=np.int64))
            stopped = draw >= numerator[alive]
            result[alive[stopped]] = step % 2 == 1
            alive = alive[~stopped]
            step += 1
        return result

    def _uniform(self, limit: Ints) -> Ints:
        """Return uniform integers below each limit (at most 2^62), by rejection."""
        drawn = np.empty(len(limit), dtype=np.int64)
        waiting = np.arange(len(limit))
        while len(waiting):
            raw = np.frombuffer(self._secret.stream(8 * len(waiting)), dtype="<u8") >> np.uint64(1)
            values = raw.astype(np.int64)
            bound = limit[waiting]
            fits = values < (np.int64(2**63 - 1) // bound) * bound
            drawn[waiting[fits]] = values[fits] % bound[fits]
            waiting = waiting[~fits]
        return drawn


class WideDiscreteGaussian:
    """Draws integers x with probability proportional to exp(-x^2 / (2 sigma^2)), any real sigma.

    ``sigma`` is from 1 to 2^40, in units of the integers drawn. Chances are those of
    ``Staircase``: 10^6 draws take a fraction of a second, against seconds of the exact
    ``DiscreteGaussian``. Reveals: nothing, drawing is local. Errors: ATL-PRV-011 another sigma.
    Source: the distribution is that of Canonne, Kamath, Steinke 2020.
    """

    def __init__(self, sigma: float, secret: SecretRandom) -> None:
        if not 1 <= sigma <= WIDEST_SIGMA:
            raise UserError("ATL-PRV-011", "sigma must be a number from 1 to 2^40")
        self.sigma = float(sigma)
        self._secret = secret
        self._staircase = _staircase(self.sigma)

    def sample(self, count: int) -> Ints:
        """Return int64[count] independent draws. Reveals: nothing. Errors: none."""
        return self._staircase.sample(count, self._secret)


@functools.lru_cache(maxsize=16)
def _staircase(sigma: float) -> Staircase:
    """Return the table of one sigma, which many clients draw from."""

    def log_density(distance: Ints) -> npt.NDArray[np.float64]:
        scaled = distance / sigma
        density: npt.NDArray[np.float64] = -0.5 * (scaled * scaled)
        return density

    return Staircase(log_density, 0, sigma)

"""Draws from any distribution on the integers with one peak, whole arrays at a time.

The density lies under a staircase whose steps are whole numbers of units. A uniform point under the
staircase gives a value and a height; it is kept if the height is below the density (von Neumann).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from atoll.core.random import SecretRandom

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LogDensity = Callable[[Ints], Floats]
# The area in units: a point takes 62 random bits.
_AREA = 1 << 62
_STEPS_OF_A_DEVIATION = 32
_MOST_STEPS = 1 << 13
# exp(-75) < 2^-108: what lies further out is not drawn.
_REACH = 75.0
_SLACK = 2.0**-40


class Staircase:
    """A sampler of integers with density exp(``log_density``), at most 1, and 1 at the mode.

    ``log_density`` takes int64 distances from ``mode`` and falls on both sides of 0; ``deviation``
    is about the standard deviation. Each chance is right up to a factor of 1 ± 2^-44 (rounding of
    the density in float64); what has less than 2^-108 of the mode's is not drawn. Reveals: nothing,
    drawing is local. Errors: none. The time that drawing takes depends on what is drawn.
    """

    def __init__(self, log_density: LogDensity, mode: int, deviation: float) -> None:
        self._log_density, self._mode = log_density, mode
        step = max(1, int(deviation / _STEPS_OF_A_DEVIATION))
        right, left = self._edges(0, step, 1), self._edges(1, step, -1)
        starts = np.concatenate([right, -left])
        tops = np.exp(log_density(starts))
        # The far end of a step, for a height that is surely below the density.
        ends = np.concatenate([right + (step - 1), -left - (step - 1)])
        self._signs = np.where(np.arange(len(starts)) < len(right), 1, -1)
        self._starts = starts
        self._unit = _AREA * (1 - 2.0**-10) / (float(tops.sum()) * step)
        self._heights = np.ceil(tops * self._unit * (1 + _SLACK)).astype(np.int64)
        self._low = np.floor(np.exp(log_density(ends)) * self._unit * (1 - _SLACK)).astype(np.int64)
        self._ends = np.cumsum(self._heights * step)

    def sample(self, count: int, secret: SecretRandom) -> Ints:
        """Return int64[count] independent draws. Reveals: nothing. Errors: none."""
        found: list[Ints] = []
        missing = count
        while missing > 0:
            batch = self._batch(missing + missing // 16 + 16, secret)
            found.append(batch[:missing])
            missing -= len(found[-1])
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def _edges(self, first: int, step: int, sign: int) -> Ints:
        edges = first + step * np.arange(_MOST_STEPS)
        density = self._log_density(sign * edges)
        return edges[: int(np.argmax(density < -_REACH))]

    def _batch(self, count: int, secret: SecretRandom) -> Ints:
        point = (np.frombuffer(secret.stream(8 * count), dtype="<u8") >> np.uint64(2)).astype(
            np.int64
        )
        point = point[point < self._ends[-1]]
        at = np.searchsorted(self._ends, point, side="right")
        height = self._heights[at]
        # What is left above the step's beginning is a position and a height.
        point -= np.concatenate([[0], self._ends])[at]
        along = point // height
        point -= along * height
        distance = self._starts[at] + self._signs[at] * along
        kept = point < self._low[at]
        open_ = np.flatnonzero(~kept)
        kept[open_] = self._below(point[open_], distance[open_], secret)
        drawn: Ints = distance[kept] + self._mode
        return drawn

    def _below(self, height: Ints, distance: Ints, secret: SecretRandom) -> npt.NDArray[np.bool_]:
        """Return whether heights, with a fraction drawn now, are below the density."""
        density = np.exp(self._log_density(distance)) * self._unit
        whole = np.floor(density)
        bits = np.frombuffer(secret.stream(8 * len(height)), dtype="<u8") >> np.uint64(11)
        fraction = bits.astype(np.float64) * 2.0**-53
        level = whole.astype(np.int64)
        below: npt.NDArray[np.bool_] = (height < level) | (
            (height == level) & (fraction < density - whole)
        )
        return below

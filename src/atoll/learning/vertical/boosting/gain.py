"""What a split brings, and what a leaf weighs: XGBoost's formulas on integer sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LEAST_GAIN = 1e-6


@dataclass(frozen=True)
class Objective:
    """The constants of the gain: ``unit`` is the worth of one integer step, 2^-q."""

    unit: float
    reg_lambda: float
    gamma: float
    minimum_child_weight: float
    learning_rate: float

    def gains(self, g_left: Ints, h_left: Ints, g: int, h: int) -> Floats:
        """Return the loss that each split saves, -inf where it may not be made.

        ``g``, ``h`` are the node's sums, the arrays those of the rows that would go left. The
        value is GL²/(HL+λ) + GR²/(HR+λ) - G²/(H+λ) in real units, as XGBoost computes it.
        """
        gl, hl = g_left * self.unit, h_left * self.unit
        gr, hr = (g - g_left) * self.unit, (h - h_left) * self.unit
        smaller = np.minimum(hl, hr)
        allowed = (smaller >= self.minimum_child_weight) & (smaller + self.reg_lambda > 0.0)
        whole = (g * self.unit) ** 2 / max(h * self.unit + self.reg_lambda, 1e-300)
        # Sides without weight, which are not allowed, may overflow where the penalty is tiny.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gain = gl**2 / (hl + self.reg_lambda) + gr**2 / (hr + self.reg_lambda) - whole
        allowed &= (gain > LEAST_GAIN) & (gain >= self.gamma)
        return np.where(allowed, gain, -np.inf)

    def weight(self, g: int, h: int) -> float:
        """Return a leaf's weight, -ηG/(H+λ); 0 for a leaf lighter than the minimum."""
        heavy = h * self.unit
        if heavy < self.minimum_child_weight or heavy + self.reg_lambda <= 0.0:
            return 0.0
        return -self.learning_rate * (g * self.unit) / (heavy + self.reg_lambda)

    def splittable(self, h: int, rows: int, leaf_rows: int) -> bool:
        """Return whether a node of this weight and size could have two children at all."""
        return h * self.unit >= 2 * self.minimum_child_weight and rows >= 2 * max(leaf_rows, 1)

"""The guest's validation rows while it trains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.learning.vertical.boosting.api import BoostingInputs
from atoll.learning.vertical.boosting.loss import log_loss

Floats = npt.NDArray[np.float64]


class HeldOut:
    """The validation rows: their margins float64[rows], the losses by tree."""

    def __init__(self, inputs: BoostingInputs | None, base: float) -> None:
        self.features = None if inputs is None else inputs.features
        self.rows = 0 if inputs is None else inputs.features.shape[0]
        label = None if inputs is None else inputs.label
        self._label = np.empty(0) if label is None else label
        self.margin = np.full(self.rows, base)
        self._losses: list[float] = []

    def restore(self, margin: Floats, losses: list[float]) -> None:
        """Go on where an earlier attempt was."""
        self.margin, self._losses = margin, losses

    def add(self, step: Floats) -> float:
        """Add a tree's leaf weights; return the loss."""
        self.margin += step
        self._losses.append(log_loss(self.margin, self._label))
        return self._losses[-1]

    @property
    def improved(self) -> bool:
        """Whether the last tree gave the least loss so far."""
        return bool(self._losses) and int(np.argmin(self._losses)) == len(self._losses) - 1

    def stalled(self, patience: int) -> bool:
        """Return whether the loss has not fallen for so many trees (0: never)."""
        return 0 < patience < len(self._losses) - int(np.argmin(self._losses or [0.0]))

    def kept(self, patience: int, trees: int) -> int:
        """Return how many trees to keep: all, or those up to the best where stopping is on."""
        return int(np.argmin(self._losses)) + 1 if patience and self._losses else trees

"""How far predicted probabilities are from the shares of positives that come about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atoll.core.report import LinePanel, Series
from atoll.learning.evaluation.metrics import Flags, Floats, Lines

BINS = 10


@dataclass(frozen=True, eq=False)
class Calibration:
    """Rows by bins of equal width over [0, 1], those without rows left out; float64[bins] each.

    A bin holds its upper edge, the first its lower, too. ``predicted`` is the mean probability,
    ``observed`` the share of positives. ``brier`` is the mean squared error of the probabilities
    (Brier 1950), ``error`` the expected calibration error: the mean over rows of the distance of
    predicted and observed in their bin (Naeini et al. 2015), ``largest`` the largest distance.
    """

    rows: Floats
    predicted: Floats
    observed: Floats
    brier: float

    @classmethod
    def of(cls, positive: Flags, probabilities: Floats, bins: int = BINS) -> Calibration:
        """Sum checked labels and probabilities by bin."""
        edges = np.arange(1, bins) / bins
        at = np.searchsorted(edges, probabilities)
        rows, predicted, observed = (
            np.bincount(at, weights, bins).astype(np.float64)
            for weights in (np.ones(len(at)), probabilities, positive.astype(np.float64))
        )
        there = rows > 0
        return cls(
            rows=rows[there],
            predicted=predicted[there] / rows[there],
            observed=observed[there] / rows[there],
            brier=float(np.mean(np.square(probabilities - positive))),
        )

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.rows))

    @property
    def largest(self) -> float:
        """The largest distance of predicted and observed of a bin."""
        return float(np.max(np.abs(self.predicted - self.observed)))

    def lines(self) -> Lines:
        """Give a mapping a bin, for JSON."""
        values = (self.rows, self.predicted, self.observed)
        return [
            {"rows": int(rows), "predicted": predicted, "observed": observed}
            for rows, predicted, observed in zip(*(v.tolist() for v in values), strict=True)
        ]

    def panel(self, name: str) -> LinePanel:
        """Give the reliability diagram for a report."""
        own = Series(name=name, x=tuple(self.predicted.tolist()), y=tuple(self.observed.tolist()))
        return LinePanel(
            title="Calibration",
            help=f"expected calibration error {self.error:.4f}, Brier score {self.brier:.4f}",
            x_label="mean predicted probability of the bin",
            y_label="share of label 1",
            series=(own, Series(name="calibrated", x=(0.0, 1.0), y=(0.0, 1.0))),
        )

"""Whether scores of other rows are spread as those of training: the population stability index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.report import TablePanel
from atoll.learning.evaluation.metrics import Floats, Lines, finite

BINS = 20
LEAST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class Stability:
    """Shares of rows by bins of the training scores.

    ``edges`` are the inner edges, float64[bins - 1]; ``expected`` are the shares of the training
    rows, ``actual`` those of the others, float64[bins].
    """

    edges: Floats
    expected: Floats
    actual: Floats

    @classmethod
    def of(cls, train: npt.ArrayLike, other: npt.ArrayLike, bins: int = BINS) -> Stability:
        """Cut at the distinct quantiles of the training scores, [rows] each; bins hold their
        upper edge, and the outermost all that lies beyond.

        Errors: ATL-EVA-001 no rows, ATL-EVA-003 NaN or infinite scores.
        """
        before, after = finite(train), finite(other)
        # Whole numbers: 0.55 of 100 rows are 55, whatever rounding says.
        ranks = -(-np.arange(1, bins) * len(before) // bins) - 1
        edges = np.unique(np.sort(before)[ranks])
        expected, actual = (
            np.bincount(np.searchsorted(edges, scores), minlength=len(edges) + 1) / len(scores)
            for scores in (before, after)
        )
        return cls(edges, expected, actual)

    @property
    def index(self) -> float:
        """Σ (actual − expected) · ln(actual / expected); a share of 0 counts as 1e-6."""
        expected, actual = (np.maximum(v, LEAST_SHARE) for v in (self.expected, self.actual))
        return float(np.sum((actual - expected) * np.log(actual / expected)))

    def lines(self) -> Lines:
        """Give a mapping a bin, for JSON; ``up_to`` is None for the last."""
        up_to = (*self.edges.tolist(), None)
        shares = (self.expected.tolist(), self.actual.tolist())
        return [
            {"up_to": edge, "train": before, "test": after}
            for edge, before, after in zip(up_to, *shares, strict=True)
        ]

    def panel(self) -> TablePanel:
        """Give shares by bin for a report."""
        return TablePanel(
            title="Stability of scores",
            help=f"population stability index {self.index:.4f}",
            columns=("score up to", "share of training rows", "share of test rows"),
            rows=tuple(tuple(line.values()) for line in self.lines()),
        )

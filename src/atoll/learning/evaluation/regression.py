"""The evaluation of predicted numbers, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.core.report import BarPanel, Panel, ScatterPanel, Series
from atoll.learning.evaluation.binary import figures_panel
from atoll.learning.evaluation.metrics import Figures, Floats, Lines, finite, paired

BINS = 30
CELLS = 20
# Of Tweedie: between counts (1) and gamma-distributed amounts (2).
POWER = 1.5


@dataclass(frozen=True, eq=False)
class RegressionEvaluation:
    """Figures of predictions against labels, float64[rows] each; a figure that is not defined, or
    overflows, is None.
    """

    labels: Floats
    predicted: Floats

    @property
    def residuals(self) -> Floats:
        """Labels less predictions."""
        with np.errstate(over="ignore"):
            return self.labels - self.predicted

    def to_dict(self) -> Figures:
        """Give the figures for JSON.

        ``r2`` and ``explained_variance`` want labels that differ. ``mape`` is the mean of |residual
        / label| over the ``mape_rows`` whose label is not 0. ``msle`` wants labels and predictions
        > −1; ``poisson_deviance`` and ``tweedie_deviance`` (power 1.5), means over rows, want
        labels ≥ 0 and predictions > 0.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = {
                "rmse": np.sqrt(np.mean(np.square(self.residuals))),
                "mae": np.mean(np.abs(self.residuals)),
                "median_ae": np.median(np.abs(self.residuals)),
                "largest_error": np.max(np.abs(self.residuals)),
                "bias": -np.mean(self.residuals),
                **self._explained(),
                **self._relative(),
            }
        figures: Figures = {"rows": len(self.labels)}
        figures |= {k: float(v) if np.isfinite(v) else None for k, v in found.items()}
        return figures | {"mape_rows": int(np.count_nonzero(self.labels))}

    def _explained(self) -> dict[str, float]:
        spread = np.sum(np.square(self.labels - self.labels.mean()))
        if not self.labels.min() < self.labels.max():
            return {"r2": np.nan, "explained_variance": np.nan}
        rest = np.sum(np.square(self.residuals))
        centred = np.sum(np.square(self.residuals - self.residuals.mean()))
        return {"r2": 1 - rest / spread, "explained_variance": 1 - centred / spread}

    def _relative(self) -> dict[str, float | np.floating[Any]]:
        labels, predicted = self.labels, self.predicted
        other = labels != 0
        shares = np.abs(self.residuals[other] / labels[other])
        names = ("mape", "msle", "poisson_deviance", "tweedie_deviance")
        found: dict[str, float | np.floating[Any]] = dict.fromkeys(names, np.nan)
        if len(shares):
            found["mape"] = shares.mean()
        if min(labels.min(), predicted.min()) > -1:
            found["msle"] = np.mean(np.square(np.log1p(labels) - np.log1p(predicted)))
        if labels.min() >= 0 and predicted.min() > 0:
            found["poisson_deviance"] = 2 * np.mean(
                np.where(other, labels * np.log(np.where(other, labels, 1) / predicted), 0.0)
                - self.residuals
            )
            p = POWER
            found["tweedie_deviance"] = 2 * np.mean(
                labels ** (2 - p) / ((1 - p) * (2 - p))
                - labels * predicted ** (1 - p) / (1 - p)
                + predicted ** (2 - p) / (2 - p)
            )
        return found

    def tables(self) -> dict[str, Lines]:
        """Give the rows by bins of equal width of the residuals, for JSON."""
        counts, edges = self._histogram()
        ends = (edges[:-1].tolist(), edges[1:].tolist(), counts.tolist())
        return {
            "residuals": [
                {"from": low, "to": high, "rows": rows}
                for low, high, rows in zip(*ends, strict=True)
            ]
        }

    def panels(self, name: str = "model") -> tuple[Panel, ...]:
        """Give figures, predicted against true values, and how residuals spread."""
        counts, edges = self._histogram()
        middles = (edges[:-1] + (edges[1:] - edges[:-1]) / 2).tolist()
        spread = BarPanel(
            title="Residuals",
            help="label less prediction, by bins of equal width; labels are their middles",
            labels=tuple(f"{middle:.4g}" for middle in middles),
            values=tuple(map(float, counts.tolist())),
            value_label="rows",
        )
        return (figures_panel(self.to_dict()), self._points(name), spread)

    def _histogram(self) -> tuple[npt.NDArray[np.int64], Floats]:
        # Ends that are no finite numbers apart cannot be cut in bins.
        limit = np.finfo(np.float64).max / 4
        counts, edges = np.histogram(np.clip(self.residuals, -limit, limit), BINS)
        return counts.astype(np.int64), edges

    def _points(self, name: str) -> ScatterPanel:
        """Give the mean of the rows in each cell of a grid of 20 by 20."""
        axes = (self.labels, self.predicted)
        cells = _cell(self.labels) * CELLS + _cell(self.predicted)
        rows = np.bincount(cells, minlength=CELLS * CELLS)
        there = np.flatnonzero(rows)
        x, y = (tuple((np.bincount(cells, axis / rows[cells])[there]).tolist()) for axis in axes)
        low, high = float(self.labels.min()), float(self.labels.max())
        return ScatterPanel(
            title="Predicted and true values",
            help="means of the rows in each cell of a grid",
            x_label="label",
            y_label="prediction",
            series=(
                Series(name=name, x=x, y=y),
                Series(name="exact", x=(low, high), y=(low, high)),
            ),
        )


def _cell(values: Floats) -> npt.NDArray[np.int64]:
    """Return which of ``CELLS`` intervals of equal width each value is in."""
    low, high = values.min() / 2, values.max() / 2
    share = (values / 2 - low) / ((high - low) or 1.0)
    cells: npt.NDArray[np.int64] = np.minimum((share * CELLS).astype(np.int64), CELLS - 1)
    return cells


def evaluate_numbers(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> RegressionEvaluation:
    """Evaluate predicted numbers against labels, both [rows].

    Errors: ATL-EVA-001 shapes, ATL-EVA-003 a label or prediction is NaN or infinite.
    """
    truth, values = paired(labels, predicted)
    return RegressionEvaluation(finite(truth, "label"), finite(values, "prediction"))

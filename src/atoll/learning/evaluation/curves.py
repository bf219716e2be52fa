"""What holds over all thresholds: ROC, precision–recall, KS, gain and lift curves, AUC and KS.

Equal scores fall on one threshold, so the order of rows changes nothing. Point 0 of the ROC, KS
and gain curves is the threshold +∞, at which nothing is predicted positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError
from atoll.learning.evaluation.metrics import Flags, Floats, checked


@dataclass(frozen=True, eq=False)
class Curves:
    """Rates at each distinct score from the highest down; all arrays are float64[points].

    ``thresholds[0]`` is +∞. ``true_positive_rate`` over ``false_positive_rate`` is the ROC curve,
    both over ``fraction`` the KS curve; ``fraction`` is the share of rows at or above a threshold.
    """

    thresholds: Floats
    false_positive_rate: Floats
    true_positive_rate: Floats
    fraction: Floats
    precision: Floats

    @classmethod
    def of(cls, labels: npt.ArrayLike, scores: npt.ArrayLike) -> Curves:
        """Sort once and count. Errors: ATL-EVA-001…-003, ATL-EVA-004 only one class is there."""
        return curves_of(*checked(labels, scores))

    @property
    def auc(self) -> float:
        """The area under the ROC curve, by trapezoids: ties count one half."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))

    @property
    def average_precision(self) -> float:
        """The mean of precision over recall, by steps: Σ (Rₙ − Rₙ₋₁) Pₙ, nothing interpolated."""
        return float(np.sum(np.diff(self.true_positive_rate) * self.precision[1:]))

    @property
    def ks(self) -> float:
        """The largest distance of true from false positive rate."""
        return float(np.max(self.true_positive_rate - self.false_positive_rate))

    @property
    def ks_threshold(self) -> float:
        """The highest threshold at which the distance is largest; +∞ where it is nowhere > 0."""
        return float(self.thresholds[self.ks_point])

    @property
    def ks_point(self) -> int:
        """The position of ``ks_threshold`` in the arrays."""
        return int(np.argmax(self.true_positive_rate - self.false_positive_rate))

    def roc(self) -> tuple[Floats, Floats]:
        """Return false and true positive rates."""
        return self.false_positive_rate, self.true_positive_rate

    def precision_recall(self) -> tuple[Floats, Floats]:
        """Return recall and precision, from recall 0 (precision 1 by convention) upwards."""
        return self.true_positive_rate, self.precision

    def gain(self) -> tuple[Floats, Floats]:
        """Return the share of rows taken from the top, and of the positives among them."""
        return self.fraction, self.true_positive_rate

    def lift(self) -> tuple[Floats, Floats]:
        """Return the share of rows taken, and how often more positives than by chance (no ∞)."""
        return self.fraction[1:], self.true_positive_rate[1:] / self.fraction[1:]


def curves_of(positive: Flags, scores: Floats) -> Curves:
    """Count over checked labels and scores. Errors: ATL-EVA-004 only one class is there."""
    rows, positives = len(positive), int(np.count_nonzero(positive))
    if positives in (0, rows):
        raise one_class()
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), rows - 1)
    hits = np.concatenate(([0], np.cumsum(positive[order], dtype=np.int64)[last]))
    taken = np.concatenate(([0], last + 1))
    precision = np.concatenate(([1.0], hits[1:] / taken[1:]))
    return Curves(
        thresholds=np.concatenate(([np.inf], ranked[last])),
        false_positive_rate=(taken - hits) / (rows - positives),
        true_positive_rate=hits / positives,
        fraction=taken / rows,
        precision=precision,
    )


def one_class() -> DataError:
    """Return the refusal of labels that are all the same."""
    return DataError(
        "ATL-EVA-004",
        "all labels are of one class, so AUC and curves are not defined",
        hint="evaluate on rows of both classes",
    )


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the ROC curve. Errors: ATL-EVA-001…-004."""
    return Curves.of(labels, scores).auc


def ks(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the Kolmogorov–Smirnov distance of the classes' scores. Errors: ATL-EVA-001…-004."""
    return Curves.of(labels, scores).ks


def thinned(x: Floats, y: Floats, points: int, keep: int | None = None) -> npt.NDArray[np.int64]:
    """Choose at most ``points`` positions evenly along the drawn curve, both ends among them.

    ``keep`` is one more position to choose. For pictures only: figures come from whole curves.
    """
    if len(x) <= points:
        return np.arange(len(x))
    reach = [float(np.ptp(axis)) or 1.0 for axis in (x, y)]
    steps = np.abs(np.diff(x)) / reach[0] + np.abs(np.diff(y)) / reach[1]
    length = np.concatenate(([0.0], np.cumsum(steps)))
    marks = np.linspace(0.0, length[-1], points - 2)
    chosen = np.minimum(np.searchsorted(length, marks), len(x) - 1)
    extra = [0, len(x) - 1] if keep is None else [0, len(x) - 1, keep]
    picked: npt.NDArray[np.int64] = np.unique(np.concatenate((chosen, extra)))
    return picked

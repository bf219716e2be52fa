"""Whether two models' AUC on the same rows differ by more than chance: DeLong's test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.learning.evaluation.curves import one_class
from atoll.learning.evaluation.metrics import Flags, Floats, checked


@dataclass(frozen=True, eq=False)
class AucComparison:
    """AUC of models on the same rows, float64[models], and their covariance [models, models].

    DeLong, DeLong & Clarke-Pearson (Biometrics 44, 1988), by midranks as Sun & Xu (IEEE Signal
    Processing Letters 21, 2014) compute it; rows are taken to be independent.
    """

    auc: Floats
    covariance: Floats

    @classmethod
    def of(cls, labels: npt.ArrayLike, scores: Sequence[npt.ArrayLike]) -> AucComparison:
        """Compare scores of models, [rows] each, on labels of 0 and 1.

        Errors: ATL-EVA-001…-004. With one row of a class there is no covariance: it is NaN.
        """
        pairs = [checked(labels, values) for values in scores]
        parts = [_placements(*pair) for pair in pairs]
        ones, zeros = (np.stack(side) for side in zip(*parts, strict=True))
        models = len(ones)
        if min(ones.shape[1], zeros.shape[1]) < 2:
            covariance = np.full((models, models), np.nan)
        else:
            covariance = np.cov(ones) / ones.shape[1] + np.cov(zeros) / zeros.shape[1]
        return cls(ones.mean(axis=1), np.reshape(covariance, (models, models)))

    def error(self, one: int, other: int) -> float | None:
        """Return the standard error of two models' difference; None where it is not known."""
        c = self.covariance
        variance = float(c[one, one] + c[other, other] - 2 * c[one, other])
        if not math.isfinite(variance):
            return None
        # What rounding leaves of models that order rows alike is no variance.
        least = 1e-12 * float(c[one, one] + c[other, other])
        return math.sqrt(variance) if variance > least else 0.0

    def p_value(self, one: int, other: int) -> float | None:
        """Return how likely so large a difference is by chance, two-sided, if both AUC are one.

        None where its standard error is 0 or not known.
        """
        error = self.error(one, other)
        if not error:
            return None
        z = float(self.auc[one] - self.auc[other]) / error
        return math.erfc(abs(z) / math.sqrt(2))


def _placements(positive: Flags, scores: Floats) -> tuple[Floats, Floats]:
    """Return for each row of label 1 the share of label 0 below it (equals count half), float64
    [positives], and for each of label 0 the share of label 1 above, float64[negatives].
    """
    ones, zeros = scores[positive], scores[~positive]
    if not (len(ones) and len(zeros)):
        raise one_class()
    below = _midranks(ones, zeros) / len(zeros)
    return below, 1 - _midranks(zeros, ones) / len(ones)


def _midranks(values: Floats, among: Floats) -> Floats:
    """Return how many of ``among`` are less than each value; equals count half."""
    ranked = np.sort(among)
    left, right = (np.searchsorted(ranked, values, side=side) for side in ("left", "right"))
    return np.asarray((left + right) / 2)

"""Checked labels and scores, and the figures of one threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Figures = dict[str, float | int | None]
# What a table holds, a mapping a line, for JSON.
Lines = list[dict[str, Any]]


def checked(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Flags, Floats]:
    """Return labels as booleans and scores as float64, both [rows].

    Errors: ATL-EVA-001 shapes differ or nothing there, ATL-EVA-002 a label is not 0 or 1,
    ATL-EVA-003 a score is NaN or infinite.
    """
    truth, values = paired(labels, scores)
    positive = truth == 1
    wrong = ~(positive | (truth == 0))
    if wrong.any():
        raise DataError(
            "ATL-EVA-002",
            "a label is neither 0 nor 1",
            place=f"row {int(np.argmax(wrong)) + 1}",
            hint="map the two classes to 0 and 1",
        )
    return positive, finite(values)


def paired(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[Any], Floats]:
    """Return labels as they are and scores as float64, both [rows]. Errors: ATL-EVA-001."""
    truth = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape or not len(truth):
        raise UserError(
            "ATL-EVA-001",
            "labels and scores must be two arrays of one length, with at least one row",
        )
    return truth, values


def finite(values: npt.ArrayLike, what: str = "score") -> Floats:
    """Return values as float64[rows]. Errors: ATL-EVA-001 none, ATL-EVA-003 NaN or infinite."""
    found = np.asarray(values, dtype=np.float64)
    if not found.size:
        raise UserError("ATL-EVA-001", f"there is no {what}: at least one row is needed")
    endless = ~np.isfinite(found)
    if endless.any():
        raise DataError(
            "ATL-EVA-003",
            f"a {what} is NaN or infinite",
            place=f"row {int(np.argmax(endless.reshape(len(found), -1).any(axis=1))) + 1}",
            hint="the model did not converge, or rows were joined that it never scored",
        )
    return found


@dataclass(frozen=True)
class Confusion:
    """Counts of rows by truth and prediction; a row is predicted positive at score ≥ threshold."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int

    @classmethod
    def at(cls, positive: Flags, scores: Floats, threshold: float) -> Confusion:
        """Count checked labels and scores at a threshold."""
        predicted = scores >= threshold
        hits = int(np.count_nonzero(predicted & positive))
        predictions, true = int(np.count_nonzero(predicted)), int(np.count_nonzero(positive))
        return cls(hits, predictions - hits, len(positive) - predictions - true + hits, true - hits)

    @property
    def accuracy(self) -> float:
        """The share of rows predicted right."""
        right = self.true_positive + self.true_negative
        return right / (right + self.false_positive + self.false_negative)

    @property
    def precision(self) -> float:
        """The share of true among predicted positives; 0 where none is predicted."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """The share of found among true positives; 0 where there is none."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where both are."""
        twice = 2 * self.true_positive
        return _ratio(twice, twice + self.false_positive + self.false_negative)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def log_loss(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Return the mean of −log(probability of the true class), natural logarithm.

    Probabilities are clipped to [ε, 1 − ε] with the ε of float64 (2.2e-16). Errors:
    ATL-EVA-001…-003, ATL-EVA-005 a score is outside [0, 1].
    """
    positive, values = checked(labels, probabilities)
    if values.min() < 0 or values.max() > 1:
        raise UserError(
            "ATL-EVA-005",
            "log-loss needs probabilities between 0 and 1",
            hint="pass scores through the sigmoid first",
        )
    epsilon = np.finfo(np.float64).eps
    clipped = np.clip(values, epsilon, 1 - epsilon)
    return float(-np.mean(np.log(np.where(positive, clipped, 1 - clipped))))

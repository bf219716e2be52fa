"""Figures at several thresholds, and the threshold with the best F1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atoll.core.report import TablePanel
from atoll.learning.evaluation.curves import Curves
from atoll.learning.evaluation.metrics import Floats, Lines

SHARES = 20


@dataclass(frozen=True, eq=False)
class ThresholdTable:
    """Figures at thresholds from the highest down, float64[thresholds] each.

    A row is predicted positive at score ≥ ``threshold``: counts of rows are true and false
    positives, true and false negatives. ``share`` is the share of rows taken, ``recall`` also the
    gain, ``lift`` how often more positives are among those taken than among all rows.
    """

    threshold: Floats
    share: Floats
    true_positive: Floats
    false_positive: Floats
    true_negative: Floats
    false_negative: Floats

    @classmethod
    def of(cls, curves: Curves, positives: int, rows: int, shares: int = SHARES) -> ThresholdTable:
        """Take the highest thresholds that take 1/shares, 2/shares, … of the rows, each once."""
        wanted = np.arange(1, shares + 1) / shares
        # 0.15 of 20 rows are 3, whatever rounding says.
        at = np.unique(np.searchsorted(curves.fraction, wanted * (1 - 1e-12)))
        taken, hits = _counts(curves, positives, rows)
        hit, missed = hits[at], taken[at] - hits[at]
        return cls(
            threshold=curves.thresholds[at],
            share=curves.fraction[at],
            true_positive=hit,
            false_positive=missed,
            true_negative=rows - positives - missed,
            false_negative=positives - hit,
        )

    @property
    def precision(self) -> Floats:
        """The share of true among predicted positives."""
        return self.true_positive / (self.true_positive + self.false_positive)

    @property
    def recall(self) -> Floats:
        """The share of found among true positives: the gain."""
        return self.true_positive / (self.true_positive + self.false_negative)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall."""
        twice = 2 * self.true_positive
        return np.asarray(twice / (twice + self.false_positive + self.false_negative))

    @property
    def accuracy(self) -> Floats:
        """The share of rows predicted right."""
        right = self.true_positive + self.true_negative
        return right / (right + self.false_positive + self.false_negative)

    @property
    def lift(self) -> Floats:
        """Precision by the share of positives among all rows."""
        return np.asarray(self.recall / self.share)

    def lines(self) -> Lines:
        """Give a mapping a threshold, for JSON."""
        columns = {
            "threshold": self.threshold,
            "share": self.share,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "accuracy": self.accuracy,
            "lift": self.lift,
        }
        counts = ("true_positive", "false_positive", "true_negative", "false_negative")
        values = [column.tolist() for column in columns.values()]
        values += [getattr(self, name).astype(np.int64).tolist() for name in counts]
        names = (*columns, *counts)
        return [dict(zip(names, line, strict=True)) for line in zip(*values, strict=True)]

    def panel(self) -> TablePanel:
        """Give the table for a report."""
        lines = self.lines()
        names = {"share": "share of rows", "recall": "recall (gain)", "f1": "F1"}
        return TablePanel(
            title="Thresholds",
            help="a row is predicted 1 at score ≥ threshold",
            columns=tuple(names.get(key, key.replace("_", " ")) for key in lines[0]),
            rows=tuple(tuple(line.values()) for line in lines),
        )


def best_f1(curves: Curves, positives: int, rows: int) -> tuple[float, float]:
    """Return the largest F1 over all thresholds, and the highest threshold that has it."""
    taken, hits = _counts(curves, positives, rows)
    scores = 2 * hits / (taken + positives)
    at = int(np.argmax(scores))
    return float(scores[at]), float(curves.thresholds[at])


def _counts(curves: Curves, positives: int, rows: int) -> tuple[Floats, Floats]:
    """Return rows taken and positives among them by threshold, whole numbers."""
    return np.rint(curves.fraction * rows), np.rint(curves.true_positive_rate * positives)

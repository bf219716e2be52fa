"""The evaluation of a binary classifier, and its report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from atoll.core.report import (
    KeyValuePanel,
    LinePanel,
    Panel,
    Report,
    Series,
    TablePanel,
)
from atoll.learning.evaluation.curves import Curves, curves_of, thinned
from atoll.learning.evaluation.metrics import Confusion, Floats, checked, log_loss

POINTS = 500

_TAKEN = "share of rows, highest scores first"


@dataclass(frozen=True, eq=False)
class BinaryEvaluation:
    """Figures of a model on labelled rows. ``log_loss`` is None where scores are no probabilities.

    ``confusion`` and what follows from it hold at ``threshold``; ``curves`` over all thresholds.
    """

    rows: int
    positives: int
    threshold: float
    auc: float
    ks: float
    ks_threshold: float
    log_loss: float | None
    confusion: Confusion
    curves: Curves

    @property
    def accuracy(self) -> float:
        """The share of rows predicted right."""
        return self.confusion.accuracy

    @property
    def precision(self) -> float:
        """The share of true among predicted positives."""
        return self.confusion.precision

    @property
    def recall(self) -> float:
        """The share of found among true positives."""
        return self.confusion.recall

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return self.confusion.f1

    def to_dict(self) -> dict[str, float | int | None]:
        """Give the figures, without curves, for JSON."""
        return {
            "rows": self.rows,
            "positives": self.positives,
            "auc": self.auc,
            "ks": self.ks,
            "log_loss": self.log_loss,
            "threshold": self.threshold,
            "accuracy": self.accuracy,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }

    def to_report(self, title: str = "Evaluation", name: str = "model") -> Report:
        """Give figures and curves as panels; ``name`` is the curves' name in legends."""
        return Report(title=title, panels=(self._figures(), self._counts(), *self._lines(name)))

    def _figures(self) -> KeyValuePanel:
        labels = {"auc": "AUC", "ks": "KS", "f1": "F1", "log_loss": "log-loss"}
        values = {labels.get(key, key): value for key, value in self.to_dict().items()}
        return KeyValuePanel(title="Figures", values=dict(values))

    def _counts(self) -> TablePanel:
        counts = self.confusion
        return TablePanel(
            title=f"Rows by truth and prediction (score ≥ {self.threshold:g})",
            columns=("", "predicted 1", "predicted 0"),
            rows=(
                ("label 1", counts.true_positive, counts.false_negative),
                ("label 0", counts.false_positive, counts.true_negative),
            ),
        )

    def _lines(self, name: str) -> tuple[Panel, ...]:
        curves = self.curves
        diagonal = Series(name="chance", x=(0.0, 1.0), y=(0.0, 1.0))
        roc = _series(name, *curves.roc())
        trade = _series(name, *curves.precision_recall())
        gain, lift = _series(name, *curves.gain()), _series(name, *curves.lift())
        return (
            _line("ROC curve", "false positive rate", "true positive rate", roc, diagonal),
            self._distance(),
            _line("Precision–recall curve", "recall", "precision", trade),
            _line("Gain curve", _TAKEN, "share of all positives", gain, diagonal),
            _line("Lift curve", _TAKEN, "lift", lift),
        )

    def _distance(self) -> LinePanel:
        curves = self.curves
        share, ones, zeros = curves.fraction, curves.true_positive_rate, curves.false_positive_rate
        at = thinned(share, ones - zeros, POINTS, curves.ks_point)
        rates = (
            Series(name="label 1", x=_points(share[at]), y=_points(ones[at])),
            Series(name="label 0", x=_points(share[at]), y=_points(zeros[at])),
        )
        return LinePanel(
            title="KS curve",
            help=f"largest distance {self.ks:.4f}",
            x_label=_TAKEN,
            y_label="share of the class",
            series=rates,
        )


def _line(title: str, x_label: str, y_label: str, *series: Series) -> LinePanel:
    return LinePanel(title=title, x_label=x_label, y_label=y_label, series=series)


def _series(name: str, x: Floats, y: Floats) -> Series:
    at = thinned(x, y, POINTS)
    return Series(name=name, x=_points(x[at]), y=_points(y[at]))


def _points(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())


def evaluate(
    labels: npt.ArrayLike, scores: npt.ArrayLike, threshold: float = 0.5
) -> BinaryEvaluation:
    """Evaluate scores against labels of 0 and 1, both [rows], without weights.

    A row counts as predicted positive at score ≥ ``threshold``. Errors: ATL-EVA-001 shapes,
    ATL-EVA-002 labels, ATL-EVA-003 NaN or infinite scores, ATL-EVA-004 one class only.
    """
    positive, values = checked(labels, scores)
    curves = curves_of(positive, values)
    probabilities = values.min() >= 0 and values.max() <= 1
    return BinaryEvaluation(
        rows=len(values),
        positives=int(positive.sum()),
        threshold=threshold,
        auc=curves.auc,
        ks=curves.ks,
        ks_threshold=curves.ks_threshold,
        log_loss=log_loss(positive, values) if probabilities else None,
        confusion=Confusion.at(positive, values, threshold),
        curves=curves,
    )

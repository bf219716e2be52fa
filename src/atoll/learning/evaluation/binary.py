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
from atoll.learning.evaluation.calibration import Calibration
from atoll.learning.evaluation.curves import Curves, curves_of, thinned
from atoll.learning.evaluation.metrics import (
    Confusion,
    Figures,
    Floats,
    Lines,
    checked,
    log_loss,
)
from atoll.learning.evaluation.thresholds import ThresholdTable, best_f1

POINTS = 500

LABELS = {
    "auc": "AUC",
    "ks": "KS",
    "ks_threshold": "KS threshold",
    "f1": "F1",
    "best_f1": "best F1",
    "best_f1_threshold": "threshold of the best F1",
    "log_loss": "log-loss",
    "brier": "Brier score",
}

_TAKEN = "share of rows, highest scores first"


@dataclass(frozen=True, eq=False)
class BinaryEvaluation:
    """Figures of a model on labelled rows.

    ``confusion`` and what follows from it hold at ``threshold``; ``curves`` over all thresholds.
    ``log_loss`` and ``calibration`` are None where scores are no probabilities.
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
    calibration: Calibration | None

    @property
    def average_precision(self) -> float:
        """The area under the precision–recall curve, by steps."""
        return self.curves.average_precision

    @property
    def best_f1(self) -> tuple[float, float]:
        """The largest F1 over all thresholds, and the highest threshold that has it."""
        return best_f1(self.curves, self.positives, self.rows)

    @property
    def thresholds(self) -> ThresholdTable:
        """Figures where each further twentieth of the rows is taken."""
        return ThresholdTable.of(self.curves, self.positives, self.rows)

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

    def to_dict(self) -> Figures:
        """Give the figures, without curves, for JSON."""
        best, best_threshold = self.best_f1
        calibration = self.calibration
        return {
            "rows": self.rows,
            "positives": self.positives,
            "auc": self.auc,
            "ks": self.ks,
            # Where no threshold separates the classes it is +∞.
            "ks_threshold": self.ks_threshold if self.ks > 0 else None,
            "average_precision": self.average_precision,
            "log_loss": self.log_loss,
            "brier": None if calibration is None else calibration.brier,
            "calibration_error": None if calibration is None else calibration.error,
            "threshold": self.threshold,
            "accuracy": self.accuracy,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "best_f1": best,
            "best_f1_threshold": best_threshold,
        }

    def tables(self) -> dict[str, Lines]:
        """Give ``thresholds`` and, of probabilities, ``calibration`` by bin, for JSON."""
        found = {"thresholds": self.thresholds.lines()}
        if self.calibration is not None:
            found["calibration"] = self.calibration.lines()
        return found

    def to_report(self, title: str = "Evaluation", name: str = "model") -> Report:
        """Give figures and curves as panels; ``name`` is the curves' name in legends."""
        return Report(title=title, panels=self.panels(name))

    def panels(self, name: str = "model") -> tuple[Panel, ...]:
        """Give what ``to_report`` has."""
        reliability = () if self.calibration is None else (self.calibration.panel(name),)
        table = self.thresholds.panel()
        return (self._figures(), self._counts(), *self._lines(name), *reliability, table)

    def _figures(self) -> KeyValuePanel:
        return figures_panel(self.to_dict())

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
        roc = drawn(name, *curves.roc())
        trade = drawn(name, *curves.precision_recall())
        gain, lift = drawn(name, *curves.gain()), drawn(name, *curves.lift())
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


def figures_panel(figures: Figures) -> KeyValuePanel:
    """Give figures under the names that people know them by."""
    values = {LABELS.get(key, key.replace("_", " ")): value for key, value in figures.items()}
    return KeyValuePanel(title="Figures", values=dict(values))


def _line(title: str, x_label: str, y_label: str, *series: Series) -> LinePanel:
    return LinePanel(title=title, x_label=x_label, y_label=y_label, series=series)


def drawn(name: str, x: Floats, y: Floats) -> Series:
    """Give a curve with at most ``POINTS`` points."""
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
        calibration=Calibration.of(positive, values) if probabilities else None,
    )

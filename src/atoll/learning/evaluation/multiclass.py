"""The evaluation of a classifier with several classes, and its report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError
from atoll.core.report import Panel, TablePanel
from atoll.learning.evaluation.binary import figures_panel
from atoll.learning.evaluation.curves import curves_of
from atoll.learning.evaluation.metrics import Figures, Floats, Lines, finite, paired

MOST_CLASSES = 1 << 10
TOP = (2, 3, 5)
_SHOWN, _CELLS = 20, 10_000

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MultiClassEvaluation:
    """Figures of a classifier on labelled rows.

    ``classes`` are those that a label or a prediction has, rising; ``counts`` int64[true class,
    predicted class]. Precision, recall and F1 of a class are 0 where they divide by nothing.
    ``probable`` are the figures that need probabilities, empty without them.
    """

    classes: Floats
    counts: Counts
    probable: Figures

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.counts.sum())

    @property
    def support(self) -> Counts:
        """Rows by true class."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def precision(self) -> Floats:
        """The share of each class among the rows that are predicted to be of it."""
        return _shares(np.diag(self.counts), self.counts.sum(axis=0))

    @property
    def recall(self) -> Floats:
        """The share of the rows of each class that are predicted to be of it."""
        return _shares(np.diag(self.counts), self.support)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall by class."""
        return _shares(2 * np.diag(self.counts), self.counts.sum(axis=0) + self.support)

    @property
    def accuracy(self) -> float:
        """The share of rows predicted right: micro-averaged precision, recall and F1, too."""
        return float(np.trace(self.counts) / self.rows)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond chance (Cohen 1960); None where chance is 1."""
        chance = float(self.support / self.rows @ (self.counts.sum(axis=0) / self.rows))
        return None if chance >= 1 else (self.accuracy - chance) / (1 - chance)

    def to_dict(self) -> Figures:
        """Give the figures for JSON: macro means over classes, weighted ones by their rows."""
        found: Figures = {"rows": self.rows, "classes": len(self.classes)}
        found |= {"accuracy": self.accuracy, "kappa": self.kappa}
        by_class = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        for name, values in by_class.items():
            found[f"macro_{name}"] = float(values.mean())
            found[f"weighted_{name}"] = float(np.average(values, weights=self.support))
            found[f"micro_{name}"] = self.accuracy
        return found | self.probable

    def tables(self) -> dict[str, Lines]:
        """Give figures by class, and rows by true and predicted class, at most 10,000 counts."""
        largest = np.argsort(-self.counts, axis=None, kind="stable")[:_CELLS]
        largest = np.sort(largest[self.counts.flat[largest] > 0])
        true, predicted = np.unravel_index(largest, self.counts.shape)
        cells = (self.classes[true], self.classes[predicted], self.counts[true, predicted])
        confusion = [
            {"label": label, "predicted": found, "rows": rows}
            for label, found, rows in zip(*(cell.tolist() for cell in cells), strict=True)
        ]
        return {"classes": self._by_class(), "confusion": confusion}

    def _by_class(self) -> Lines:
        columns = (self.classes, self.support, self.precision, self.recall, self.f1)
        names = ("class", "rows", "precision", "recall", "f1")
        values = (column.tolist() for column in columns)
        return [dict(zip(names, line, strict=True)) for line in zip(*values, strict=True)]

    def panels(self, name: str = "model") -> tuple[Panel, ...]:
        """Give figures, figures by class, and rows by truth and prediction of the largest."""
        lines = self._by_class()
        table = TablePanel(
            title="Classes",
            columns=("class", "rows", "precision", "recall", "F1"),
            rows=tuple(tuple(line.values()) for line in lines[:MOST_CLASSES]),
        )
        return (figures_panel(self.to_dict()), table, self._confusion())

    def _confusion(self) -> TablePanel:
        largest = np.argsort(-self.support, kind="stable")[:_SHOWN]
        shown = np.sort(largest)
        left = len(self.classes) - len(shown)
        return TablePanel(
            title="Rows by truth and prediction",
            help=f"{left} classes with fewer rows are left out" if left else "",
            columns=("label", *(f"predicted {value:g}" for value in self.classes[shown])),
            rows=tuple(
                (f"{value:g}", *line)
                for value, line in zip(
                    self.classes[shown].tolist(),
                    self.counts[np.ix_(shown, shown)].tolist(),
                    strict=True,
                )
            ),
        )


def _shares(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    return np.asarray(part / np.maximum(whole, 1), dtype=np.float64)


def evaluate_classes(
    labels: npt.ArrayLike, predicted: npt.ArrayLike, probabilities: npt.ArrayLike | None = None
) -> MultiClassEvaluation:
    """Evaluate predicted classes against true ones, both [rows], numbers of any values.

    ``probabilities`` [rows, classes] are of the classes 0, 1, …: with them come log-loss, top-k
    accuracy and AUC. Errors: ATL-EVA-001 shapes, ATL-EVA-003 what is NaN or infinite, ATL-EVA-005
    no probabilities, ATL-EVA-006 labels that are no class of theirs, or more than 1,024 classes.
    """
    truth, found = paired(labels, predicted)
    truth, found = finite(truth, "label"), finite(found, "predicted class")
    classes, numbers = np.unique(np.concatenate((truth, found)), return_inverse=True)
    wide = len(classes)
    if wide > MOST_CLASSES:
        raise UserError(
            "ATL-EVA-006",
            f"{wide:,} classes, and at most {MOST_CLASSES:,} are evaluated",
            hint="numbers that are measured rather than counted want the task regression",
        )
    cells = numbers[: len(truth)] * wide + numbers[len(truth) :]
    counts = np.bincount(cells, minlength=wide * wide).reshape(wide, wide)
    probable = {} if probabilities is None else _probable(truth, probabilities)
    return MultiClassEvaluation(classes, counts.astype(np.int64), probable)


def _probable(truth: Floats, probabilities: npt.ArrayLike) -> Figures:
    """Return log-loss, top-k accuracy and AUC of one class against the rest."""
    values = finite(probabilities, "probability")
    if values.ndim != 2 or len(values) != len(truth):
        raise UserError("ATL-EVA-001", "probabilities have a row for each label, and classes")
    # Trees and networks compute in float32.
    if values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > 1e-4:
        raise UserError(
            "ATL-EVA-005",
            "the values of a row are no probabilities: they are negative, or their sum is not 1",
            hint="pass scores through the softmax first",
        )
    wide = values.shape[1]
    wrong = (truth < 0) | (truth >= wide) | (truth != np.floor(truth))
    if wrong.any():
        raise DataError(
            "ATL-EVA-006",
            f"a label is none of the model's classes, 0 to {wide - 1}",
            place=f"row {int(np.argmax(wrong)) + 1}",
            hint="number the classes as in training, and leave out rows of classes it never saw",
        )
    true = truth.astype(np.int64)
    own = values[np.arange(len(true)), true]
    # Of equals the class with the lower number comes first, as in the predicted class.
    first = np.arange(wide) < true[:, np.newaxis]
    before = ((values > own[:, np.newaxis]) | ((values == own[:, np.newaxis]) & first)).sum(axis=1)
    epsilon = np.finfo(np.float64).eps
    figures: Figures = {"log_loss": float(-np.mean(np.log(np.clip(own, epsilon, 1))))}
    figures |= {f"top_{k}_accuracy": float(np.mean(before < k)) for k in TOP if k < wide}
    return figures | _rest(true, values)


def _rest(true: npt.NDArray[np.int64], values: Floats) -> Figures:
    """Return the AUC of each class against the rest, as a mean over classes and by their rows.

    Classes without rows of their own are left out, as is the only one that is there.
    """

    def areas() -> Iterator[tuple[float, int]]:
        for number, rows in enumerate(np.bincount(true, minlength=values.shape[1]).tolist()):
            if 0 < rows < len(true):
                yield curves_of(true == number, values[:, number]).auc, rows

    found = list(areas())
    if not found:
        return {"macro_auc": None, "weighted_auc": None}
    area, rows = np.array(found).T
    return {
        "macro_auc": float(area.mean()),
        "weighted_auc": float(np.average(area, weights=rows)),
    }

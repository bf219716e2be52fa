"""Figures by threshold, calibration and stability, against scikit-learn and numbers by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from atoll.core.errors import AtollError
from atoll.learning.evaluation import Calibration, Stability, evaluate
from tests.learning.evaluation.test_evaluation import cases, near

LABELS = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0])
SCORES = np.array([0.9, 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


@given(cases())
def test_the_table_equals_scikit_learn_at_each_threshold(case: tuple[Any, Any]) -> None:
    labels, scores = case
    table = evaluate(labels, scores).thresholds
    assert (np.diff(table.threshold) < 0).all()
    assert table.share[-1] == 1.0
    for line in table.lines():
        predicted = (scores >= line["threshold"]).astype(int)
        tn, fp, fn, tp = reference.confusion_matrix(labels, predicted, labels=[0, 1]).ravel()
        counts = ("true_negative", "false_positive", "false_negative", "true_positive")
        assert [line[name] for name in counts] == [tn, fp, fn, tp]
        near(line["share"], predicted.mean())
        near(line["precision"], reference.precision_score(labels, predicted))
        near(line["recall"], reference.recall_score(labels, predicted))
        near(line["f1"], reference.f1_score(labels, predicted))
        near(line["accuracy"], reference.accuracy_score(labels, predicted))
        near(line["lift"], reference.precision_score(labels, predicted) / labels.mean())


@given(cases())
def test_the_best_f1_is_the_best_of_all_thresholds(case: tuple[Any, Any]) -> None:
    labels, scores = case
    best, threshold = evaluate(labels, scores).best_f1
    cuts = np.unique(scores)
    found = np.array([reference.f1_score(labels, scores >= cut) for cut in cuts])
    near(best, found.max())
    near(threshold, cuts[np.flatnonzero(found >= found.max() - 1e-12)[-1]])


def test_a_table_by_hand() -> None:
    table = evaluate(LABELS, SCORES).thresholds
    near(table.threshold, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    near(table.share, [0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    near(table.precision[:3], [1, 2 / 3, 3 / 4])
    near(table.lift[:3], [2.5, 5 / 3, 15 / 8])
    assert evaluate(LABELS, SCORES).best_f1 == (0.75, 0.7)


def test_many_thresholds_are_taken_at_twentieths_of_the_rows() -> None:
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 4000), rng.random(4000)
    table = evaluate(labels, scores).thresholds
    near(table.share, np.arange(1, 21) / 20)
    assert len(evaluate(labels, scores).to_report().panels[-1].rows) == 20  # type: ignore[union-attr]


@given(cases())
def test_calibration_equals_scikit_learn(case: tuple[Any, Any]) -> None:
    labels, scores = case
    found = Calibration.of(labels == 1, scores)
    observed, predicted = calibration_curve(labels, scores, n_bins=10)
    near(found.observed, observed)
    near(found.predicted, predicted)
    near(found.brier, reference.brier_score_loss(labels, scores))
    assert found.rows.sum() == len(labels)


def test_calibration_by_hand() -> None:
    found = Calibration.of(np.array([True, False, True, True]), np.array([0.1, 0.15, 0.9, 0.85]))
    near(found.rows, [1, 1, 2])
    near(found.observed, [1, 0, 1])
    # 0.9 off for one row, 0.15 for one, 0.125 for two.
    near(found.error, (0.9 + 0.15 + 2 * 0.125) / 4)
    near(found.largest, 0.9)
    assert evaluate([0, 1], [-1.0, 2.0]).calibration is None


def test_stability_of_two_bins_by_hand() -> None:
    train, other = np.repeat([0.1, 0.9], [80, 20]), np.repeat([0.05, 0.95], [70, 30])
    found = Stability.of(train, other)
    near(found.edges, [0.1, 0.9])
    near(found.expected, [0.8, 0.2, 0])
    near(found.actual, [0.7, 0, 0.3])
    rest = (1e-6 - 0.2) * np.log(1e-6 / 0.2) + (0.3 - 1e-6) * np.log(0.3 / 1e-6)
    near(found.index, 0.1 * np.log(8 / 7) + rest)
    assert [line["up_to"] for line in found.lines()] == [0.1, 0.9, None]


def test_stability_equals_the_published_term() -> None:
    train, other = np.repeat([0.1, 0.9], [20, 80]), np.repeat([0.1, 0.9], [30, 70])
    # ψ(0.2, 0.3) = 0.0405465, and ψ(0.8, 0.7) = 0.0133531.
    assert abs(Stability.of(train, other).index - (0.0405465 + 0.0133531)) < 1e-7


def test_stability_counts_what_lies_beyond_training_and_floors_empty_shares() -> None:
    train = np.arange(1, 101) / 200
    same = Stability.of(train, train)
    near(same.expected, [0.05] * 20)
    assert same.index == 0.0
    beyond = Stability.of(train, np.full(10, 0.99))
    near(beyond.actual, [0] * 19 + [1])
    near(beyond.index, 0.95 * np.log(20) + 19 * (1e-6 - 0.05) * np.log(1e-6 / 0.05))
    near(Stability.of(train, np.full(10, -5.0)).actual, [1] + [0] * 19)


def test_stability_refuses_scores_that_are_none() -> None:
    with pytest.raises(AtollError) as error:
        Stability.of([0.1, float("nan")], [0.1])
    assert (error.value.code, error.value.place) == ("ATL-EVA-003", "row 2")
    with pytest.raises(AtollError) as error:
        Stability.of([], [0.1])
    assert error.value.code == "ATL-EVA-001"

"""Evaluation against scikit-learn, on any labels and scores, ties included."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from atoll.core.errors import AtollError
from atoll.core.report import LinePanel
from atoll.learning.evaluation import Confusion, Curves, auc, evaluate, ks, log_loss


def near(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-9)


probability = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0.4999, 0.5001)
)


@st.composite
def cases(draw: st.DrawFn, score: st.SearchStrategy[float] = probability) -> tuple[Any, Any]:
    labels = draw(st.lists(st.integers(0, 1), min_size=2, max_size=80))
    labels[0], labels[-1] = 0, 1
    scores = draw(st.lists(score, min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(scores)


@given(cases(), st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]))
def test_figures_equal_scikit_learn(case: tuple[Any, Any], threshold: float) -> None:
    labels, scores = case
    ours = evaluate(labels, scores, threshold)
    predicted = (scores >= threshold).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = {
            "auc": reference.roc_auc_score(labels, scores),
            "accuracy": reference.accuracy_score(labels, predicted),
            "precision": reference.precision_score(labels, predicted, zero_division=0),
            "recall": reference.recall_score(labels, predicted),
            "f1": reference.f1_score(labels, predicted, zero_division=0),
            "log_loss": reference.log_loss(labels, scores),
            "average_precision": reference.average_precision_score(labels, scores),
        }
    for name, value in want.items():
        near(getattr(ours, name), value)


@given(cases(st.one_of(probability, st.floats(-1e6, 1e6))))
def test_curves_equal_scikit_learn(case: tuple[Any, Any]) -> None:
    labels, scores = case
    curves = Curves.of(labels, scores)
    fpr, tpr, thresholds = reference.roc_curve(labels, scores, drop_intermediate=False)
    near(curves.false_positive_rate, fpr)
    near(curves.true_positive_rate, tpr)
    np.testing.assert_array_equal(curves.thresholds, thresholds)
    precision, recall, _ = reference.precision_recall_curve(labels, scores)
    near(curves.precision_recall()[0], recall[::-1])
    near(curves.precision_recall()[1], precision[::-1])
    near(curves.ks, np.max(tpr - fpr))
    share = (tpr * labels.sum() + fpr * (1 - labels).sum()) / len(labels)
    near(curves.gain()[0], share)
    near(curves.gain()[1], tpr)
    near(curves.lift()[1], tpr[1:] / share[1:])


@given(cases(), st.data())
def test_the_order_of_rows_changes_nothing(case: tuple[Any, Any], data: Any) -> None:
    labels, scores = case
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    one, other = evaluate(labels, scores), evaluate(labels[order], scores[order])
    assert (one.auc, one.ks, one.confusion) == (other.auc, other.ks, other.confusion)
    near(one.log_loss, other.log_loss)


def test_a_perfect_a_reversed_and_a_blind_model() -> None:
    labels = np.array([0, 0, 1, 1])
    assert (auc(labels, [0.1, 0.2, 0.8, 0.9]), ks(labels, [0.1, 0.2, 0.8, 0.9])) == (1.0, 1.0)
    assert (auc(labels, [0.9, 0.8, 0.2, 0.1]), ks(labels, [0.9, 0.8, 0.2, 0.1])) == (0.0, 0.0)
    assert (auc(labels, [0.5] * 4), ks(labels, [0.5] * 4)) == (0.5, 0.0)
    assert evaluate(labels, [0.1, 0.2, 0.8, 0.9]).ks_threshold == 0.8


def test_counts_and_divisions_by_nothing() -> None:
    counts = Confusion.at(np.array([True, False]), np.array([0.1, 0.2]), 0.5)
    assert (counts.precision, counts.recall, counts.f1, counts.accuracy) == (0.0, 0.0, 0.0, 0.5)
    assert Confusion.at(np.array([True]), np.array([0.5]), 0.5).true_positive == 1


@pytest.mark.parametrize(
    ("labels", "scores", "code"),
    [
        ([], [], "ATL-EVA-001"),
        ([0, 1], [0.5], "ATL-EVA-001"),
        ([[0, 1]], [[0.5, 0.5]], "ATL-EVA-001"),
        ([0, 2], [0.5, 0.5], "ATL-EVA-002"),
        ([0, float("nan")], [0.5, 0.5], "ATL-EVA-002"),
        ([0, 1], [0.5, float("nan")], "ATL-EVA-003"),
        ([0, 1], [0.5, float("-inf")], "ATL-EVA-003"),
        ([1, 1], [0.5, 0.4], "ATL-EVA-004"),
        ([0], [0.5], "ATL-EVA-004"),
    ],
)
def test_what_has_no_evaluation_is_refused(labels: Any, scores: Any, code: str) -> None:
    with pytest.raises(AtollError) as error:
        evaluate(labels, scores)
    assert error.value.code == code


def test_log_loss_wants_probabilities() -> None:
    with pytest.raises(AtollError) as error:
        log_loss([0, 1], [0.2, 1.5])
    assert error.value.code == "ATL-EVA-005"
    assert evaluate([0, 1], [-3.0, 4.0]).log_loss is None


def test_the_report_thins_curves_but_not_figures() -> None:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, 20_000)
    scores = 1 / (1 + np.exp(-(labels - 0.5 + rng.normal(size=20_000))))
    evaluation = evaluate(labels, scores)
    assert len(evaluation.curves.thresholds) > 19_000
    lines = [p for p in evaluation.to_report().panels if isinstance(p, LinePanel)]
    assert [line.title.split()[0] for line in lines] == [
        "ROC",
        "KS",
        "Precision–recall",
        "Gain",
        "Lift",
        "Calibration",
    ]
    for line in lines:
        assert all(len(series.x) <= 500 for series in line.series)
    roc, distance = lines[0].series[0], lines[1].series
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert abs(np.trapezoid(roc.y, roc.x) - evaluation.auc) < 1e-3
    assert max(np.subtract(distance[0].y, distance[1].y)) == evaluation.ks

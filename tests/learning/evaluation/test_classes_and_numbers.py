"""Several classes and numbers, against scikit-learn and numbers by hand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from atoll.core.errors import AtollError
from atoll.core.report import BarPanel
from atoll.learning.evaluation import evaluate_classes, evaluate_numbers
from tests.learning.evaluation.test_evaluation import near

NUMBER = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@st.composite
def classified(draw: st.DrawFn) -> tuple[Any, Any]:
    rows = draw(st.integers(1, 60))
    values = st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0, 7.5]), min_size=rows, max_size=rows)
    return np.array(draw(values)), np.array(draw(values))


@given(classified())
def test_figures_of_classes_equal_scikit_learn(case: tuple[Any, Any]) -> None:
    labels, predicted = case
    found = evaluate_classes(labels, predicted)
    figures = found.to_dict()
    known = np.arange(len(found.classes))
    true, guess = (np.searchsorted(found.classes, part) for part in case)
    with warnings.catch_warnings():
        # Of a single class.
        warnings.simplefilter("ignore")
        counts = reference.confusion_matrix(true, guess, labels=known)
    np.testing.assert_array_equal(found.counts, counts)
    near(figures["accuracy"], reference.accuracy_score(true, guess))
    for average in ("macro", "weighted", "micro"):
        want = reference.precision_recall_fscore_support(
            true, guess, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), want[:3], strict=True):
            near(figures[f"{average}_{name}"], value)
    if found.kappa is None:
        assert len(found.classes) == 1
    else:
        near(found.kappa, reference.cohen_kappa_score(true, guess, labels=known))


@pytest.mark.parametrize("wide", [3, 4, 7])
def test_figures_of_probabilities_equal_scikit_learn(wide: int) -> None:
    rng = np.random.default_rng(wide)
    labels = np.concatenate((np.arange(wide), rng.integers(0, wide, 300)))
    raw = rng.random((len(labels), wide))
    raw[np.arange(len(labels)), labels] += 0.3
    values = raw / raw.sum(axis=1, keepdims=True)
    figures = evaluate_classes(labels, values.argmax(axis=1), values).to_dict()
    near(figures["log_loss"], reference.log_loss(labels, values))
    for average in ("macro", "weighted"):
        want = reference.roc_auc_score(labels, values, multi_class="ovr", average=average)
        near(figures[f"{average}_auc"], want)
    tops = [k for k in (2, 3, 5) if k < wide]
    assert [name for name in figures if name.startswith("top_")] == [
        f"top_{k}_accuracy" for k in tops
    ]
    for k in tops:
        want = reference.top_k_accuracy_score(labels, values, k=k)
        near(figures[f"top_{k}_accuracy"], want)


def test_ties_classes_without_rows_and_a_report() -> None:
    values = np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.0, 0.5, 0.5]])
    found = evaluate_classes([0, 1, 1], values.argmax(axis=1), values)
    figures = found.to_dict()
    assert (figures["accuracy"], figures["top_2_accuracy"]) == (1.0, 1.0)
    near(figures["macro_auc"], (1.0 + 0.75) / 2)
    near(figures["weighted_auc"], (1.0 + 2 * 0.75) / 3)
    near(figures["log_loss"], -(2 * np.log(0.4) + np.log(0.5)) / 3)
    assert found.tables()["confusion"] == [
        {"label": 0.0, "predicted": 0.0, "rows": 1},
        {"label": 1.0, "predicted": 1.0, "rows": 2},
    ]
    assert found.panels()[2].rows == (("0", 1, 0), ("1", 0, 2))  # type: ignore[union-attr]
    assert evaluate_classes([1, 1], [1, 1], [[0, 1], [0, 1]]).to_dict()["macro_auc"] is None


def test_many_classes_are_shown_in_part() -> None:
    labels = np.repeat(np.arange(30), np.arange(1, 31))
    panel = evaluate_classes(labels, labels).panels()[2]
    assert panel.help == "10 classes with fewer rows are left out"
    assert panel.rows[0] == ("10", 11, *[0] * 19)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("labels", "predicted", "values", "code", "place"),
    [
        ([0, 1], [0], None, "ATL-EVA-001", None),
        ([0, 1], [0, 1], [[1.0, 0.0]], "ATL-EVA-001", None),
        ([0, np.nan], [0, 1], None, "ATL-EVA-003", "row 2"),
        ([0, 1], [np.nan, 1], None, "ATL-EVA-003", "row 1"),
        ([0, 1], [0, 1], [[1.0, 0.0], [np.nan, 1.0]], "ATL-EVA-003", "row 2"),
        ([0, 1], [0, 1], [[0.5, 0.6], [0.5, 0.5]], "ATL-EVA-005", None),
        ([0, 2], [0, 1], [[0.5, 0.5], [0.5, 0.5]], "ATL-EVA-006", "row 2"),
        ([0, 0.5], [0, 1], [[0.5, 0.5], [0.5, 0.5]], "ATL-EVA-006", "row 2"),
        (np.arange(1025), np.arange(1025), None, "ATL-EVA-006", None),
    ],
)
def test_classes_that_do_not_fit(
    labels: Any, predicted: Any, values: Any, code: str, place: str | None
) -> None:
    with pytest.raises(AtollError) as error:
        evaluate_classes(labels, predicted, values)
    assert (error.value.code, error.value.place) == (code, place)


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=2, max_size=40))
def test_figures_of_numbers_equal_scikit_learn(case: list[tuple[float, float]]) -> None:
    labels, predicted = np.array(case).T
    found = evaluate_numbers(labels, predicted).to_dict()
    want = {
        "rmse": reference.root_mean_squared_error(labels, predicted),
        "mae": reference.mean_absolute_error(labels, predicted),
        "median_ae": reference.median_absolute_error(labels, predicted),
        "largest_error": reference.max_error(labels, predicted),
    }
    other = labels != 0
    if other.any():
        want["mape"] = reference.mean_absolute_percentage_error(labels[other], predicted[other])
    if len(set(labels)) > 1:
        want["r2"] = reference.r2_score(labels, predicted)
        want["explained_variance"] = reference.explained_variance_score(labels, predicted)
    else:
        assert (found["r2"], found["explained_variance"]) == (None, None)
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-6)  # type: ignore[arg-type]


def test_deviances_equal_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    labels, predicted = rng.poisson(2, 200).astype(float), rng.random(200) + 0.5
    found = evaluate_numbers(labels, predicted).to_dict()
    near(found["poisson_deviance"], reference.mean_poisson_deviance(labels, predicted))
    near(found["tweedie_deviance"], reference.mean_tweedie_deviance(labels, predicted, power=1.5))
    near(found["msle"], reference.mean_squared_log_error(labels, predicted))
    assert found["mape_rows"] == np.count_nonzero(labels) < 200


def test_numbers_by_hand_and_what_is_not_defined() -> None:
    found = evaluate_numbers([0.0, 2.0, 4.0], [-1.0, 2.0, 7.0]).to_dict()
    near(found["rmse"], np.sqrt(10 / 3))
    near([found["mae"], found["median_ae"], found["bias"]], [4 / 3, 1.0, 2 / 3])
    near(found["mape"], 3 / 8)
    assert [found[k] for k in ("msle", "poisson_deviance", "tweedie_deviance")] == [None] * 3
    assert evaluate_numbers([0.0, 0.0], [1.0, 2.0]).to_dict()["mape"] is None


def test_the_report_of_numbers_is_bounded_and_holds_all_rows() -> None:
    rng = np.random.default_rng(4)
    labels = rng.normal(size=5000)
    found = evaluate_numbers(labels, labels + rng.normal(size=5000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, points, residuals = found.panels("mine")
        huge = evaluate_numbers([1e308, -1e308], [-1e308, 1e308])
        assert huge.to_dict()["rmse"] is None
        huge.panels()
    assert len(points.series[0].x) <= 400  # type: ignore[union-attr]
    assert isinstance(residuals, BarPanel)
    assert sum(residuals.values) == 5000
    assert sum(line["rows"] for line in found.tables()["residuals"]) == 5000
    same = evaluate_numbers([1.0, 1.0], [3.0, 3.0]).panels()[1]
    assert (same.series[0].x, same.series[0].y) == ((1.0,), (3.0,))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("labels", "predicted", "code"),
    [
        ([1.0], [1.0, 2.0], "ATL-EVA-001"),
        ([np.inf], [1.0], "ATL-EVA-003"),
        ([1.0], [np.nan], "ATL-EVA-003"),
    ],
)
def test_numbers_that_do_not_fit(labels: Any, predicted: Any, code: str) -> None:
    with pytest.raises(AtollError) as error:
        evaluate_numbers(labels, predicted)
    assert error.value.code == code

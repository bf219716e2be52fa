"""Clusters against scikit-learn and numbers by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.metrics.cluster import pair_confusion_matrix

from atoll.core.errors import AtollError
from atoll.learning.evaluation import evaluate_clusters
from atoll.learning.evaluation.clustering import MOST_ROWS
from tests.learning.evaluation.test_evaluation import near


@st.composite
def grouped(draw: st.DrawFn) -> tuple[Any, Any]:
    rows = draw(st.integers(1, 60))
    values = st.lists(st.sampled_from([-1.0, 0.0, 2.5, 7.0]), min_size=rows, max_size=rows)
    return np.array(draw(values)), np.array(draw(values))


@given(grouped())
def test_agreement_equals_scikit_learn(case: tuple[Any, Any]) -> None:
    true, found = (np.unique(part, return_inverse=True)[1] for part in case)
    figures = evaluate_clusters(case[1], case[0]).to_dict()
    near(figures["adjusted_rand"], reference.adjusted_rand_score(true, found))
    want = reference.normalized_mutual_info_score(true, found)
    near(figures["normalised_mutual_information"], want)
    near(figures["fowlkes_mallows"], reference.fowlkes_mallows_score(true, found))
    (_, fp), (fn, tp) = pair_confusion_matrix(true, found)
    near(figures["jaccard"], tp / (tp + fp + fn) if tp + fp + fn else 1.0)
    tables = evaluate_clusters(case[1], case[0]).tables()
    assert sum(line["rows"] for line in tables["contingency"]) == len(true)
    assert sum(line["rows"] for line in tables["clusters"]) == len(true)


@pytest.mark.parametrize(("rows", "clusters"), [(30, 2), (200, 5), (1500, 3)])
def test_distances_equal_scikit_learn(rows: int, clusters: int) -> None:
    rng = np.random.default_rng(rows)
    at = np.concatenate((np.arange(clusters), rng.integers(0, clusters, rows - clusters)))
    values = rng.normal(size=(rows, 4)) + at[:, np.newaxis]
    # Far from 0 the reference takes distances from squares, and loses their digits.
    figures = evaluate_clusters(at, values=values + 1e6).to_dict()
    want = [reference.davies_bouldin_score(values, at), reference.silhouette_score(values, at)]
    found: Any = [figures["davies_bouldin"], figures["silhouette"]]
    assert np.allclose(found, want, rtol=0, atol=1e-6)


def test_clusters_by_hand() -> None:
    figures = evaluate_clusters([0, 0, 1, 1], [5, 5, 5, 7], np.array([[0.0], [2], [10], [10]]))
    found = figures.to_dict()
    # Of six pairs the clusters hold two together, the labels three, and both one.
    near(found["jaccard"], 1 / 4)
    near(found["fowlkes_mallows"], 1 / np.sqrt(6))
    near(found["adjusted_rand"], 0.0)
    near(found["purity"], 3 / 4)
    near(found["davies_bouldin"], 1 / 9)
    near(found["silhouette"], (8 / 10 + 6 / 8 + 1 + 1) / 4)
    rows = figures.panels()[1].rows  # type: ignore[union-attr]
    assert rows == (("all", 2, 2), ("5", 2, 1), ("7", 0, 1))


def test_what_is_not_defined_is_left_out() -> None:
    assert "purity" not in evaluate_clusters([0, 1]).to_dict()
    one = evaluate_clusters([3, 3], values=np.ones((2, 1))).to_dict()
    assert (one["davies_bouldin"], one["silhouette"]) == (None, None)
    many = np.arange(MOST_ROWS + 2) % 2
    found = evaluate_clusters(many, values=many[:, np.newaxis].astype(float)).to_dict()
    assert (found["davies_bouldin"], found["silhouette"]) == (0.0, None)
    alone = evaluate_clusters([0, 1, 1], values=np.array([[0.0], [1], [1]])).to_dict()
    near(alone["silhouette"], 2 / 3)
    same = evaluate_clusters([0, 0, 1, 1], values=np.array([[0.0], [2], [0], [2]])).to_dict()
    assert same["davies_bouldin"] is None


@pytest.mark.parametrize(
    ("clusters", "labels", "values", "code"),
    [
        ([], None, None, "ATL-EVA-001"),
        ([0, 1], [0], None, "ATL-EVA-001"),
        ([0, 1], None, [[1.0]], "ATL-EVA-001"),
        ([[0, 1]], None, None, "ATL-EVA-001"),
        ([0, np.nan], None, None, "ATL-EVA-003"),
        ([0, 1], None, [[1.0], [np.inf]], "ATL-EVA-003"),
        (np.arange(1025), None, None, "ATL-EVA-006"),
    ],
)
def test_clusters_that_do_not_fit(clusters: Any, labels: Any, values: Any, code: str) -> None:
    with pytest.raises(AtollError) as error:
        evaluate_clusters(clusters, labels, None if values is None else np.array(values))
    assert error.value.code == code

"""DeLong's test against its definition over all pairs of rows, and against drawn rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from atoll.core.errors import AtollError
from atoll.learning.evaluation import AucComparison, auc
from tests.learning.evaluation.test_evaluation import cases, near


def by_pairs(labels: Any, models: list[Any]) -> Any:
    """The covariance by the definition, from the matrix of all pairs of rows."""
    kernels = [(np.sign(np.subtract.outer(s[labels == 1], s[labels == 0])) + 1) / 2 for s in models]
    ones = np.array([kernel.mean(axis=1) for kernel in kernels])
    zeros = np.array([kernel.mean(axis=0) for kernel in kernels])

    def spread(parts: Any) -> Any:
        centred = parts - parts.mean(axis=1, keepdims=True)
        return centred @ centred.T / (parts.shape[1] - 1) / parts.shape[1]

    return spread(ones) + spread(zeros)


@given(cases(), cases())
def test_the_covariance_is_that_of_all_pairs(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    rows = min(len(one[0]), len(other[0]))
    labels = one[0][:rows].copy()
    labels[-1] = 1
    scores = [one[1][:rows], other[1][:rows]]
    found = AucComparison.of(labels, scores)
    near(found.auc, [auc(labels, values) for values in scores])
    if min(labels.sum(), rows - labels.sum()) > 1:
        near(found.covariance, by_pairs(labels, scores))
    else:
        assert found.error(0, 1) is found.p_value(0, 1) is None


def test_a_comparison_by_hand() -> None:
    labels = [1, 1, 0, 0]
    found = AucComparison.of(labels, [[0.9, 0.4, 0.5, 0.1], [0.9, 0.1, 0.5, 0.4]])
    near(found.auc, [0.75, 0.5])
    # Placements of ones (1, ½) and (1, 0), of zeros (½, 1) and (½, ½).
    near(found.covariance, [[0.125, 0.125], [0.125, 0.25]])
    near(found.error(0, 1), math.sqrt(0.125))
    near(found.p_value(0, 1), math.erfc(0.25 / math.sqrt(0.125) / math.sqrt(2)))
    assert found.p_value(0, 0) is None


def test_p_values_of_equal_models_are_even() -> None:
    rng = np.random.default_rng(11)
    labels = np.repeat([0, 1], 100)
    found = []
    for _ in range(400):
        shared = labels + rng.normal(size=200)
        pair = [shared + rng.normal(size=200) for _ in range(2)]
        found.append(AucComparison.of(labels, pair).p_value(0, 1))
    # Of 400 even p-values 40 are below 0.1, with a deviation of 6.
    assert 22 <= np.count_nonzero(np.array(found) < 0.1) <= 58


def test_one_model_and_one_class() -> None:
    found = AucComparison.of([0, 0, 1, 1], [[0.1, 0.5, 0.4, 0.9]])
    assert found.covariance.shape == (1, 1)
    with pytest.raises(AtollError) as error:
        AucComparison.of([1, 1], [[0.1, 0.2], [0.1, 0.2]])
    assert error.value.code == "ATL-EVA-004"

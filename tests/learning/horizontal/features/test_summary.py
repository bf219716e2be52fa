"""Moments and quantiles of pooled columns as one step."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.features import Moments, Summary
from atoll.learning.horizontal.local import ClientRows
from tests.learning.horizontal.boosting.test_boosting import same
from tests.learning.horizontal.pooled import outcome, parts

STEP = Summary(cells=64)
SHARES = np.array([0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0])


def table() -> np.ndarray:
    """Return rows of which columns are normal, of few values, skewed, equal, missing, and tiny."""
    random = np.random.default_rng(2)
    rows = random.normal(size=(900, 6)) * [1, 1, 1, 1, 1, 1e-12]
    rows[:, 1] = np.round(rows[:, 1])
    rows[:, 2] = np.exp(4 * rows[:, 2])
    rows[:, 3] = 7.5
    rows[:, 4] = np.nan
    rows[::5, 0] = np.nan
    return rows


def shared(rows: np.ndarray) -> list[ClientRows]:
    order = np.argsort(rows[:, 2])
    return parts(rows[order], np.zeros(len(rows)), [400, 0, 30])


def test_it_is_what_both_are_and_quantiles_are_within_their_errors() -> None:
    rows = table()
    described, cells = STEP.result(outcome(STEP, shared(rows)))
    first = Moments(cells=64)
    alone = first.result(outcome(first, shared(rows)))
    for name in vars(alone):
        assert np.array_equal(getattr(described, name), getattr(alone, name), equal_nan=True)
    found, error = cells.quantile(SHARES)
    known = np.array([0, 1, 2, 3, 5])
    expected = np.nanquantile(rows[:, known], SHARES, axis=0).T
    assert (np.abs(found[known] - expected) <= error[known] / 2 + 1e-12 * np.abs(expected)).all()
    spread = np.nanmax(rows[:, known], axis=0) - np.nanmin(rows[:, known], axis=0)
    assert (error[known][:, 2:5].max(axis=1) <= 0.2 * np.maximum(spread, 1e-9)).all()
    assert np.isnan(found[4]).all()
    assert described.count[4] == 0


@pytest.mark.parametrize("rounds", [2, 5, 6])
def test_it_resumes_to_the_same_bits(rounds: int) -> None:
    data = shared(table())
    whole, kept = outcome(STEP, data), list[State]()

    def watch(done: object) -> None:
        kept.append(done.state)  # type: ignore[attr-defined]

    outcome(STEP, data, callbacks=(watch,))
    assert whole.round <= STEP.most_rounds
    assert same(outcome(STEP, data, state=kept[rounds - 1]), whole)


def test_there_is_no_result_before_the_end() -> None:
    begun = STEP.begin(3)
    assert not STEP.finished(begun)
    with pytest.raises(AtollError, match="ATL-HOR-102"):
        STEP.result(begun)

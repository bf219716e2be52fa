"""Score cards: FATE's worked numbers, and cards that are worth what the model says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import DataError, UserError
from atoll.learning.features.score_card import ScoreParameters, credit_scores, score_card

FATE = ScoreParameters(convention="fate")
PRINTED = {0.5: 500.0, 0.1: 563.4, 0.9: 436.6, 1 / 3: 520.0, 1e-6: 898.63, 0.0: 1500.0, 1.0: 0.0}


def test_fates_printed_scores() -> None:
    given_, scores = np.array([*PRINTED, 1.2, np.nan]), [*PRINTED.values(), 0.0, 0.0]
    assert credit_scores(given_, FATE).tolist() == scores
    assert credit_scores(np.array([*PRINTED]), ScoreParameters()).tolist() == [*PRINTED.values()]


def test_small_probabilities_and_no_probabilities() -> None:
    # FATE jumps to the limit below 1e-8; a score that says more than it does not.
    small = np.array([1e-9, 1 - 1e-9])
    assert credit_scores(small, FATE).tolist() == [1500, 0]
    away = 20 / np.log(2) * np.log(1e9)
    wide = ScoreParameters(lower=-1000, digits=None)
    assert credit_scores(small, wide) == pytest.approx([500 + away, 500 - away])
    for wrong in (-0.1, 1.2, np.nan):
        with pytest.raises(DataError, match=r"ATL-FEA-004.*row 1"):
            credit_scores(np.array([0.5, wrong]), ScoreParameters())


def test_points_double_the_odds_from_the_base() -> None:
    scale = ScoreParameters(base_score=600, base_odds=50, points=20, digits=None)
    odds = np.array([25.0, 50.0, 100.0, 200.0])
    assert credit_scores(1 / (1 + odds), scale) == pytest.approx([580, 600, 620, 640])
    tripled = ScoreParameters(base_odds=9, points=5, ratio=3, digits=None)
    assert credit_scores(np.array([0.1, 0.25]), tripled) == pytest.approx([500, 495])


weight = st.floats(-3, 3)


@given(st.lists(st.lists(weight, min_size=3, max_size=3), min_size=1, max_size=5), st.data())
def test_a_card_is_the_models_score(columns: list[list[float]], data: st.DataObject) -> None:
    weights = [np.array(bins) for bins in columns]
    coefficients = np.array([data.draw(weight) for _ in columns])
    scale = ScoreParameters(base_odds=2, lower=-1e5, upper=1e5, digits=None)
    card = score_card(weights, coefficients, -0.5, scale)
    codes = np.array(
        data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * len(columns)), min_size=1))
    )
    rows = np.stack([of[codes[:, at]] for at, of in enumerate(weights)], axis=1)
    probability = 1 / (1 + np.exp(0.5 - rows @ coefficients))
    assert card.scores(codes, scale) == pytest.approx(credit_scores(probability, scale), abs=1e-6)
    printed = score_card(weights, coefficients, -0.5, ScoreParameters(base_odds=2, digits=0))
    assert all(float(value).is_integer() for of in printed.points for value in of)
    away = printed.base + sum(of[0] for of in printed.points)
    assert abs(away - card.base - sum(of[0] for of in card.points)) <= (len(columns) + 1) / 2


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="above the greatest"):
        ScoreParameters(lower=2, upper=1)
    with pytest.raises(UserError, match="ATL-FEA-005"):
        score_card([np.zeros(2)], np.zeros(2), 0, ScoreParameters())

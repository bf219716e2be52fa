"""Selection: each filter keeps what its rule says, and says why it refuses the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import UserError
from atoll.learning.features import selection
from atoll.learning.features.selection import FATE_FILTERS, Threshold
from atoll.learning.features.statistics import StatisticsParameters, describe_column

NAMES = ("a", "b", "c", "d")
IV = {"a": 0.5, "b": 2.0, "c": 0.5, "d": None}


def test_bounds_keep_and_state_reasons() -> None:
    found = selection.by_threshold(NAMES, IV, Threshold("iv", "at least", 0.5))
    assert found.kept == ("a", "b", "c")
    assert found.refused == {"d": "iv is not known"}
    above = selection.by_threshold(NAMES, IV, Threshold("iv", "above", 0.5))
    assert above.kept == ("b",)
    assert above.refused["a"] == "iv 0.5 is not above 0.5"
    assert selection.by_threshold(NAMES, IV, Threshold("iv", "at most", 0.5)).kept == ("a", "c")
    assert selection.by_threshold(NAMES, IV, Threshold("iv", "below", 0.5)).kept == ()
    nan = selection.by_threshold(("a",), {"a": float("nan")}, Threshold("vif", "at most", 5))
    assert nan.kept == ()


@pytest.mark.parametrize(
    ("name", "kept", "refused"),
    [
        ("unique_value", 1e-5, 0.9e-5),
        ("iv_value_thres", 1e-9, 0.0),
        ("iv_filter", 1.0, 0.99),
        ("psi_filter", 1.0, 1.01),
        ("vif_filter", 5.0, float("inf")),
        ("coefficient_of_variation_value_thres", float("inf"), 0.99),
        ("outlier_cols", 0.99, 1.0),
        ("percentage_value", 1.0, 1.01),
        ("hetero_sbt_filter", 1.0, 0.0),
    ],
)
def test_fates_defaults(name: str, kept: float, refused: float) -> None:
    threshold = FATE_FILTERS[name]
    assert threshold.refuses(kept) == ""
    assert threshold.figure in threshold.refuses(refused)


def test_names() -> None:
    assert selection.by_name(NAMES, leave_out=("b",)).kept == ("a", "c", "d")
    found = selection.by_name(NAMES, keep=("c", "a", "b"), leave_out=("b",))
    assert found.kept == ("a", "c")
    assert found.refused == {"b": "left out by name", "d": "not named"}
    with pytest.raises(UserError, match="ATL-FEA-006"):
        selection.by_name(NAMES, leave_out=("x",))


def test_ranks_and_shares() -> None:
    assert selection.by_rank(NAMES, IV, 2, what="iv").kept == ("a", "b")
    assert selection.by_rank(NAMES, IV, 2, what="iv", greatest=False).kept == ("a", "c")
    assert selection.by_rank(NAMES, IV, 9, what="iv").kept == ("a", "b", "c")
    assert selection.by_share(NAMES, IV, 0.25, what="iv").kept == ("b",)
    assert selection.by_share(NAMES, IV, 0.26, what="iv").kept == ("a", "b")
    # 0.07 of 100 is a little more than 7 in doubles.
    many = {str(number): float(number) for number in range(100)}
    assert len(selection.by_share(tuple(many), many, 0.07, what="iv").kept) == 7
    assert "2 greatest" in selection.by_rank(NAMES, IV, 2, what="iv").refused["c"]


def test_of_correlated_columns_the_better_one_stays() -> None:
    matrix = np.array(
        [
            [1, -0.9, 0.2, np.nan],
            [-0.9, 1, 0.5, np.nan],
            [0.2, 0.5, 1, np.nan],
            [np.nan] * 4,
        ]
    )
    figures = {**IV, "d": 0.1}
    found = selection.by_correlation(NAMES, figures, matrix, 0.5)
    assert found.kept == ("b", "c", "d")
    assert found.refused == {"a": "correlation 0.9 with 'b' is above 0.5"}
    assert selection.by_correlation(NAMES, IV, matrix, 0.95).kept == ("a", "b", "c")
    with pytest.raises(UserError, match="ATL-FEA-003"):
        selection.by_correlation(NAMES, IV, matrix[:2, :2], 0.5)


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6), st.floats(0.05, 0.95))
def test_no_two_kept_columns_are_correlated(values: list[float], threshold: float) -> None:
    matrix = np.eye(4)
    matrix[np.triu_indices(4, 1)] = values
    matrix = np.maximum(np.abs(matrix), np.abs(matrix.T))
    figures = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 0.0}
    found = selection.by_correlation(NAMES, figures, matrix, threshold)
    at = [NAMES.index(name) for name in found.kept]
    kept = matrix[np.ix_(at, at)]
    assert (kept[~np.eye(len(at), dtype=bool)] <= threshold).all()
    assert "b" in found.kept
    # Each that is refused is correlated with a kept one that is better.
    for name in found.refused:
        better = [other for other in at if figures[NAMES[other]] > (figures[name])]
        assert matrix[NAMES.index(name), better].max() > threshold


def test_filters_in_turn_and_the_last_one() -> None:
    found = selection.in_turn(
        NAMES,
        [
            lambda names: selection.by_name(names, leave_out=("b",)),
            lambda names: selection.by_rank(names, IV, 1, what="iv"),
        ],
    )
    assert found.kept == ("a",)
    assert set(found.refused) == {"b", "c", "d"}
    none = selection.by_threshold(NAMES, IV, Threshold("iv", "above", 9))
    assert selection.with_one(none, IV).kept == ("b",)
    assert "b" not in selection.with_one(none, IV).refused
    assert selection.with_one(none, IV, greatest=False).kept == ("a",)
    assert selection.with_one(found, IV) == found
    assert selection.with_one(none, {}) == none


def test_figures_of_several_classes_and_of_statistics() -> None:
    assert selection.merged([1, 2, 6], "average") == 3
    assert (selection.merged([1, 2, 6], "max"), selection.merged([1, 2, 6], "min")) == (6, 1)
    column = np.array([1.0, 2.0, 3.0, 4.0, 10.0, np.nan])
    found = selection.of_statistics(describe_column(column, StatisticsParameters(ddof=0)))
    assert found["range"] == 9
    assert found["coefficient of variation"] == pytest.approx(0.79056942)
    assert found["missing share"] == pytest.approx(1 / 6)
    around = describe_column(np.array([-1.0, 1.0]), StatisticsParameters())
    assert selection.of_statistics(around)["coefficient of variation"] == np.inf
    empty = selection.of_statistics(describe_column(np.array([]), StatisticsParameters()))
    assert set(empty.values()) == {None}
    assert selection.most_frequent_share(np.array([1.0, 1.0, 2.0, np.nan])) == 0.5
    assert selection.most_frequent_share(np.array([np.nan])) is None

"""The closed form of Gaussian noise against tails in logarithms, and what it promises at ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.privacy.accounting.analytic import delta_of, epsilon_of
from tests.privacy.test_accounting import analytic_delta, analytic_epsilon


@given(st.floats(0.02, 100), st.sampled_from([1e-2, 1e-5, 1e-8, 1e-11]))
@settings(max_examples=60, deadline=None)
def test_it_is_the_exact_figure_and_never_below_it(multiplier: float, delta: float) -> None:
    found, exact = epsilon_of(multiplier, delta), analytic_epsilon(1 / multiplier, delta)
    assert found == pytest.approx(exact, rel=1e-5, abs=1e-6)
    assert found >= exact * (1 - 1e-9) - 1e-9


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 3.0, 20.0])
def test_the_curve_is_that_of_normal_tails(epsilon: float) -> None:
    for multiplier in (0.2, 1.0, 5.0):
        exact = analytic_delta(epsilon, 1 / multiplier)
        assert delta_of(epsilon, multiplier) == pytest.approx(exact, rel=1e-6, abs=1e-15)


def test_ends() -> None:
    assert math.isinf(epsilon_of(1.0, 1e-13))
    assert epsilon_of(1e5, 1e-3) == 0
    # As 1 / (2 m²) grows, so does what hardly any noise costs.
    assert epsilon_of(1e-3, 1e-5) == pytest.approx(5e5, rel=0.01)

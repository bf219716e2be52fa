"""The checks themselves: right figures, no alarm at what is right, an alarm at what is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.statistical import checks
from tests.statistical.checks import ALPHA, NotSo, draws_for

RNG = np.random.Philox


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(RNG(seed))


@pytest.mark.parametrize(
    ("value", "freedom", "chance"),
    # Abramowitz and Stegun, table 26.8.
    [
        (3.84146, 1, 0.05),
        (10.8276, 1, 0.001),
        (18.3070, 10, 0.05),
        (29.5883, 10, 0.001),
        (3.94030, 10, 0.95),
        (124.342, 100, 0.05),
        (149.449, 100, 0.001),
    ],
)
def test_the_tail_of_chi_square_is_that_of_the_table(
    value: float, freedom: int, chance: float
) -> None:
    assert checks.upper_tail(value, freedom) == pytest.approx(chance, rel=1e-4)


def test_two_degrees_are_an_exponential_far_out() -> None:
    for value in (0.1, 1.0, 4.0, 27.6, 200.0):
        assert checks.upper_tail(value, 2) == pytest.approx(math.exp(-value / 2), rel=1e-9)


def test_a_bound_of_a_count_is_no_smaller_than_its_chance() -> None:
    """Against the exact binomial: whatever is refused is rarer than promised."""
    trials, chance, alpha = 60, 0.3, 1e-3
    refused = 0.0
    for count in range(trials + 1):
        try:
            checks.binomial(count, trials, chance, alpha)
        except NotSo:
            refused += math.comb(trials, count) * chance**count * (1 - chance) ** (trials - count)
    assert 0 < refused <= alpha


@pytest.mark.parametrize("off", [0.05, 0.02])
def test_as_many_draws_as_asked_for_find_the_difference(off: float) -> None:
    draws = draws_for(off)
    checks.binomial(int(draws * 0.5), draws, 0.5)
    with pytest.raises(NotSo):
        checks.binomial(int(draws * (0.5 + off)), draws, 0.5)
    points = np.linspace(0.01, 0.99, 99)
    even = rng().random(draws)
    checks.distribution(even, points, points)
    with pytest.raises(NotSo):
        checks.distribution(np.where(even < off * 1.5, 0.999, even), points, points)


def test_bits_that_are_not_even_are_refused() -> None:
    bits = rng().integers(0, 2, (4000, 32))
    checks.columns(bits)
    one = bits.copy()
    one[:800, 7] = 1
    all_a_little = bits.copy()
    all_a_little[:160] = 1
    for wrong in (one, all_a_little):
        with pytest.raises(NotSo):
            checks.columns(wrong)


def test_orders_that_are_not_uniform_are_refused() -> None:
    orders = np.stack([rng(seed).permutation(6) for seed in range(4000)])
    checks.permutations(orders)
    with pytest.raises(NotSo):
        checks.permutations(np.where(np.arange(4000)[:, None] < 800, np.arange(6), orders))
    checks.unrelated(rng(1).permutation(400), rng(2).permutation(400))
    with pytest.raises(NotSo):
        checks.unrelated(np.arange(400), np.arange(400)[::-1])


def test_counts_that_fit_badly_or_too_well_are_refused() -> None:
    chances = [0.1, 0.2, 0.3, 0.4]
    checks.chi_square(rng().multinomial(5000, chances), chances)
    for counts in ([700, 900, 1500, 1900], [500, 1000, 1500, 2000]):
        # Exact agreement has a chance of about 1e-4 alone, so the rate is one that sees it.
        with pytest.raises(NotSo):
            checks.chi_square(counts, chances, ALPHA if counts[0] != 500 else 1e-2)
    with pytest.raises(ValueError, match="fewer than"):
        checks.chi_square([10, 90], [0.1, 0.9])
    with pytest.raises(ValueError, match="sum to one"):
        checks.chi_square([100, 100], [0.5, 0.6])

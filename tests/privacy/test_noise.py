"""Fast samplers: their chances against the formulas, sums, bounds, and where the bits come from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.privacy.discrete_gaussian import WIDEST_SIGMA, WideDiscreteGaussian
from atoll.privacy.skellam import WIDEST_SKELLAM, PoissonDensity, Skellam
from tests.statistical import checks

SOURCE = SecretRandom.seeded(41)
KINDS = [WideDiscreteGaussian, Skellam]


def _skellam_chances(sigma: float, values: np.ndarray) -> np.ndarray:
    from scipy.special import ive

    chances: np.ndarray = ive(np.abs(values), sigma**2)
    return chances


def _gaussian_chances(sigma: float, values: np.ndarray) -> np.ndarray:
    chances = np.exp(-0.5 * (values / sigma) ** 2)
    total: np.ndarray = chances / chances.sum()
    return total


@pytest.mark.parametrize("sigma", [1.0, 1.7, 6.3, 100.5])
@pytest.mark.parametrize("kind", KINDS)
def test_chances_are_those_of_the_formula(kind: type, sigma: float) -> None:
    values = np.arange(-math.ceil(14 * sigma) - 40, math.ceil(14 * sigma) + 41)
    chances = (_gaussian_chances if kind is WideDiscreteGaussian else _skellam_chances)(
        sigma, values
    )
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    drawn = kind(sigma, SOURCE).sample(200_000)
    counts = np.bincount(drawn - values[0], minlength=len(values))
    common = chances * len(drawn) >= checks.CELL
    seen = np.append(counts[common], counts[~common].sum())
    cells = np.append(chances[common], chances[~common].sum())
    if cells[-1] * len(drawn) < checks.CELL:
        seen, cells = seen[:-1], cells[:-1] / cells[:-1].sum()
    checks.chi_square(seen, cells)


@pytest.mark.parametrize(("kind", "sigma"), [(WideDiscreteGaussian, 2.0**35), (Skellam, 2.0**23)])
def test_wide_noise_is_normal(kind: type, sigma: float) -> None:
    from scipy.special import ndtr

    drawn = np.sort(kind(sigma, SOURCE).sample(100_000) / sigma)
    expected = ndtr(drawn)
    distance = np.abs(expected - np.arange(len(drawn)) / len(drawn)).max()
    # Kolmogorov's 10^-6 quantile is about 2.7.
    assert distance < 2.7 / math.sqrt(len(drawn))
    assert np.std(drawn) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("mean", [0.5, 3.0, 40.25, 2000.0])
def test_poisson_chances_are_exact(mean: float) -> None:
    mpmath = pytest.importorskip("mpmath")
    mode = math.floor(mean)
    distance = np.arange(-min(mode, 200), 200)
    log = PoissonDensity(mean, mode)(distance)
    for at in range(0, len(distance), 7):
        k = int(distance[at]) + mode
        with mpmath.workdps(50):
            m = mpmath.mpf(mean)
            exact = (k - mode) * mpmath.log(m) - mpmath.loggamma(k + 1) + mpmath.loggamma(mode + 1)
        assert log[at] == pytest.approx(min(0.0, float(exact)), abs=2e-13, rel=1e-14)


def test_poisson_chances_stay_exact_where_numbers_are_large() -> None:
    mpmath = pytest.importorskip("mpmath")
    mean = 2.0**45 + 0.25
    mode = 1 << 45
    distance = np.array([-10, -3, 1, 5]) * int(math.sqrt(mean))
    for value, log in zip(distance.tolist(), PoissonDensity(mean, mode)(distance), strict=True):
        with mpmath.workdps(60):
            m, k = mpmath.mpf(mean), mode + value
            exact = value * mpmath.log(m) - mpmath.loggamma(k + 1) + mpmath.loggamma(mode + 1)
        assert log == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_the_system_source_gives_fresh_draws(kind: type) -> None:
    sampler = kind(50.5, SecretRandom())
    assert not np.array_equal(sampler.sample(64), sampler.sample(64))
    assert sampler.sample(0).shape == (0,)
    assert sampler.sample(7).dtype == np.int64


@pytest.mark.parametrize("kind", KINDS)
def test_a_seeded_source_repeats(kind: type) -> None:
    one, other = (kind(9.5, SecretRandom.seeded(1)).sample(1000) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "sigma"),
    [
        *((WideDiscreteGaussian, s) for s in (0.5, -1.0, math.nan, math.inf, WIDEST_SIGMA * 2.0)),
        *((Skellam, s) for s in (0.5, math.nan, math.inf, WIDEST_SKELLAM * 2.0)),
    ],
)
def test_other_sigmas_are_refused(kind: type, sigma: float) -> None:
    with pytest.raises(UserError, match="ATL-PRV-011"):
        kind(sigma, SOURCE)


def test_a_sum_of_discrete_gaussians_is_one() -> None:
    """Of 4 units each: so the noise of many contributors is accounted for as one."""
    values = np.arange(-80, 81)
    one = _gaussian_chances(4.0, values)
    two = np.convolve(one, one)[80:-80]
    expected = np.exp(-0.5 * (values / math.sqrt(32)) ** 2) / (math.sqrt(2 * math.pi * 32))
    near = np.abs(values) <= 30
    assert np.abs(two[near] / expected[near] - 1).max() < 1e-11


def test_a_discrete_gaussian_is_a_rounded_gaussian() -> None:
    """Of sqrt(sigma² - 4): so that its noise is accounted for as a Gaussian's."""
    sigma, values = 6.0, np.arange(-30, 31)
    fine = np.arange(-60, 60, 1 / 256)
    before = np.exp(-0.5 * fine**2 / (sigma**2 - 4)) / math.sqrt(2 * math.pi * (sigma**2 - 4))
    rounding = np.exp(-0.125 * (np.arange(-75, 76)[:, None] - fine[None, :]) ** 2)
    rounding /= rounding.sum(axis=0)
    after = (rounding @ before / 256)[75 - 30 : 75 + 31]
    expected = _gaussian_chances(sigma, np.arange(-90, 91))[90 - 30 : 90 + 31]
    assert np.abs(after / expected - 1).max() < 1e-9
    assert values.shape == after.shape

"""The sampler against the distribution's own formula, with stated false-alarm rates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.privacy.discrete_gaussian import MOST_SIGMA, DiscreteGaussian

DRAWS = 60_000


@pytest.mark.parametrize("sigma", [1, 2, 7])
def test_frequencies_follow_the_formula(sigma: int) -> None:
    drawn = DiscreteGaussian(sigma, SecretRandom.seeded(sigma)).sample(DRAWS)
    reach = 4 * sigma
    weights = {x: math.exp(-x * x / (2.0 * sigma * sigma)) for x in range(-400, 401)}
    total = sum(weights.values())
    cells = list(range(-reach, reach + 1))
    expected = np.array([DRAWS * weights[x] / total for x in cells])
    seen = np.array([np.count_nonzero(drawn == x) for x in cells])
    common = expected >= 8
    chi = float((((seen - expected) ** 2) / expected)[common].sum())
    freedom = int(common.sum())
    # Five standard deviations of chi-square: false alarm below 1e-5, and the seed is fixed.
    assert abs(chi - freedom) < 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("sigma", [100, 4096, MOST_SIGMA])
def test_moments_at_scale(sigma: int) -> None:
    drawn = DiscreteGaussian(sigma, SecretRandom.seeded(sigma)).sample(DRAWS).astype(np.float64)
    assert drawn.shape == (DRAWS,)
    assert abs(drawn.mean()) < 5 * sigma / math.sqrt(DRAWS)
    assert abs(drawn.std() / sigma - 1) < 5 / math.sqrt(2 * DRAWS)
    tail = float(np.mean(np.abs(drawn) > 2 * sigma))
    assert abs(tail - 0.0455) < 5 * math.sqrt(0.0455 / DRAWS)


def test_the_system_source_gives_fresh_draws() -> None:
    sampler = DiscreteGaussian(50, SecretRandom())
    assert not np.array_equal(sampler.sample(64), sampler.sample(64))
    assert sampler.sample(0).shape == (0,)


@pytest.mark.parametrize("sigma", [0, -1, MOST_SIGMA + 1])
def test_other_sigmas_are_refused(sigma: int) -> None:
    with pytest.raises(UserError, match="ATL-PRV-001"):
        DiscreteGaussian(sigma, SecretRandom())

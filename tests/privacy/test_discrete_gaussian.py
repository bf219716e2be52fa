"""The sampler's sizes and bounds; its distribution is looked at in tests/statistical."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.privacy.discrete_gaussian import MOST_SIGMA, DiscreteGaussian


def test_the_system_source_gives_fresh_draws() -> None:
    sampler = DiscreteGaussian(50, SecretRandom())
    assert not np.array_equal(sampler.sample(64), sampler.sample(64))
    assert sampler.sample(0).shape == (0,)


@pytest.mark.parametrize("sigma", [0, -1, MOST_SIGMA + 1])
def test_other_sigmas_are_refused(sigma: int) -> None:
    with pytest.raises(UserError, match="ATL-PRV-001"):
        DiscreteGaussian(sigma, SecretRandom())

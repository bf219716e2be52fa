"""The least noise for an (ε, δ), by bisection in a stated bracket with a stated number of steps.

Source: Balle, Wang, "Improving the Gaussian Mechanism" (ICML 2018), for the idea of calibrating by
the exact curve.
"""

from __future__ import annotations

from dataclasses import replace

from atoll.core.errors import UserError
from atoll.privacy.accounting.api import (
    LEAST_MULTIPLIER,
    MOST_MULTIPLIER,
    Relation,
    Release,
    require_delta,
)
from atoll.privacy.accounting.bounds import guarantee

_STEPS = 40
_NEAR = 1e-3


def multiplier_for(
    epsilon: float, delta: float, rounds: int, release: Release, relation: Relation
) -> float:
    """Return a noise multiplier with which ``rounds`` rounds guarantee (ε, δ).

    It is at most 0.1 % above the least that our bounds allow. ``release`` states mechanism and
    sampling; its own multiplier is not used. At most 40 bounds are computed, each on a grid of
    bounded size, so this ends soon whatever is asked. Reveals: nothing. Errors: ATL-PRV-012 an ε or
    δ out of bounds, ATL-PRV-014 no multiplier from 0.001 to 10^6 suffices.
    """
    require_delta(delta)
    if not 0 < epsilon <= 1e4:
        raise UserError("ATL-PRV-012", "ε to calibrate for lies above 0 and not above 10,000")

    def enough(multiplier: float) -> bool:
        trial = replace(release, multiplier=multiplier)
        return guarantee(trial, rounds, delta, relation).epsilon <= epsilon

    low, high = LEAST_MULTIPLIER, MOST_MULTIPLIER
    if enough(low):
        return low
    if not enough(high):
        raise UserError(
            "ATL-PRV-014",
            "no noise of these bounds gives that privacy",
            hint="take fewer rounds, a larger ε or a larger δ",
        )
    for _ in range(_STEPS):
        if high <= low * (1 + _NEAR):
            break
        middle = (low * high) ** 0.5
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high

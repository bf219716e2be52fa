"""ε of a number of rounds, by the accountants of ``dp-accounting``: the least of valid bounds.

What the library (0.6) does that a good guess gets wrong, and what is done about it here: under
replace-one its PLD accountant reads a Gaussian's multiplier against half the distance, its RDP
accountant against the whole one; its PLD bound is too large or infinite at a very small δ; and a
weak Gaussian makes its PLD grids, and the time, grow without bound. A Gaussian without sampling has
an exact figure (``analytic``), for which the library is not needed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.privacy.accounting import analytic, curves
from atoll.privacy.accounting.api import Guarantee, Relation, Release, require_delta

# The grid of a PLD adds about 0.7 · rounds · step² to ε: the step is such that it is 0.1 %.
_ERROR, _FINEST, _COARSEST = 1e-3, 2.0**-15, 2.0**-6
# No PLD is made of what costs more than this: its grid would be large, and ε says nothing there.
_WEAK = 200.0
_FEW_ORDERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 256)
MOST_ROUNDS = 10_000_000


def library() -> Any:
    """Return the module ``dp_accounting``. Errors: ATL-PRV-010 if it is not installed."""
    try:
        import dp_accounting
    except ImportError:
        raise UserError(
            "ATL-PRV-010",
            "accounting for privacy needs the package dp-accounting",
            hint="install it: pip install 'atoll[privacy]'",
        ) from None
    return dp_accounting


def guarantee(release: Release, rounds: int, delta: float, relation: Relation) -> Guarantee:
    """Return what ``rounds`` rounds of a release guarantee for one client.

    Gaussian noise without sampling needs no library at a δ of 10^-12 and more. Reveals: nothing.
    Errors: ATL-PRV-010 the library is missing, ATL-PRV-012 a δ or a number of rounds out of bounds.
    Source: Mironov 2017 (RDP); Sommer, Meiser, Mohammadi 2019 and Doroshenko
    et al. 2022 (PLD).
    """
    require_delta(delta)
    if not 0 <= rounds <= MOST_ROUNDS:
        raise UserError("ATL-PRV-012", f"rounds go from 0 to {MOST_ROUNDS}")
    if not rounds:
        return Guarantee(0.0, delta, relation, "nothing was released")
    epsilon, by = min(_bounds(release, rounds, delta, relation))
    return Guarantee(max(0.0, epsilon), delta, relation, by)


def _bounds(
    release: Release, rounds: int, delta: float, relation: Relation
) -> Iterator[tuple[float, str]]:
    sampling, plain = release.sampling, math.inf
    if release.mechanism == "gaussian":
        # Sampling only helps: what all rounds cost without it is a bound, exact where it is none.
        deviation = release.multiplier / _distance(relation) / math.sqrt(rounds)
        plain = analytic.epsilon_of(deviation, delta)
        yield plain, "analytic Gaussian"
        if sampling.method == "known" and math.isfinite(plain):
            return
    curve = _curve(release, relation)
    rdp = math.inf if curve is None else _of_curve(*curve, rounds, delta)
    yield rdp, "RDP"
    if release.mechanism != "gaussian":
        return
    rough = min(rdp, plain)
    if sampling.method == "poisson" and sampling.rate < 1 and rough <= _WEAK:
        grid = math.sqrt(_ERROR * max(rough, _ERROR) / rounds)
        step = 2.0 ** math.floor(math.log2(min(_COARSEST, max(_FINEST, grid))))
        one = _pld(release.multiplier, sampling.rate, relation, step)
        yield float(one.self_compose(rounds).get_epsilon_for_delta(delta)), "PLD"


def _distance(relation: Relation) -> float:
    return 1.0 if relation == Relation.ADD_OR_REMOVE else 2.0


@functools.lru_cache(maxsize=64)
def _curve(release: Release, relation: Relation) -> tuple[tuple[float, ...], Any] | None:
    """Return orders and divergences of one round; None where no curve is known."""
    multiplier, sampling = release.multiplier / _distance(relation), release.sampling
    amplified = sampling.method != "known" and sampling.rate < 1
    if release.mechanism == "skellam":
        curve = curves.skellam(multiplier, release.grid)
        if sampling.method == "poisson" and relation == Relation.ADD_OR_REMOVE:
            # Either is valid: the general bound may exceed that without sampling.
            curve = np.minimum(curve, curves.sampled(curve, sampling.rate))
        return tuple(map(float, curves.ORDERS)), curve
    dp = library()
    event, orders = dp.GaussianDpEvent(multiplier), None
    if amplified and sampling.method == "poisson":
        if relation == Relation.REPLACE:
            return None
        # Fractional orders take the library a second each, and some do not converge.
        event, orders = dp.PoissonSampledDpEvent(sampling.rate, event), curves.ORDERS
    elif amplified and sampling.method == "uniform" and relation == Relation.REPLACE:
        event = dp.SampledWithoutReplacementDpEvent(sampling.registered, sampling.count, event)
        # Each order takes milliseconds here, and only whole ones have a bound of their own.
        orders = _FEW_ORDERS
    accountant = dp.rdp.RdpAccountant(orders, _named(relation))
    accountant.compose(event)
    return tuple(float(order) for order in accountant.orders), accountant.rdp


def _of_curve(
    orders: tuple[float, ...], curve: npt.NDArray[np.float64], rounds: int, delta: float
) -> float:
    from dp_accounting.rdp.rdp_privacy_accountant import compute_epsilon

    finite = np.isfinite(curve)
    if not finite.any():
        return math.inf
    chosen = np.array(orders)[finite]
    return float(compute_epsilon(chosen, rounds * curve[finite], delta)[0])


@functools.lru_cache(maxsize=4)
def _pld(multiplier: float, rate: float, relation: Relation, step: float) -> Any:
    """Return the privacy loss distribution of one round; a coarser grid only raises the bound."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    return pld.from_gaussian_mechanism(
        multiplier,
        value_discretization_interval=step,
        sampling_prob=rate,
        neighboring_relation=_named(relation),
    )


def _named(relation: Relation) -> Any:
    kinds = library().NeighboringRelation
    return kinds.ADD_OR_REMOVE_ONE if relation == Relation.ADD_OR_REMOVE else kinds.REPLACE_ONE

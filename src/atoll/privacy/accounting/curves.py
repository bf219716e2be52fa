"""Rényi curves that the library does not have, at whole orders.

Sources: Agarwal, Kairouz, Liu, "The Skellam Mechanism" (NeurIPS 2021), corollary 3.6; Zhu, Wang,
"Poisson Subsampled Rényi Differential Privacy" (ICML 2019), theorem 6, for any mechanism.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ORDERS = (*range(2, 64), 72, 80, 96, 112, 128, 160, 192, 256)


def skellam(multiplier: float, grid: float, orders: tuple[int, ...] = ORDERS) -> Floats:
    """Return float64[orders]: the divergence of Skellam noise between neighbours.

    The L1 distance of whole-number vectors is at most the square of their L2 distance, which bounds
    the second term for any length. Reveals: nothing. Errors: none. Source: corollary 3.6.
    """
    order = np.array(orders, dtype=np.float64)
    variance = grid * grid
    distance = variance / multiplier**2
    return order * distance / (2 * variance) + (2 * order + 5) * distance / (4 * variance**2)


def sampled(curve: Floats, rate: float, orders: tuple[int, ...] = ORDERS) -> Floats:
    """Return the curve of a mechanism whose contributors are drawn with chance ``rate`` each.

    ``curve`` is float64[orders]; all orders from 2 on below the largest are needed, and where some
    are missing the next larger one stands in, which is no smaller. Reveals: nothing. Errors: none.
    Source: Zhu, Wang 2019, theorem 6.
    """
    if rate >= 1:
        return curve
    known = np.array(orders)
    every = curve[np.searchsorted(known, np.arange(known[-1] + 1))]
    return np.array([_sampled_at(every, rate, order) for order in orders])


def _sampled_at(curve: Floats, rate: float, order: int) -> float:
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    terms = [(order - 1) * log_rest + math.log(order * rate - rate + 1)]
    for power in range(2, order + 1):
        log_choose = (
            math.lgamma(order + 1) - math.lgamma(power + 1) - math.lgamma(order - power + 1)
        )
        weight = log_choose + (order - power) * log_rest + power * log_rate
        terms.append(
            weight + (power - 1) * float(curve[power]) + (0 if power == 2 else math.log(3))
        )
    return float(np.logaddexp.reduce(terms)) / (order - 1)

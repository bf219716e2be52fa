"""The exact ε of Gaussian noise without sampling, in closed form: no library is needed for it.

Rounds of noise with one multiplier are one Gaussian whose multiplier is smaller by the square root
of their number, so the figure for many rounds is as exact as for one.

Source: Balle, Wang, "Improving the Gaussian Mechanism for Differential Privacy" (ICML 2018),
theorem 8; Dong, Roth, Su, "Gaussian Differential Privacy" (2022), for the rounds together.
"""

from __future__ import annotations

import math

# Below this δ the difference of two normal tails has too few digits left.
LEAST_DELTA = 1e-12
# What rounding may take from a difference of two chances, of each unit of ε and in any case.
_ROUNDED = 1e-15
_STEPS = 200
_MOST_EPSILON = 1e15


def delta_of(epsilon: float, multiplier: float) -> float:
    """Return the least δ at an ε of one Gaussian release: its exact privacy curve.

    ``multiplier`` is the noise's standard deviation over the distance of the two sums. Reveals:
    nothing. Errors: none.
    """
    more, less = _terms(epsilon, multiplier)
    return max(0.0, more - less)


def epsilon_of(multiplier: float, delta: float) -> float:
    """Return the ε at a δ of one Gaussian release; infinite for a δ below 10^-12.

    It is never below the exact figure, and above it by what rounding costs alone. Reveals: nothing.
    Errors: none.
    """
    if delta < LEAST_DELTA:
        return math.inf

    def enough(epsilon: float) -> bool:
        more, less = _terms(epsilon, multiplier)
        return more - less + _ROUNDED * (1 + epsilon * less) <= delta

    if enough(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST_EPSILON:
            return math.inf
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _terms(epsilon: float, multiplier: float) -> tuple[float, float]:
    near, far = 1 / (2 * multiplier), epsilon * multiplier
    return _below(near - far), _scaled(epsilon, near + far)


def _below(value: float) -> float:
    """Return the chance that a standard normal number is below ``value``."""
    return math.erfc(-value / math.sqrt(2)) / 2


def _scaled(epsilon: float, value: float) -> float:
    """Return exp(epsilon) times the chance to be above ``value``, which is above 0."""
    chance = _below(-value)
    if chance > 1e-290 and epsilon < 700:
        return math.exp(epsilon) * chance
    # Far out, a bound of the tail from below: what is subtracted is never too much.
    square = value * value
    return (1 - 1 / square) * math.exp(epsilon - square / 2) / (value * math.sqrt(2 * math.pi))

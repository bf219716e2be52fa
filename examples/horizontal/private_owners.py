"""Differential privacy of single rows: four owners of digits, each adds noise under the mask."""

from __future__ import annotations

from common import Claim, Example, main

from atoll.audit.row_privacy import BY_ROW, measure
from atoll.learning.horizontal.simulation import SecretSource


def accuracy(seed: int, epsilon: float | None, secret: SecretSource | None = None) -> float:
    """Return the accuracy on rows that no owner has, without noise or at an ε (δ = 1e-5)."""
    if epsilon is None:
        return measure({**BY_ROW, "learning_rate": 0.5, "rounds": 400}, seed)[0]
    return measure({**BY_ROW, "privacy": {"unit": "row", "epsilon": epsilon}}, seed, secret)[0]


def run(seed: int) -> Claim:
    """Compare three ε with training without noise."""
    figures = {
        "without noise": accuracy(seed, None),
        "ε = 3": accuracy(seed, 3.0),
        "ε = 1": accuracy(seed, 1.0),
        "ε = 0.1": accuracy(seed, 0.1),
    }
    without, three, one, tenth = figures.values()
    return Claim(figures, without > three > 0.8 and one > 0.7 and tenth < 0.7)


PRIVACY = Example(
    "Noise for ε = 1 of a row leaves most of the accuracy, noise for ε = 0.1 little",
    "Kairouz, Liu, Steinke 2021",
    "accuracy on held-out rows",
    run,
)

if __name__ == "__main__":
    main(PRIVACY)

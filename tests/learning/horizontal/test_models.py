"""Gradients are the derivatives of the losses; targets out of range are refused."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Bernoulli, Gaussian, Output, Poisson, Softmax

TARGETS = {
    Softmax: lambda g, n: g.integers(0, 4, n),
    Gaussian: lambda g, n: g.normal(size=n),
    Bernoulli: lambda g, n: g.integers(0, 2, n).astype(float),
    Poisson: lambda g, n: g.poisson(2, n).astype(float),
}
OUTPUTS = [Softmax(4), Gaussian(), Bernoulli(), Poisson()]


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: type(output).__name__)
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_gradient_is_the_derivative_of_the_loss(output: Output, kind: str) -> None:
    generator = np.random.default_rng(3)
    model = Linear(6, output, l2=0.3) if kind == "linear" else MLP(6, (5, 4), output)
    weights = generator.normal(size=model.layout.size) * 0.4
    rows, targets = generator.normal(size=(11, 6)), TARGETS[type(output)](generator, 11)
    gradient, slope = model.gradient_of(weights), np.empty_like(weights)
    gradient(rows, targets, slope)
    for at in range(0, len(weights), 3):
        kept, step = weights[at], 1e-6
        weights[at] = kept + step
        above = gradient.loss(rows, targets)
        weights[at] = kept - step
        below = gradient.loss(rows, targets)
        weights[at] = kept
        assert slope[at] == pytest.approx((above - below) / (2 * step), abs=1e-6)


@pytest.mark.parametrize(
    ("output", "targets"),
    [
        (Softmax(3), [0, 3]),
        (Softmax(3), [-1, 0]),
        (Softmax(3), [0.5, 1]),
        (Bernoulli(), [0, 2]),
        (Poisson(), [-1]),
        (Gaussian(), [np.nan]),
    ],
)
def test_targets_that_an_output_cannot_have_are_refused(
    output: Output, targets: list[float]
) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-020"):
        output.check(np.array(targets))


def test_extreme_values_stay_finite() -> None:
    rows, targets = np.full((2, 1), 1e4), np.array([0.0, 1.0])
    for output in OUTPUTS:
        model = Linear(1, output)
        weights = np.ones(model.layout.size)
        slope = np.empty_like(weights)
        model.gradient_of(weights)(rows, targets.astype(int), slope)
        assert np.isfinite(slope).all()
        assert np.isfinite(model.predict(weights, rows)).all()

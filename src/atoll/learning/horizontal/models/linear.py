"""Generalised linear models: linear, logistic, softmax and Poisson regression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atoll.learning.horizontal.layout import Layout, Vector
from atoll.learning.horizontal.models.api import Rows, Targets
from atoll.learning.horizontal.models.outputs import Output


@dataclass(frozen=True)
class Linear:
    """rows · weight + bias, then ``output``; ``l2`` adds l2/2 · |weight|² to the loss.

    The bias is not penalised. Weights start at 0.
    """

    columns: int
    output: Output
    l2: float = 0.0

    @cached_property
    def layout(self) -> Layout:
        """See ``Model.layout``."""
        width = self.output.width
        return Layout((("weight", (self.columns, width)), ("bias", (width,))))

    def initial(self, generator: np.random.Generator) -> Vector:
        """See ``Model.initial``."""
        return np.zeros(self.layout.size, dtype=np.float32)

    def gradient_of(self, weights: Vector) -> LinearGradient:
        """See ``Model.gradient_of``."""
        return LinearGradient(self, weights)

    def predict(self, weights: Vector, rows: Rows) -> Rows:
        """See ``Model.predict``."""
        return self.output.predict(self.gradient_of(weights).linear(rows))


class LinearGradient:
    """Losses and gradients of a linear model at weights that change in place."""

    def __init__(self, model: Linear, weights: Vector) -> None:
        self._model = model
        views = model.layout.views(weights)
        self._weight, self._bias = views["weight"], views["bias"]
        self._into: Vector | None = None

    def linear(self, rows: Rows) -> Rows:
        """Return rows · weight + bias, float[n, width]."""
        values = rows @ self._weight
        values += self._bias
        return values

    def __call__(self, rows: Rows, targets: Targets, into: Vector) -> None:
        """See ``Gradient.__call__``."""
        model = self._model
        if into is not self._into:
            views = model.layout.views(into)
            self._into, self._slopes = into, (views["weight"], views["bias"])
        weight, bias = self._slopes
        error = model.output.derivative(self.linear(rows), targets)
        np.dot(rows.T, error, out=weight)
        np.add.reduce(error, axis=0, out=bias)
        if model.l2:
            weight += model.l2 * self._weight

    def each(self, rows: Rows, targets: Targets) -> Rows:
        """See ``ByRow.each``."""
        error = self._model.output.derivative(self.linear(rows), targets) * len(rows)
        return np.concatenate([outer(rows, error), error], axis=1)

    def loss(self, rows: Rows, targets: Targets) -> float:
        """See ``Gradient.loss``."""
        penalty = self._model.l2 / 2 * float(np.square(self._weight).sum()) if self._model.l2 else 0
        return self._model.output.loss(self.linear(rows), targets) + penalty


def outer(entered: Rows, error: Rows) -> Rows:
    """Return each row's gradient of a layer's weight, flat: float[n, inputs · outputs]."""
    return (entered[:, :, None] * error[:, None, :]).reshape(len(entered), -1)

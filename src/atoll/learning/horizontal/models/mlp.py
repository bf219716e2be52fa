"""Fully connected networks with ReLU between their layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atoll.learning.horizontal.layout import Layout, Vector
from atoll.learning.horizontal.models.api import Rows, Targets
from atoll.learning.horizontal.models.linear import outer
from atoll.learning.horizontal.models.outputs import Output

# Values that are drawn at a time.
_DRAWN = 1 << 18


@dataclass(frozen=True)
class MLP:
    """``columns`` inputs, hidden layers of these widths with ReLU, then ``output``.

    Weights start as He et al. 2015 have it (normal, variance 2 / inputs), biases at 0. Arrays are
    ``weight0``, ``bias0``, ``weight1``, …, from the rows' side on.
    """

    columns: int
    hidden: tuple[int, ...]
    output: Output

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The number of values before each layer and after the last."""
        return (self.columns, *self.hidden, self.output.width)

    @cached_property
    def layout(self) -> Layout:
        """See ``Model.layout``."""
        arrays: list[tuple[str, tuple[int, ...]]] = []
        for i, (n, m) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            arrays += [(f"weight{i}", (n, m)), (f"bias{i}", (m,))]
        return Layout(tuple(arrays))

    def initial(self, generator: np.random.Generator) -> Vector:
        """See ``Model.initial``."""
        vector = np.zeros(self.layout.size, dtype=np.float32)
        views = self.layout.views(vector)
        for i, inputs in enumerate(self.widths[:-1]):
            weight = views[f"weight{i}"]
            # In blocks of rows, drawn in the same order: a whole draw is twice as large as this.
            step = max(1, _DRAWN // weight.shape[1])
            for first in range(0, inputs, step):
                block = weight[first : first + step]
                block[:] = generator.normal(0, (2 / inputs) ** 0.5, block.shape)
        return vector

    def gradient_of(self, weights: Vector) -> MLPGradient:
        """See ``Model.gradient_of``."""
        return MLPGradient(self, weights)

    def predict(self, weights: Vector, rows: Rows) -> Rows:
        """See ``Model.predict``."""
        return self.output.predict(self.gradient_of(weights).forward(rows)[-1])


class MLPGradient:
    """Losses and gradients of a network at weights that change in place."""

    def __init__(self, model: MLP, weights: Vector) -> None:
        self._model = model
        self._layers = _layers(model, weights)
        self._into: Vector | None = None

    def forward(self, rows: Rows) -> list[Rows]:
        """Return what enters each layer, ending with the linear values of the output."""
        values = [rows]
        last = len(self._layers) - 1
        for i, (weight, bias) in enumerate(self._layers):
            value = values[-1] @ weight
            value += bias
            if i < last:
                np.maximum(value, 0, out=value)
            values.append(value)
        return values

    def __call__(self, rows: Rows, targets: Targets, into: Vector) -> None:
        """See ``Gradient.__call__``."""
        values = self.forward(rows)
        error = self._model.output.derivative(values.pop(), targets)
        self._descend(values, error, into)

    def back(self, values: list[Rows], error: Rows, into: Vector) -> Rows:
        """Write the gradient to ``into`` and return the loss's slope by what entered, float[n, m].

        ``values`` are those of ``forward`` without the last, which ``error`` is the slope by.
        """
        return self._descend(values, error, into) @ self._layers[0][0].T

    def each(self, rows: Rows, targets: Targets) -> Rows:
        """See ``ByRow.each``."""
        return self._each(rows, targets)[0]

    def each_through(self, rows: Rows, targets: Targets) -> tuple[Rows, Rows]:
        """Return ``each``, and the slope of each row's own loss by what entered."""
        parts, error = self._each(rows, targets)
        return parts, error @ self._layers[0][0].T

    def _descend(self, values: list[Rows], error: Rows, into: Vector) -> Rows:
        """Write the gradient, and return the slope by the first layer's linear values."""
        if into is not self._into:
            self._into, self._slopes = into, _layers(self._model, into)
        for i in range(len(self._layers) - 1, -1, -1):
            entered = values.pop()
            weight, bias = self._slopes[i]
            np.dot(entered.T, error, out=weight)
            np.add.reduce(error, axis=0, out=bias)
            if i:
                error = error @ self._layers[i][0].T
                error *= entered > 0
        return error

    def _each(self, rows: Rows, targets: Targets) -> tuple[Rows, Rows]:
        values, parts = self.forward(rows), list[Rows]()
        error = self._model.output.derivative(values.pop(), targets) * len(rows)
        for i in range(len(self._layers) - 1, -1, -1):
            entered = values.pop()
            parts = [outer(entered, error), error, *parts]
            if i:
                error = (error @ self._layers[i][0].T) * (entered > 0)
        return np.concatenate(parts, axis=1), error

    def loss(self, rows: Rows, targets: Targets) -> float:
        """See ``Gradient.loss``."""
        return self._model.output.loss(self.forward(rows)[-1], targets)


def _layers(model: MLP, vector: Vector) -> list[tuple[Vector, Vector]]:
    views = model.layout.views(vector)
    return [(views[f"weight{i}"], views[f"bias{i}"]) for i in range(len(model.widths) - 1)]

"""What a model is to an algorithm: a layout, initial weights, a loss with its gradient."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from atoll.learning.horizontal.layout import Layout, Vector

Rows = npt.NDArray[np.floating]
Targets = npt.NDArray[Any]


class Model(Protocol):
    """A model that gradients train. It holds no weights: they are handed in as one vector."""

    @property
    def layout(self) -> Layout:
        """The arrays of the weights."""
        ...

    def initial(self, generator: np.random.Generator) -> Vector:
        """Return fresh weights, float32[layout.size]."""
        ...

    def gradient_of(self, weights: Vector) -> Gradient:
        """Return what computes losses and gradients at ``weights`` and follows them in place."""
        ...

    def predict(self, weights: Vector, rows: Rows) -> Rows:
        """Return the model's outputs: float[rows] or float[rows, classes]."""
        ...


class Gradient(Protocol):
    """Losses and gradients at weights that may change in place between calls."""

    def __call__(self, rows: Rows, targets: Targets, into: Vector) -> None:
        """Write the mean gradient over ``rows`` (float[n, columns]) to ``into`` (float[size])."""
        ...

    def loss(self, rows: Rows, targets: Targets) -> float:
        """Return the mean loss over ``rows``."""
        ...


@runtime_checkable
class ByRow(Protocol):
    """A ``Gradient`` that can also be had row by row, which privacy of single rows needs."""

    def each(self, rows: Rows, targets: Targets) -> Rows:
        """Return the gradient of each row's own loss, float[n, size], without any penalty.

        A row's values depend on that row and its number alone, whatever the others hold.
        """
        ...

"""What becomes of a model's last linear values: predictions, losses and their derivatives.

Each output works on float[n, width] and overwrites it where it says so: the steps of local
training are short, and what they allocate shows in their time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from atoll.core.errors import DataError
from atoll.learning.horizontal.models.api import Rows, Targets


class Output(ABC):
    """A link with its loss: the mean over rows of the negative log-likelihood."""

    width: int

    @abstractmethod
    def predict(self, linear: Rows) -> Rows:
        """Return predictions from linear values, which are overwritten."""

    @abstractmethod
    def loss(self, linear: Rows, targets: Targets) -> float:
        """Return the mean loss; ``linear`` is overwritten."""

    @abstractmethod
    def derivative(self, linear: Rows, targets: Targets) -> Rows:
        """Return the mean loss's derivative by ``linear``, which is overwritten."""

    @abstractmethod
    def check(self, targets: Targets) -> Targets:
        """Return targets in the form that the others take. Errors: ATL-HOR-020."""


@dataclass(frozen=True)
class Softmax(Output):
    """``width`` classes, numbered from 0; targets are int64[rows]."""

    width: int

    def predict(self, linear: Rows) -> Rows:
        """See ``Output.predict``."""
        # The ufuncs' own reductions: the methods of arrays cost as much again on so few values.
        linear -= np.maximum.reduce(linear, axis=1, keepdims=True)
        np.exp(linear, out=linear)
        linear /= np.add.reduce(linear, axis=1, keepdims=True)
        return linear

    def loss(self, linear: Rows, targets: Targets) -> float:
        """See ``Output.loss``."""
        linear -= linear.max(axis=1, keepdims=True)
        chosen = linear[np.arange(len(linear)), targets]
        return float((np.log(np.exp(linear).sum(axis=1)) - chosen).mean())

    def derivative(self, linear: Rows, targets: Targets) -> Rows:
        """See ``Output.derivative``."""
        linear = self.predict(linear)
        linear[np.arange(len(linear)), targets] -= 1
        linear *= 1 / len(linear)
        return linear

    def check(self, targets: Targets) -> Targets:
        """See ``Output.check``."""
        numbers = np.asarray(targets)
        whole = numbers.astype(np.int64)
        if (whole != numbers).any() or (
            len(whole) and not 0 <= whole.min() <= whole.max() < self.width
        ):
            raise _wrong(f"classes are whole numbers from 0 to {self.width - 1}")
        return whole


@dataclass(frozen=True)
class _Single(Output):
    """One linear value a row; targets are float[rows]."""

    width: int = 1

    def derivative(self, linear: Rows, targets: Targets) -> Rows:
        linear = self.predict(linear)
        linear[:, 0] -= targets
        linear *= 1 / len(linear)
        return linear

    def check(self, targets: Targets) -> Targets:
        numbers = np.asarray(targets, dtype=np.float64)
        if not np.isfinite(numbers).all() or not self._allowed(numbers):
            raise _wrong(f"{type(self).__name__} takes {self.takes}")
        return numbers

    takes = "finite numbers"

    def _allowed(self, numbers: Targets) -> bool:
        return True


@dataclass(frozen=True)
class Gaussian(_Single):
    """Least squares: half the squared error."""

    def predict(self, linear: Rows) -> Rows:
        """See ``Output.predict``."""
        return linear

    def loss(self, linear: Rows, targets: Targets) -> float:
        """See ``Output.loss``."""
        linear[:, 0] -= targets
        return float(np.square(linear).mean() / 2)


@dataclass(frozen=True)
class Bernoulli(_Single):
    """Logistic regression; targets are 0 and 1."""

    takes = "0 and 1"

    def predict(self, linear: Rows) -> Rows:
        """See ``Output.predict``."""
        np.clip(linear, -60, 60, out=linear)
        np.negative(linear, out=linear)
        np.exp(linear, out=linear)
        linear += 1
        np.reciprocal(linear, out=linear)
        return linear

    def loss(self, linear: Rows, targets: Targets) -> float:
        """See ``Output.loss``."""
        line = linear[:, 0]
        return float((np.logaddexp(0, line) - targets * line).mean())

    def _allowed(self, numbers: Targets) -> bool:
        return bool(np.isin(numbers, (0, 1)).all())


@dataclass(frozen=True)
class Poisson(_Single):
    """Counts with a log link; the loss leaves out what does not depend on the model."""

    takes = "counts of 0 and more"

    def predict(self, linear: Rows) -> Rows:
        """See ``Output.predict``."""
        np.clip(linear, -60, 60, out=linear)
        return np.exp(linear, out=linear)

    def loss(self, linear: Rows, targets: Targets) -> float:
        """See ``Output.loss``."""
        line = linear[:, 0]
        return float((np.exp(np.clip(line, -60, 60)) - targets * line).mean())

    def _allowed(self, numbers: Targets) -> bool:
        return bool((numbers >= 0).all())


def _wrong(text: str) -> DataError:
    return DataError("ATL-HOR-020", text, hint="look at the label of this client's table")

"""Losses of boosted trees: gradients as whole numbers of a grid, so that sums are exact.

g and h of each row are nearest integers of scale 2^q, as in vertical boosting. Sums of integers
below 2^53 are the same in any order, over any clients, and under a mask whose grid is as fine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError
from atoll.learning.horizontal.models.api import Targets
from atoll.learning.horizontal.models.outputs import Bernoulli, Gaussian, Softmax
from atoll.learning.vertical.boosting.loss import gradients
from atoll.models.boosting.scoring import probability

Floats = npt.NDArray[np.float64]
Pairs = npt.NDArray[np.float64]
EXACT = 2.0**53
TOO_LARGE = "ATL-HOR-104"


class Loss(ABC):
    """A loss over ``outputs`` margins a row; margins are float64[outputs, n]."""

    outputs: int = 1
    classifies: ClassVar[bool] = True

    @abstractmethod
    def check(self, targets: Targets) -> Targets:
        """Return targets in the form that the others take. Errors: ATL-HOR-020."""

    @abstractmethod
    def derivatives(self, margins: Floats, targets: Targets) -> tuple[Floats, Floats]:
        """Return g and h, float64[outputs, n]."""

    @abstractmethod
    def sums(self, targets: Targets) -> Floats:
        """Return what the first margins are made of, summed over rows: float64[outputs]."""

    @abstractmethod
    def of_rows(self, margins: Floats, targets: Targets) -> Floats:
        """Return each row's loss, float64[n]."""

    @abstractmethod
    def base(self, sums: Floats, rows: float) -> Floats:
        """Return the margins from which every row starts, float64[outputs]."""

    @abstractmethod
    def predict(self, margins: Floats) -> Floats:
        """Return predictions: float64[n], or float64[n, outputs] of several classes."""

    def gradients(self, margins: Floats, targets: Targets, bits: int) -> tuple[Pairs, Pairs]:
        """Return g and h as whole numbers of scale 2^bits, float64[outputs, n]."""
        g, h = self.derivatives(margins, targets)
        return np.rint(g * 2.0**bits), np.rint(h * 2.0**bits)


class Logistic(Loss):
    """Log loss of labels 0 and 1; the margin is the log-odds."""

    def check(self, targets: Targets) -> Targets:
        """See ``Loss.check``."""
        # Each level asks for this: the usual answer is found in a fraction of the time.
        numbers = np.asarray(targets, dtype=np.float64)
        return numbers if ((numbers == 0) | (numbers == 1)).all() else Bernoulli().check(numbers)

    def derivatives(self, margins: Floats, targets: Targets) -> tuple[Floats, Floats]:
        """See ``Loss.derivatives``."""
        p = probability(margins)
        return p - targets, p * (1.0 - p)

    def gradients(self, margins: Floats, targets: Targets, bits: int) -> tuple[Pairs, Pairs]:
        """See ``Loss.gradients``: those of vertical boosting."""
        g, h = gradients(margins[0], targets, bits)
        return g[np.newaxis].astype(np.float64), h[np.newaxis].astype(np.float64)

    def sums(self, targets: Targets) -> Floats:
        """See ``Loss.sums``."""
        return np.array([float(targets.sum())])

    def of_rows(self, margins: Floats, targets: Targets) -> Floats:
        """See ``Loss.of_rows``."""
        found: Floats = np.logaddexp(0.0, margins[0]) - margins[0] * targets
        return found

    def base(self, sums: Floats, rows: float) -> Floats:
        """See ``Loss.base``: the log-odds of the mean label, or 0 where there is one class."""
        ones, zeros = sums[0], rows - sums[0]
        return np.array([np.log(ones / zeros) if ones > 0 and zeros > 0 else 0.0])

    def predict(self, margins: Floats) -> Floats:
        """See ``Loss.predict``: probabilities of label 1."""
        return probability(margins[0])


class Squared(Loss):
    """Half the squared error of finite targets; the margin is the prediction."""

    classifies: ClassVar[bool] = False

    def check(self, targets: Targets) -> Targets:
        """See ``Loss.check``."""
        return Gaussian().check(targets)

    def derivatives(self, margins: Floats, targets: Targets) -> tuple[Floats, Floats]:
        """See ``Loss.derivatives``."""
        return margins - targets, np.ones_like(margins)

    def sums(self, targets: Targets) -> Floats:
        """See ``Loss.sums``."""
        return np.array([float(targets.sum())])

    def of_rows(self, margins: Floats, targets: Targets) -> Floats:
        """See ``Loss.of_rows``."""
        found: Floats = 0.5 * np.square(margins[0] - targets)
        return found

    def base(self, sums: Floats, rows: float) -> Floats:
        """See ``Loss.base``: the mean."""
        return sums / rows

    def predict(self, margins: Floats) -> Floats:
        """See ``Loss.predict``."""
        found: Floats = margins[0]
        return found


@dataclass
class Multinomial(Loss):
    """Softmax over ``outputs`` classes numbered from 0; h is 2p(1 − p), as XGBoost takes it."""

    outputs: int = 2

    def check(self, targets: Targets) -> Targets:
        """See ``Loss.check``."""
        return Softmax(self.outputs).check(targets)

    def derivatives(self, margins: Floats, targets: Targets) -> tuple[Floats, Floats]:
        """See ``Loss.derivatives``."""
        p = self._shares(margins)
        g = p.copy()
        g[targets, np.arange(len(targets))] -= 1.0
        return g, 2.0 * p * (1.0 - p)

    def sums(self, targets: Targets) -> Floats:
        """See ``Loss.sums``."""
        return np.bincount(targets, minlength=self.outputs).astype(np.float64)

    def of_rows(self, margins: Floats, targets: Targets) -> Floats:
        """See ``Loss.of_rows``."""
        away = margins - margins.max(axis=0)
        found: Floats = np.log(np.exp(away).sum(axis=0)) - away[targets, np.arange(len(targets))]
        return found

    def base(self, sums: Floats, rows: float) -> Floats:
        """See ``Loss.base``: logarithms of the classes' shares, half a row for an absent one."""
        return np.log(np.maximum(sums, 0.5) / rows)

    def predict(self, margins: Floats) -> Floats:
        """See ``Loss.predict``."""
        return np.transpose(self._shares(margins))

    def _shares(self, margins: Floats) -> Floats:
        shares = np.exp(margins - margins.max(axis=0))
        found: Floats = shares / shares.sum(axis=0)
        return found


def require_exact(rows: int, clients: int, bound: float, bits: int) -> None:
    """Refuse so many rows that sums lose exactness. Errors: ATL-HOR-104, their owner's."""
    if rows * clients * max(bound, 1.0) * 2.0**bits > EXACT:
        raise DataError(
            TOO_LARGE,
            f"sums over so many rows and clients are not exact at {bits} bits",
            hint="lower scale_bits",
        )


def require_within(targets: Floats, bound: float) -> None:
    """Refuse targets beyond the bound, whatever is asked. Errors: ATL-HOR-104, their owner's."""
    if len(targets) and np.abs(targets).max() > bound:
        raise DataError(
            TOO_LARGE,
            f"a target of this client is beyond {bound:g}",
            hint="scale the target, or agree on a greater bound",
        )


def cut_to(values: Pairs, most: float) -> bool:
    """Cut values to ±``most`` in place, none to 0, and return whether any was beyond.

    Margins are the aggregator's choice: were this an error, the tree at which a client fails would
    show its labels.
    """
    if not values.size or (values.max() <= most and values.min() >= -most):
        return False
    np.nan_to_num(values, copy=False, nan=0.0)
    np.clip(values, -most, most, out=values)
    return True

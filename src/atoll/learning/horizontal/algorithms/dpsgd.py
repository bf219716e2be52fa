"""Gradient descent in which each row's gradient is clipped: what privacy of single rows needs.

Source: Abadi et al., "Deep Learning with Differential Privacy" (CCS 2016), algorithm 1, over all
rows in each round, as whole numbers. The noise is the chain's.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from atoll.core.errors import UserError
from atoll.learning.horizontal.algorithm import WEIGHTS, Algorithm, ClientResult, ClientWork, State
from atoll.learning.horizontal.algorithms.fedsgd import GRADIENT
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import ByRow, Model, Rows
from atoll.learning.horizontal.server import ServerStep
from atoll.learning.horizontal.sums import Update

# Values of gradients by row that are held at a time.
_BLOCK = 1 << 22
# Far above what rounding adds to a norm in float64, far below what anyone would see.
_BELOW = 1 - 2.0**-20


class PrivateSGD(Algorithm):
    """Summed: each row's gradient, clipped to ``clip`` and cut to the grid of 2^-places.

    A client's sum is exact, and one row less, in its place, changes it by at most ``clip`` in the
    L2 norm; one row for another by at most twice that. So noise on that grid bounds what is learnt
    about a row. There is no number beside it: the mean is over ``rows``, a number that all know.
    Errors of ``client``: ATL-HOR-142 a model without gradients by row.
    """

    clip: float = Field(gt=0, le=1e9, description="greatest L2 norm of a row's gradient")
    places: int = Field(default=20, ge=0, le=40, description="binary places of the grid")
    rows: int = Field(ge=1, description="rows of all clients together, as all know it")
    learning_rate: float = Field(default=0.1, gt=0, le=1e3, description="size of a step")
    server: ServerStep = ServerStep()

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        weights = work.sent[WEIGHTS].astype(np.float64)
        whole = clipped_sum(work.model, weights, work.data, self.clip, self.places)
        return ClientResult(Update({GRADIENT: whole * 2.0**-self.places}, {}))

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        step = total.vectors[GRADIENT] * (-self.learning_rate / self.rows)
        return self.server.apply(state, step)


def clipped_sum(
    model: Model, weights: Vector, data: ClientRows, clip: float, places: int
) -> Vector:
    """Return the sum of all rows' clipped gradients in units of 2^-places: whole numbers.

    ``weights`` are float64[size], as is the sum, which is exact while it is below 2^53. Errors:
    ATL-HOR-142.
    """
    total = np.zeros(len(weights))
    gradient = model.gradient_of(weights)
    if not isinstance(gradient, ByRow):
        raise UserError(
            "ATL-HOR-142",
            "privacy of single rows needs gradients by row, which this model does not have",
            hint="train a linear model or a network of layers, or protect clients as a whole",
        )
    span = max(1, _BLOCK // len(weights))
    for first in range(0, len(data), span):
        at = slice(first, first + span)
        each = gradient.each(data.rows[at].astype(np.float64), data.targets[at])
        total += _whole(each, clip, places).sum(axis=0)
    return total


def _whole(each: Rows, clip: float, places: int) -> Rows:
    """Return rows, float64[n, size], clipped and cut towards 0 to whole units of 2^-places."""
    # A gradient that is not finite has no direction. To fail would show that there is one.
    each[~np.isfinite(each).all(axis=1)] = 0.0
    squares = np.einsum("ij,ij->i", each, each)
    each[~np.isfinite(squares)] = 0.0
    length = np.sqrt(np.where(np.isfinite(squares), squares, 0.0))
    factor = np.minimum(1.0, clip * _BELOW / np.maximum(length, 1e-300)) * 2.0**places
    each *= factor[:, None]
    return np.trunc(each, out=each)

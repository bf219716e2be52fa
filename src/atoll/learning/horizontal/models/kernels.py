"""The native epoch of local training, for the models and arrays that it knows.

It takes the same steps over the same rows as the models on NumPy; its sums are rounded in another
order. One client is trained on one thread, so the bits do not depend on how many there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import atoll_native
import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.models.api import Model, Rows, Targets
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Bernoulli, Gaussian, Output, Poisson, Softmax

Order = npt.NDArray[np.int64]
Epoch = Callable[[Order, int, float], None]

# With more rows in a step the products of the BLAS are as fast, and may use all cores.
MOST_ROWS = 256
# A larger model would be held once more than by NumPy.
MOST_VALUES = 1 << 24
_OUTPUTS: dict[type[Output], str] = {
    Softmax: "softmax",
    Gaussian: "gaussian",
    Bernoulli: "bernoulli",
    Poisson: "poisson",
}


@functools.cache
def available() -> bool:
    """Return whether this machine has the instructions that make the native epoch worth it."""
    return atoll_native.simd_level() != "portable"


def epoch(model: Model, weights: Vector, rows: Rows, targets: Targets) -> Epoch | None:
    """Return what trains ``weights`` in place, or None where NumPy must.

    ``weights`` are float32[size], ``rows`` float32[n, columns] in C order, ``targets`` one a row.
    The returned call takes the rows' numbers in the order of their use, the rows of a step and its
    size; it releases the GIL. Errors of it: ATL-HOR-057 targets that are no classes of the model.
    """
    shape = _shape(model)
    if shape is None or not available() or weights.size > MOST_VALUES:
        return None
    if not (_plain(weights) and _plain(rows) and rows.ndim == 2 and len(rows) == len(targets)):
        return None
    widths, output, penalty = shape
    known: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    if output == "softmax":
        known = np.ascontiguousarray(targets, dtype=np.int64)
    else:
        known = np.ascontiguousarray(targets, dtype=np.float32)

    def run(order: Order, batch: int, rate: float) -> None:
        try:
            atoll_native.train_epoch(
                weights, widths, output, rows, known, order, batch, rate, penalty
            )
        except atoll_native.NativeError as error:
            raise DataError(
                error.code, str(error), hint="look at the label of this client's table"
            ) from None

    return run


def _shape(model: Model) -> tuple[list[int], str, float] | None:
    """Return widths, output and penalty; exact classes only, for a subclass may compute more."""
    if type(model) is Linear:
        widths, penalty = [model.columns, model.output.width], model.l2
    elif type(model) is MLP:
        widths, penalty = list(model.widths), 0.0
    else:
        return None
    output = _OUTPUTS.get(type(model.output))
    return None if output is None else (widths, output, penalty)


def _plain(array: npt.NDArray[np.floating]) -> bool:
    return array.dtype == np.float32 and array.flags.c_contiguous

"""How well a model serves each client: figures by client, and how they spread over clients.

Where single clients may be looked at (a simulation, an evaluation that is agreed on), each client's
figures are at hand. Over a secure sum only sums are: ``LossHistogram`` then gives quantiles from
counts by bin that the clients add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.learning.evaluation.curves import auc
from atoll.learning.horizontal.algorithm import Algorithm, State, Vectors
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.models.outputs import Bernoulli, Softmax
from atoll.learning.horizontal.selection.pool import Clients, Floats

Figure = Literal["loss", "accuracy", "auc"]
_BETTER_HIGH = ("accuracy", "auc")


@dataclass(frozen=True)
class Spread:
    """How a figure spreads over clients: means by rows and by clients, variance, quantiles, worst.

    ``quantiles`` are at 0.1, 0.25, 0.5, 0.75 and 0.9; ``worst`` is the mean of the tenth of the
    clients that are served worst (one at least). Clients without the figure are left out.
    """

    clients: int
    mean: float
    even_mean: float
    variance: float
    quantiles: tuple[float, ...]
    worst: float


LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True, eq=False)
class ClientMetrics:
    """Figures of clients, one value a client in the order of ``numbers``; NaN where undefined.

    ``numbers`` int64[n], the rest float64[n]. Accuracy needs classes, AUC two classes that both
    occur at the client, the loss a row.
    """

    numbers: Clients
    rows: Floats
    loss: Floats
    accuracy: Floats
    auc: Floats

    def spread(self, figure: Figure) -> Spread:
        """Return how one figure spreads. With no client that has it, all is NaN."""
        values = self.values(figure)
        known = ~np.isnan(values)
        values, rows = values[known], self.rows[known]
        if not len(values):
            return Spread(0, math.nan, math.nan, math.nan, (math.nan,) * len(LEVELS), math.nan)
        ranked = np.sort(values) if figure in _BETTER_HIGH else np.sort(values)[::-1]
        return Spread(
            clients=len(values),
            mean=float(np.average(values, weights=rows)),
            even_mean=float(values.mean()),
            variance=float(values.var()),
            quantiles=tuple(np.quantile(values, LEVELS).tolist()),
            worst=float(ranked[: math.ceil(len(values) / 10)].mean()),
        )

    def values(self, figure: Figure) -> Floats:
        """Return one figure of all clients, float64[n]."""
        found: dict[Figure, Floats] = {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "auc": self.auc,
        }
        return found[figure]


def measure_client(model: Model, weights: Vector, data: ClientRows) -> tuple[float, ...]:
    """Return rows, mean loss, accuracy and AUC of ``weights`` on a client's rows."""
    if not len(data):
        return 0.0, math.nan, math.nan, math.nan
    loss = model.gradient_of(weights).loss(data.rows, data.targets)
    predicted, targets = model.predict(weights, data.rows), data.targets
    output = getattr(model, "output", None)
    if isinstance(output, Softmax):
        accuracy = float((predicted.argmax(axis=1) == targets).mean())
        ranked = _auc(targets, predicted[:, 1]) if output.width == 2 else math.nan
        return float(len(data)), loss, accuracy, ranked
    if isinstance(output, Bernoulli):
        scores = predicted.reshape(len(data))
        accuracy = float(((scores >= 0.5) == (targets == 1)).mean())
        return float(len(data)), loss, accuracy, _auc(targets, scores)
    return float(len(data)), loss, math.nan, math.nan


def measure_clients(
    model: Model,
    weights: Callable[[int], Vector],
    data: Callable[[int], ClientRows],
    numbers: Iterable[int],
    threads: int = 1,
) -> ClientMetrics:
    """Measure each client by its own rows, with the weights (float[size]) that it uses itself."""
    chosen = sorted(numbers)

    def one(number: int) -> tuple[float, ...]:
        return measure_client(model, weights(number), data(number))

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(one, chosen) if threads > 1 else map(one, chosen))
    table = np.array(found, dtype=np.float64).reshape(-1, 4)
    return ClientMetrics(np.array(chosen, dtype=np.int64), *table.T)


def personal(
    algorithm: Algorithm, state: State, kept: Mapping[int, Vectors]
) -> Callable[[int], Vector]:
    """Return the weights that each client uses itself, by number: those of ``Algorithm.personal``.

    ``kept`` is what clients keep; one that keeps nothing uses the global weights.
    """
    message = algorithm.message(state)

    def weights(number: int) -> Vector:
        return algorithm.personal(algorithm.sent_to(message, number), kept.get(number, {}))

    return weights


@dataclass(frozen=True, eq=False)
class LossHistogram:
    """Counts of clients by bins of a figure, which add up under a secure sum.

    ``edges`` (float64[bins + 1], ascending) are public. Each client sends 1 for its bin and 0 for
    the others; values beyond the ends count in the outermost bins. Revealed: the counts. A quantile
    is off by less than its bin's width. Errors: ATL-HOR-047 edges that do not ascend.
    """

    edges: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.edges.ndim != 1 or len(self.edges) < 2 or not (np.diff(self.edges) > 0).all():
            raise UserError("ATL-HOR-047", "the edges of a histogram must ascend, two at least")

    def numbers(self, value: float) -> dict[str, float]:
        """Return what a client adds to the numbers of its update."""
        bins = len(self.edges) - 1
        own = min(max(int(np.searchsorted(self.edges, value, side="right")) - 1, 0), bins - 1)
        return {_bin(at): float(at == own) for at in range(bins)}

    def counts(self, numbers: Mapping[str, float]) -> Floats:
        """Return the clients by bin out of the numbers of a sum, float64[bins]."""
        return np.array([numbers[_bin(at)] for at in range(len(self.edges) - 1)])

    def quantiles(self, counts: Floats, levels: Iterable[float] = LEVELS) -> tuple[float, ...]:
        """Return quantiles, as if values lay evenly in each bin; NaN for no client."""
        if counts.sum() <= 0:
            return tuple(math.nan for _ in levels)
        reached = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
        found = []
        for level in levels:
            at = min(int(np.searchsorted(reached, level, side="left")), len(reached) - 1)
            low = max(at - 1, 0)
            part = (level - reached[low]) / ((reached[at] - reached[low]) or 1.0)
            found.append(float(self.edges[low] + part * (self.edges[at] - self.edges[low])))
        return tuple(found)


def _bin(at: int) -> str:
    return f"bin.{at}"


def _auc(targets: npt.NDArray[np.generic], scores: npt.NDArray[np.floating]) -> float:
    positives = int(np.count_nonzero(targets))
    return auc(targets, scores) if 0 < positives < len(targets) else math.nan

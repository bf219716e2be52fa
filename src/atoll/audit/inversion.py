"""Rows read off gradients: of one client, and of the sum over many that a secure sum opens.

The first layer's gradient holds, for each unit, a sum of the rows that it fired for, each times
that row's share of the bias's: where one row alone fired it, the quotient of the two is that row.
An honest aggregator only looks (``curious``); one that chooses the weights it sends gives all units
of the first layer one direction and biases in steps, so that two neighbours differ by few rows.

Sources: Phong et al. 2018 (quotients); Geiping et al. 2020; Fowl et al., "Robbing the Fed" (ICLR
2022), for chosen weights.

``python -m atoll.audit.inversion`` prints the figures as one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atoll.learning.horizontal.algorithm import WEIGHTS, ClientWork
from atoll.learning.horizontal.algorithms.fedsgd import GRADIENT, FedSGD
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.sums import total

Floats = npt.NDArray[np.floating]
Aggregator = Literal["curious", "choosing"]
CLOSE = 0.05
UNITS = 256


@dataclass(frozen=True)
class Inversion:
    """How many of ``rows`` an attack gave back with a relative error below 5 %, out of a sum."""

    rows: int
    read: int

    @property
    def share(self) -> float:
        """The share of rows that were read."""
        return self.read / self.rows


def digits(rows: int, seed: int = 0) -> ClientRows:
    """Return some rows of scikit-learn's digits, 64 values from 0 to 1 each, ten classes."""
    from sklearn.datasets import load_digits

    table = load_digits()
    chosen = np.random.default_rng(seed).permutation(len(table.data))[:rows]
    return ClientRows(table.data[chosen] / 16.0, table.target[chosen])


def attack(
    data: ClientRows, clients: int, model: Linear | MLP, aggregator: Aggregator = "curious"
) -> Inversion:
    """Share rows out to clients, add up their gradients, and read rows off the sum.

    With one client the sum is its update; with more it is what a secure sum opens.
    """
    weights = model.initial(np.random.default_rng(1)).astype(np.float64)
    if aggregator == "choosing":
        _choose(model, weights, digits(300, seed=5).rows)
    parts = np.array_split(np.arange(len(data)), clients)
    opened = total(
        FedSGD().client(_work(model, weights, ClientRows(data.rows[p], data.targets[p]))).update
        for p in parts
    )
    if opened is None:
        return Inversion(0, 0)
    found = candidates(model, opened.vectors[GRADIENT], aggregator == "choosing")
    return Inversion(len(data), read(data.rows, found))


def candidates(model: Linear | MLP, gradient: Vector, neighbours: bool = False) -> Floats:
    """Return float64[n, columns]: quotients of the first layer's gradients, by unit.

    With ``neighbours``, of the differences between units that stand beside each other.
    """
    views = model.layout.views(gradient)
    names = ("weight", "bias") if isinstance(model, Linear) else ("weight0", "bias0")
    weight, bias = (np.asarray(views[name], dtype=np.float64) for name in names)
    if neighbours:
        weight = np.concatenate([weight, np.diff(weight, axis=1)], axis=1)
        bias = np.concatenate([bias, np.diff(bias)])
    fired = np.abs(bias) > 1e-9 * np.abs(bias).max(initial=1e-300)
    quotients: Floats = (weight[:, fired] / bias[fired]).T
    return quotients


def read(rows: Floats, found: Floats) -> int:
    """Return how many rows have a candidate within 5 % of their length."""
    if not len(found):
        return 0
    apart = np.linalg.norm(rows[:, np.newaxis] - found[np.newaxis], axis=2).min(axis=1)
    return int(np.count_nonzero(apart < CLOSE * np.linalg.norm(rows, axis=1)))


def _choose(model: Linear | MLP, weights: Vector, known: Floats) -> None:
    """Let all first units measure brightness, each from its own step on; rows like ``known``."""
    views = model.layout.views(weights)
    count = views["bias0"].shape[0]
    views["weight0"][:] = 1 / known.shape[1]
    brightness = np.quantile(known.mean(axis=1), np.linspace(0, 1, count))
    views["bias0"][:] = -brightness
    # The next layer passes the same on to all units, or their differences would not cancel.
    views["weight1"][:] = views["weight1"][:1]


def _work(model: Linear | MLP, weights: Vector, data: ClientRows) -> ClientWork:
    return ClientWork(model, {WEIGHTS: weights}, {}, data, np.random.default_rng(0), 1)


def figures(settings: Iterable[tuple[str, int, int]] | None = None) -> list[dict[str, Any]]:
    """Measure both models and aggregators: rows of a client, and clients under a secure sum."""
    models: dict[str, Linear | MLP] = {
        "softmax": Linear(64, Softmax(10)),
        "mlp": MLP(64, (UNITS,), Softmax(10)),
    }
    points = settings or [
        (name, rows, clients) for name in models for rows in (1, 4, 16) for clients in (1, 20)
    ]
    lines = []
    for name, rows, clients in points:
        kinds: tuple[Aggregator, ...] = ("curious", "choosing") if name == "mlp" else ("curious",)
        for kind in kinds:
            found = attack(digits(rows * clients), clients, models[name], kind)
            line = {"model": name, "aggregator": kind, "rows_of_a_client": rows}
            lines.append({**line, "clients": clients, "read": round(found.share, 3)})
    return lines


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(), indent=1) + "\n")

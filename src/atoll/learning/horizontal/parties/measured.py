"""Figures of a model on a client's rows, as sums over rows that may be added over clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atoll.channel.party import Party
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model

ROWS, LOSS, FIGURE = "evaluated.rows", "evaluated.loss", "evaluated.figure"


@dataclass(frozen=True)
class Point:
    """The model before round ``round``, over the held-out rows of ``clients``.

    ``figure`` is the share of right classes, or the mean squared error.
    """

    round: int
    loss: float
    figure: float
    clients: int


class Means(NamedTuple):
    """Mean loss, and the share of right classes or the mean squared error."""

    loss: float
    figure: float


def measured(model: Model, weights: Vector, data: ClientRows, classifies: bool) -> dict[str, float]:
    """Return rows and summed loss of ``data``, and right classes or squared errors."""
    if not len(data):
        return {ROWS: 0.0, LOSS: 0.0, FIGURE: 0.0}
    loss = model.gradient_of(weights).loss(data.rows, data.targets)
    found = model.predict(weights, data.rows)
    figure = _right(found, data) if classifies else _squares(found, data)
    return {ROWS: float(len(data)), LOSS: loss * len(data), FIGURE: figure}


def _right(found: Vector, data: ClientRows) -> float:
    wide = found.shape[-1] > 1
    guess = found.argmax(axis=1) if wide else found[:, 0] >= 0.5
    return float((guess == data.targets).sum())


def _squares(found: Vector, data: ClientRows) -> float:
    error = found[:, 0].astype(np.float64) - data.targets
    return float(np.dot(error, error))


def means(numbers: Mapping[str, float]) -> Means | None:
    """Return the means of summed figures; None where no rows were evaluated."""
    rows = numbers.get(ROWS, 0.0)
    return Means(numbers[LOSS] / rows, numbers[FIGURE] / rows) if rows else None


def show(party: Party, point: Point, classifies: bool) -> None:
    """Show a point at this party's own node."""
    party.metric("loss", point.loss, point.round)
    party.metric(figure_name(classifies), point.figure, point.round)


def figure_name(classifies: bool) -> str:
    """Return what the figure of a point is called."""
    return "accuracy" if classifies else "squared error"

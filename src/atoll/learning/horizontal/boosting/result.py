"""The result of boosting on its way from the aggregator to the clients, and what they check."""

from __future__ import annotations

import numpy as np

from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.boosting.algorithm import BASE, Boosting
from atoll.learning.horizontal.boosting.forest import COLUMN, CUT, FIELDS, HELD, Forest
from atoll.learning.horizontal.features.api import received, unfinished, wrong_message
from atoll.learning.horizontal.features.counted import THRESHOLDS, from_vector


def result(step: Boosting, state: State) -> Vectors:
    """Return the trees, bins and first margins that clients are sent in the end.

    Errors: ATL-HOR-102 before the last tree.
    """
    if not step.finished(state):
        raise unfinished("boosted trees")
    return {name: state.vectors[name] for name in (*FIELDS, THRESHOLDS, BASE)}


def received_forest(step: Boosting, sent: Vectors, columns: int) -> Forest:
    """Return the model that the aggregator sent. Errors: ATL-HOR-100 it is none of this step."""
    shape = step.shape
    size = step.trees * shape.outputs * shape.nodes
    found = {name: received(sent, name, size) for name in FIELDS}
    base = received(sent, BASE, shape.outputs)
    thresholds = received(sent, THRESHOLDS, columns * (step.bins - 1))
    column = found[COLUMN].reshape(-1, shape.nodes)
    whole = all((found[name] == np.rint(found[name])).all() for name in (COLUMN, CUT, HELD))
    if not whole or column.min() < -1 or column.max() >= columns:
        raise wrong_message(COLUMN)
    if (column[:, shape.nodes // 2 :] >= 0).any():
        raise wrong_message(COLUMN)
    if not (found[CUT].min() >= 0 and found[CUT].max() < step.bins):
        raise wrong_message(CUT)
    if not (found[HELD].min() >= 0 and found[HELD].max() < 2.0**53):
        raise wrong_message(HELD)
    binning = from_vector(thresholds, columns)
    return Forest(binning, step.objectives, step.depth, step.trees, base, found)

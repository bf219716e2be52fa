"""Boosted trees in the shape of scikit-learn's over rows of several owners with equal columns.

    model = HorizontalBoostingClassifier(trees=50, depth=4)
    model.fit({"north": north, "east": east, "west": west}).predict_proba(new_rows)

The protocol is the real one, between nodes of this process, with an aggregator beside the owners;
every owner ends up with all trees. Missing values are values like any other.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from atoll.components.horizontal_boosting import HorizontalBoostingParameters
from atoll.sdk.horizontal import Floats, HorizontalClassifier, HorizontalRegressor, numbers


class HorizontalBoostingClassifier(
    HorizontalClassifier,
    of=HorizontalBoostingParameters,
    without=frozenset({"loss", "classes", "bound"}),
):
    """Boosted trees that separate two classes or more, grown on the rows of several owners.

    ``fit`` takes a table per owner (by name, with a column ``label``), or one table with labels
    that ``owners`` divides: an array with each row's owner, or how many owners get equal shares at
    random (empty: three). ``seed`` makes runs repeat. All further parameters are those of the
    component ``horizontal_boosting``. After ``fit`` as ``HorizontalClassifier``.
    """

    _component = "horizontal_boosting"

    def _form(self, classes: int) -> dict[str, Any]:
        return {"loss": "logistic"} if classes == 2 else {"loss": "softmax", "classes": classes}

    def _numbers(self, table: Any) -> Floats:
        return numbers(table)


class HorizontalBoostingRegressor(
    HorizontalRegressor, of=HorizontalBoostingParameters, without=frozenset({"loss", "classes"})
):
    """Boosted trees for a number, grown on the rows of several owners by squared error.

    No residual may exceed ``bound``: labels are at most that far from the mean, and a sum of so
    many rows must be exact. Otherwise as ``HorizontalBoostingClassifier``.
    """

    _component = "horizontal_boosting"

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train. ``y`` are labels of one table, or by owner. Errors: ATL-SDK-032; the job's."""
        tables, labels = self._gathered(X, y)
        values = {party: np.asarray(label, np.float64) for party, label in labels.items()}
        self._train(tables, values, loss="squared")
        return self

    def _numbers(self, table: Any) -> Floats:
        return numbers(table)

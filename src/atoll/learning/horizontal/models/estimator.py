"""A scikit-learn estimator with ``partial_fit`` as a model whose arrays are averaged.

Its learned arrays are one vector, laid out by the classes and columns that all clients state, so
estimators that saw other classes are never added to each other. What else an estimator learns (the
moments of its optimiser) begins afresh in each turn, but for the counter ``t_`` of its rate's
schedule, which a client keeps.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.learning.horizontal.layout import Layout, Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Gradient, Rows, Targets

LINEAR, LAYERS = ("coef_", "intercept_"), ("coefs_", "intercepts_")


@dataclass(frozen=True)
class EstimatorModel:
    """``estimator`` for rows of so many ``columns``; classifiers need all ``classes``, sorted.

    It is copied and never changed. ``coef_`` with ``intercept_`` (SGDClassifier, SGDRegressor,
    Perceptron, …) start at 0, ``coefs_`` with ``intercepts_`` (MLPClassifier, MLPRegressor) where
    the estimator's own ``random_state`` puts them. Targets are classes, or numbers. Errors:
    ATL-HOR-090 an estimator whose arrays cannot be averaged, ATL-HOR-091 no classes.
    """

    estimator: Any
    columns: int
    classes: tuple[Any, ...] | None = None
    _template: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_template", self._begun())
        _ = self.layout

    @cached_property
    def layout(self) -> Layout:
        """See ``Model.layout``."""
        return Layout(tuple((name, array.shape) for name, array in _arrays(self._template)))

    def initial(self, generator: np.random.Generator) -> Vector:
        """See ``Model.initial``; ``generator`` is not drawn from, and values are float64."""
        if hasattr(self._template, LINEAR[0]):
            return np.zeros(self.layout.size)
        return self._vector(self._template)

    def gradient_of(self, weights: Vector) -> Gradient:
        """Return what computes the loss at ``weights``; it has no gradient of its own."""
        return EstimatorLoss(self, weights)

    def predict(self, weights: Vector, rows: Rows) -> Rows:
        """Return chances of each class (float[n, classes]) where the estimator has them.

        A classifier without chances gives 1 for the class that it names, 0 for the others; a
        regressor gives numbers, float[n].
        """
        own = self.at(weights)
        if self.classes is None:
            return np.asarray(own.predict(rows), dtype=np.float64)
        if hasattr(own, "predict_proba"):
            return np.asarray(own.predict_proba(rows), dtype=np.float64)
        named = np.searchsorted(np.array(self.classes), own.predict(rows))
        chosen: Rows = np.eye(len(self.classes))[named]
        return chosen

    def at(self, weights: Vector) -> Any:
        """Return a fitted copy of the estimator with these weights (float[size])."""
        own = copy.deepcopy(self._template)
        views = self.layout.views(weights)
        for name, array in _arrays(own):
            # In place: optimisers and averages of an estimator refer to the same arrays.
            array[...] = views[name]
        return own

    def trained(
        self, weights: Vector, batches: Iterator[ClientRows], counter: float
    ) -> tuple[Vector, float]:
        """Return the weights after ``partial_fit`` on each batch, and the counter after them.

        ``counter`` is what ``t_`` of a linear model begins at: 1 at a client's first turn.
        """
        own = self.at(weights)
        counts = hasattr(own, LINEAR[0]) and hasattr(own, "t_")
        if counts:
            own.t_ = counter
        for batch in batches:
            _fit(own, batch.rows, batch.targets)
        after = float(own.t_) if counts else counter
        return self._vector(own).astype(weights.dtype, copy=False), after

    def _vector(self, own: Any) -> Vector:
        return np.concatenate([np.asarray(a, dtype=np.float64).ravel() for _, a in _arrays(own)])

    def _begun(self) -> Any:
        """Return a copy that has seen a row of zeros of each class, and so has its arrays."""
        from sklearn.base import is_classifier

        own = copy.deepcopy(self.estimator)
        if not hasattr(own, "partial_fit") or getattr(own, "average", False):
            raise _unfit(own)
        if is_classifier(own) != (self.classes is not None):
            raise _classes(
                f"{type(own).__name__} needs classes if it is a classifier, and else none"
            )
        targets = np.zeros(2) if self.classes is None else np.array(self.classes)
        if self.classes is not None and list(np.unique(targets)) != list(self.classes):
            raise _classes("classes must differ and ascend")
        _fit(own, np.zeros((len(targets), self.columns)), targets, self.classes is not None)
        if not any(hasattr(own, name) for name in (LINEAR[0], LAYERS[0])):
            raise _unfit(own)
        return own


class EstimatorLoss:
    """The loss at given weights: log loss, share of errors, or half the squared error."""

    def __init__(self, model: EstimatorModel, weights: Vector) -> None:
        self._model, self._weights = model, weights

    def __call__(self, rows: Rows, targets: Targets, into: Vector) -> None:
        """Refuse: an estimator trains itself. Errors: ATL-HOR-092."""
        raise UserError(
            "ATL-HOR-092",
            "a scikit-learn estimator has no gradient to hand out",
            hint="train it with the algorithm PartialFit",
        )

    def loss(self, rows: Rows, targets: Targets) -> float:
        """See ``Gradient.loss``."""
        found = self._model.predict(self._weights, rows)
        classes = self._model.classes
        if classes is None:
            return float(np.square(found - targets).mean() / 2)
        at = np.searchsorted(np.array(classes), targets)
        chances = found[np.arange(len(found)), at]
        if not hasattr(self._model.estimator, "predict_proba"):
            return float(1 - chances.mean())
        return float(-np.log(np.maximum(chances, np.finfo(np.float64).tiny)).mean())


def _fit(own: Any, rows: Rows, targets: Targets, first: bool = False) -> None:
    # Of another type than the estimator's own arrays, some refuse rows.
    rows = rows.astype(np.float64, copy=False)
    with warnings.catch_warnings():
        # Loss curves and iterations are the training loop's matter.
        warnings.simplefilter("ignore")
        if first:
            own.partial_fit(rows, targets, classes=targets)
        else:
            own.partial_fit(rows, targets)


def _arrays(own: Any) -> list[tuple[str, npt.NDArray[np.floating]]]:
    if hasattr(own, LINEAR[0]):
        return [(name, cast("Vector", getattr(own, name))) for name in LINEAR]
    pairs = zip(*(getattr(own, name) for name in LAYERS), strict=True)
    return [
        (f"{name}{layer}", array)
        for layer, pair in enumerate(pairs)
        for name, array in zip(LAYERS, pair, strict=True)
    ]


def _unfit(own: Any) -> UserError:
    return UserError(
        "ATL-HOR-090",
        f"{type(own).__name__} has no arrays that partial_fit moves and a mean makes sense of",
        hint="linear models by gradient steps and multi-layer perceptrons have; without averaging",
    )


def _classes(text: str) -> UserError:
    return UserError("ATL-HOR-091", text, hint="hand in the classes of all clients, ascending")

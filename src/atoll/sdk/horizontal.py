"""Estimators in the shape of scikit-learn's over rows of several owners, who have equal columns.

    model = HorizontalClassifier(algorithm="scaffold", rounds=30)
    model.fit({"north": north, "east": east, "west": west}).predict(north.drop(columns="y"))

The protocol is the real one, between nodes of this process (``atoll.sdk.local``), with an
aggregator beside the owners. Every owner ends up with the whole model, so predictions are local.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field

from atoll.components.horizontal import HorizontalTrainingParameters
from atoll.core.errors import AtollError, DataError, UserError
from atoll.models.columns import match_columns
from atoll.sdk.constructors import taking
from atoll.sdk.estimating import Estimator, NotFittedError
from atoll.sdk.frames import NamedColumns, is_frame, one_table
from atoll.sdk.sharing import shared
from atoll.table import Table

Floats = npt.NDArray[np.float64]
_TABLE, _ID, _HUB = "rows", "id", "aggregator"
_FROM_LABELS = frozenset({"family", "classes"})


class _Horizontal(Estimator):
    """What classifiers and regressors share, their constructor too.

    ``of`` is the parameter class of the component: a constructor takes its fields, but for those of
    ``without``, which follow from the labels, and those of ``own``, which no job takes.
    """

    parts_: Mapping[str, Any]
    _component = "horizontal"
    _trained: tuple[str, ...]

    def __init__(
        self, *, owners: Any = None, label: str = "y", seed: int | None = None, **parameters: Any
    ) -> None:
        self.owners = owners
        self.label = label
        self.seed = seed
        vars(self).update(parameters)

    def __init_subclass__(
        cls,
        of: type[BaseModel] | None = None,
        without: frozenset[str] = frozenset(),
        own: type[BaseModel] = BaseModel,
    ) -> None:
        if of is not None:
            cls._trained = tuple(name for name in of.model_fields if name not in without)
            taken = taking((own, own.model_fields), (of, cls._trained))
            cls.__init__ = taken(_Horizontal.__init__)  # type: ignore[method-assign]

    def _train(
        self, tables: Mapping[str, Any], labels: Mapping[str, Floats], **chosen: Any
    ) -> None:
        """Train on the owners' tables (Arrow, columns alone) with their labels."""
        first = next(iter(tables.values())).column_names
        hub = _HUB
        while hub in tables:
            hub += "1"
        roles = {hub: "aggregator", **dict.fromkeys(tables, "client")}
        given = {name: getattr(self, name) for name in self._trained} | chosen
        given = {n: list(v) if isinstance(v, tuple) else v for n, v in given.items()}
        job: dict[str, Any] = {
            "name": "estimator",
            "parties": roles,
            "steps": {
                "rows": {
                    "component": "reader",
                    "parameters": {"tables": dict.fromkeys(tables, _TABLE), "label": self.label},
                },
                "train": {
                    "component": self._component,
                    "inputs": {"train": "rows.table"},
                    "parameters": given,
                },
            },
        }
        if self.seed is not None:
            job["seed"] = self.seed
        with shared(roles) as federation:
            for at, (party, table) in enumerate(tables.items()):
                ids = pa.array([f"{at}-{row}" for row in range(table.num_rows)])
                whole = table.select(first).append_column(self.label, pa.array(labels[party]))
                federation.table(party, _TABLE, whole.add_column(0, _ID, ids))
            done = federation.run(job)
        self.parts_ = {party: done[party].outputs["train.model"] for party in tables}
        self.plan_ = done[hub].plan
        self.reports_ = dict(done[hub].reports)
        self.reveals_ = {party: found.reveals for party, found in done.items()}
        self.n_features_in_ = len(first)

    def _gathered(self, X: Any, y: Any) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:  # noqa: N803
        """Return each owner's columns as Arrow, and its labels. Errors: ATL-SDK-032."""
        if isinstance(X, Mapping):
            found = {party: self._own(party, X[party], y) for party in X}
        else:
            found = self._divided(one_table(X), y)
        tables = {party: table for party, (table, _) in found.items()}
        names = {tuple(sorted(table.column_names)) for table in tables.values()}
        if len(names) > 1:
            raise DataError("ATL-SDK-032", "the owners' tables have different columns")
        named = isinstance(X, Mapping) or is_frame(X)
        self._named = named
        return tables, {party: label for party, (_, label) in found.items()}

    def _own(self, party: str, frame: Any, y: Any) -> tuple[Any, npt.NDArray[Any]]:
        """Return one owner's columns and labels."""
        try:
            if isinstance(frame, Table):
                frame = frame.to_arrow()
            columns = NamedColumns(frame)
            names = [name for name in columns.names if name not in (_ID, self.label)]
            if y is not None:
                label = np.asarray(y[party]).ravel()
            elif self.label in columns.names:
                label = columns.select([self.label]).column(0).to_numpy()
            else:
                raise DataError("ATL-SDK-032", "there is no label", place=self.label)
            return _fitting(columns.select(names), label)
        except AtollError as error:
            error.located(party=party)
            raise

    def _divided(self, columns: NamedColumns, y: Any) -> dict[str, tuple[Any, npt.NDArray[Any]]]:
        """Divide one table among owners: by ``owners``, else at random among three."""
        if y is None:
            raise DataError("ATL-SDK-032", "there is no label", place=self.label)
        names = [name for name in columns.names if name != _ID]
        table, label = _fitting(columns.select(names), np.asarray(y).ravel())
        if self.owners is None or isinstance(self.owners, int):
            count = 3 if self.owners is None else self.owners
            rng = np.random.default_rng(self.seed)
            owner = np.array([f"owner-{at}" for at in range(count)])[
                rng.permutation(len(label)) % count
            ]
        else:
            owner = np.asarray(self.owners).ravel().astype(str)
            if len(owner) != len(label):
                raise DataError("ATL-SDK-032", f"{len(owner)} owners for {len(label)} rows")
        chosen = {name: np.flatnonzero(owner == name) for name in np.unique(owner).tolist()}
        return {name: (table.take(pa.array(at)), label[at]) for name, at in chosen.items()}

    def _predicted(self, X: Any) -> Floats:  # noqa: N803
        """Return the model's outputs. Errors: ATL-SDK-033 not fitted, ATL-MOD-003, ATL-SDK-032."""
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("ATL-SDK-033", "fit comes first")
        part = next(iter(self.parts_.values()))
        if is_frame(X) != self._named and not isinstance(X, Table):
            raise UserError(
                "ATL-SDK-032",
                "the model was fitted on columns with names, and an array has none"
                if self._named
                else "the model was fitted on an array, whose columns have no names",
            )
        columns = one_table(X)
        if not self._named and len(columns.names) != len(part.columns):
            raise DataError(
                "ATL-SDK-032",
                f"the model was fitted on {len(part.columns)} columns, not {len(columns.names)}",
            )
        match_columns(part.columns, columns.names)
        found: Floats = part.predict(self._numbers(columns.select(part.columns)))
        return found

    def _numbers(self, table: Any) -> Floats:
        """Return float64[rows, columns]. Errors: ATL-SDK-032 text, or a missing value."""
        return _whole(numbers(table))


def numbers(table: Any) -> Floats:
    """Return float64[rows, columns], NaN for missing. Errors: ATL-SDK-032 text."""
    try:
        return np.column_stack([c.to_numpy() for c in table.columns]).astype(np.float64)
    except (TypeError, ValueError):
        raise DataError("ATL-SDK-032", "a column of the model does not hold numbers") from None


def _whole(values: Floats) -> Floats:
    if np.isnan(values).any():
        raise DataError(
            "ATL-SDK-032",
            "a value is missing, and the model has no prediction for such a row",
            hint="fill missing values as for the training",
        )
    return values


def _fitting(table: Any, label: npt.NDArray[Any]) -> tuple[Any, npt.NDArray[Any]]:
    if len(label) != table.num_rows:
        raise DataError("ATL-SDK-032", f"{len(label)} labels for {table.num_rows} rows")
    return table, label


class HorizontalClassifier(_Horizontal, of=HorizontalTrainingParameters, without=_FROM_LABELS):
    """Logistic or softmax regression, or a network, trained on the rows of several owners.

    ``fit`` takes a table per owner (by name, with a column ``label``), or one table with labels
    that ``owners`` divides: an array with each row's owner, or how many owners get equal shares at
    random (empty: three). ``seed`` makes runs repeat. All further parameters are those of the
    component ``horizontal``.

    After ``fit``: ``classes_``, ``plan_``, ``reveals_`` (what each party sent), ``reports_``,
    ``parts_`` (each owner's copy of the model), ``n_features_in_``.
    """

    _estimator_type = "classifier"
    _multi_class = True

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train. ``y`` are labels of one table, or by owner. Errors: ATL-SDK-032; the job's."""
        tables, labels = self._gathered(X, y)
        self.classes_ = np.unique(np.concatenate(list(labels.values())))
        if len(self.classes_) < 2:
            raise DataError("ATL-SDK-032", "needs at least two classes")
        codes = {
            party: np.searchsorted(self.classes_, label).astype(np.float64)
            for party, label in labels.items()
        }
        self._train(tables, codes, **self._form(len(self.classes_)))
        return self

    def _form(self, classes: int) -> dict[str, Any]:
        """Return the parameters that follow from the number of classes."""
        return {"family": "logistic" if classes == 2 else "softmax", "classes": classes}

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Return the probability of each class, float64[rows, classes]. Errors: ATL-SDK-033."""
        found = self._predicted(X)
        return found if found.ndim == 2 else np.column_stack([1 - found, found])

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable class of each row. Errors: as ``predict_proba``."""
        at = self.predict_proba(X).argmax(axis=1)
        chosen: npt.NDArray[Any] = self.classes_[at]
        return chosen

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Return the share of rows whose class is predicted right. Errors: as ``predict``."""
        return float(np.mean(self.predict(X) == np.asarray(y).ravel()))


class _Counts(BaseModel):
    counts: bool = Field(default=False, description="labels are counts: Poisson regression")


class HorizontalRegressor(
    _Horizontal, of=HorizontalTrainingParameters, without=_FROM_LABELS, own=_Counts
):
    """Linear or Poisson regression, or a network, trained on the rows of several owners.

    ``counts`` chooses Poisson regression. Otherwise as ``HorizontalClassifier``.
    """

    counts: bool
    _estimator_type = "regressor"

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Train. ``y`` are labels of one table, or by owner. Errors: ATL-SDK-032; the job's."""
        tables, labels = self._gathered(X, y)
        numbers = {party: np.asarray(label, np.float64) for party, label in labels.items()}
        self._train(tables, numbers, family="poisson" if self.counts else "linear")
        return self

    def predict(self, X: Any) -> Floats:  # noqa: N803
        """Return the prediction of each row, float64[rows]. Errors: ATL-SDK-033."""
        return self._predicted(X)

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Return the coefficient of determination. Errors: as ``predict``."""
        truth = np.asarray(y, np.float64).ravel()
        error = np.square(truth - self.predict(X)).sum()
        spread = np.square(truth - truth.mean()).sum()
        return float(1 - error / spread) if spread else 0.0

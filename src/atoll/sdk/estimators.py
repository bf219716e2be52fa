"""Estimators in the shape of scikit-learn's, trained by all parties of a federation in one process.

    model = VerticalBoostingClassifier(columns={"income": "bank", "visits": "shop"}, guest="bank")
    model.fit(frame, y).predict_proba(frame)

The protocol is the real one; only the network is memory (``atoll.sdk.local``). scikit-learn is not
needed; where it is installed, ``clone``, ``cross_val_score`` and pipelines work.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import DataError, UserError
from atoll.jobs.definition import Frozen
from atoll.learning.vertical.boosting import BoostingParameters
from atoll.sdk.federation import Federation
from atoll.sdk.frames import as_table
from atoll.sdk.pipeline import Pipeline
from atoll.table import Table

Floats = npt.NDArray[np.float64]
_TABLE, _ID, _LABEL = "rows", "id", "y"
_BOOSTING = tuple(BoostingParameters.model_fields)


class _Nothing(Frozen):
    """No parameters."""


def _holding(parts: Mapping[str, Any]) -> Component:
    """Return a component that gives each party its own part of a model that was trained before."""

    def run(task: Task, parameters: _Nothing) -> Result:
        return Result({"model": parts[task.party.name]})

    def describe(facts: Facts, parameters: _Nothing) -> Terms:
        held = {
            party: ArtifactFacts("boosting.model", columns=parts[party].columns)
            for party in facts.roles
        }
        return Terms(outputs={"model": held})

    return Component(
        name="held",
        version="1",
        parameters=_Nothing,
        run=run,
        describe=describe,
        sources=("atoll.models.boosting",),
        outputs={"model": "boosting.model"},
    )


class _NotFitted(UserError, AttributeError, ValueError):
    """The estimator was asked before it was fitted; scikit-learn knows it as its own kind."""


class VerticalBoostingClassifier:
    """Gradient boosting over columns that lie with several parties; two classes.

    ``columns`` maps each column (a name, or a position in an array) to its party and is for one
    table; without it the first half of the columns is the guest's. ``guest`` holds the label (else
    the first party). ``id`` and ``label`` name columns of per-party tables. ``intersect`` lets the
    parties find their common rows first (else only per-party tables do). All further parameters
    are those of the component ``boosting``; ``implementation="ideal"`` is fast and hides nothing.

    After ``fit``: ``classes_``, ``plan_`` (what was agreed), ``reveals_`` (what each party told),
    ``reports_``, ``parts_`` (each party's part of the model), ``n_features_in_``.
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        *,
        columns: Mapping[Any, str] | None = None,
        guest: str | None = None,
        id: str = _ID,
        label: str = _LABEL,
        minimum_intersection: int = 20,
        trees: int = 20,
        depth: int = 3,
        learning_rate: float = 0.3,
        bins: int = 32,
        reg_lambda: float = 1.0,
        gamma: float = 0.0,
        minimum_child_weight: float = 1.0,
        minimum_rows: int = 20,
        row_sample: float = 1.0,
        column_sample: float = 1.0,
        host_noise: float = 0.0,
        base_score: str = "mean",
        implementation: str = "elgamal",
    ) -> None:
        self.columns = columns
        self.guest = guest
        self.id = id
        self.label = label
        self.minimum_intersection = minimum_intersection
        self.trees = trees
        self.depth = depth
        self.learning_rate = learning_rate
        self.bins = bins
        self.reg_lambda = reg_lambda
        self.gamma = gamma
        self.minimum_child_weight = minimum_child_weight
        self.minimum_rows = minimum_rows
        self.row_sample = row_sample
        self.column_sample = column_sample
        self.host_noise = host_noise
        self.base_score = base_score
        self.implementation = implementation

    # -- scikit-learn's protocol ----------------------------------------------------------------

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **parameters: Any) -> Self:
        """Change parameters. Errors: ATL-JOB-005 unknown."""
        for name, value in parameters.items():
            if name not in self._names():
                raise UserError("ATL-JOB-005", f"there is no parameter {name!r}", place=name)
            setattr(self, name, value)
        return self

    def __sklearn_clone__(self) -> Self:
        return type(self)(**self.get_params())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "parts_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            transformer_tags=None,
            regressor_tags=None,
            classifier_tags=ClassifierTags(multi_class=False),
            input_tags=InputTags(allow_nan=True),
        )

    # -- learning and using ---------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 -- scikit-learn's name
        """Train on a table of all columns, or on one table per party (by party id).

        Per-party tables have an id column; ``y`` may be left out where the guest's has the label.
        Errors: ATL-SDK-032 columns, parties or labels that do not fit; those of the job.
        """
        frames = self._shares(X)
        guest = self._guest_of(frames)
        labelled = self._with_label(frames[guest], y)
        values = labelled.column(self.label).to_numpy()
        self.classes_ = np.unique(values)
        if len(self.classes_) != 2:
            raise DataError("ATL-SDK-032", f"needs two classes, not {len(self.classes_)}")
        codes = (values == self.classes_[1]).astype(np.float64)
        at = labelled.schema.get_field_index(self.label)
        tables = {**frames, guest: labelled.set_column(at, self.label, pa.array(codes))}
        done = self._run(tables, guest, self._training)
        self.guest_ = guest
        self.parts_ = {party: found.outputs["boosting.model"] for party, found in done.items()}
        self.plan_ = done[guest].plan
        self.reports_ = dict(done[guest].reports)
        self.reveals_ = {party: found.reveals for party, found in done.items()}
        self.n_features_in_ = sum(frame.num_columns - 1 for frame in frames.values())
        if not isinstance(X, Mapping) and hasattr(X, "columns"):
            self.feature_names_in_ = np.array([str(name) for name in X.columns], dtype=object)
        return self

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Return the probabilities of both classes, float64[rows, 2], by the guest's rows.

        Rows of per-party tables that the others do not hold get NaN. Errors: as ``fit``.
        """
        if not self.__sklearn_is_fitted__():
            raise _NotFitted("ATL-SDK-033", "fit comes first")
        frames = self._shares(X)
        guest = self._guest_of(frames)
        if guest != self.guest_ or frames.keys() != self.parts_.keys():
            raise UserError("ATL-SDK-032", "the model was trained with other parties")
        # The label is not known; the reader of the guest's table wants a column all the same.
        zeros = np.zeros(frames[guest].num_rows)
        tables = {**frames, guest: self._with_label(frames[guest], zeros, replace=True)}
        done = self._run(tables, guest, self._scoring)
        scores = done[guest].outputs["prediction.scores"]
        place = {row: at for at, row in enumerate(scores.ids.to_pylist())}
        ids = as_table(tables[guest], id_column=self.id, label=self.label).ids().to_pylist()
        order = np.array([place.get(row, -1) for row in ids])
        found = np.full(len(ids), np.nan)
        found[order >= 0] = scores.score[order[order >= 0]]
        return np.column_stack([1.0 - found, found])

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the more probable class of each row."""
        chosen = (self.predict_proba(X)[:, 1] >= 0.5).astype(int)
        found: npt.NDArray[Any] = self.classes_[chosen]
        return found

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Return the share of rows whose class is predicted right."""
        return float(np.mean(self.predict(X) == np.asarray(y)))

    # -- inside ---------------------------------------------------------------------------------

    def _run(self, tables: Mapping[str, Any], guest: str, build: Any) -> Any:
        roles = {party: "guest" if party == guest else "host" for party in tables}
        catalogue = dict(CATALOGUE)
        if build == self._scoring:
            catalogue["held"] = _holding(self.parts_)
        named = {party: {_TABLE: table} for party, table in tables.items()}
        with Federation(roles, named, catalogue=catalogue) as federation:
            hosts = [party for party in roles if party != guest]
            schemas = {name: component.schema() for name, component in catalogue.items()}
            p = Pipeline("estimator", guest=guest, host=hosts, schemas=schemas)
            # The columns of one table are aligned by construction.
            rows = p.reader(
                tables=dict.fromkeys(roles, _TABLE),
                id=self.id,
                label=self.label,
                aligned=not self._intersects,
            ).table
            if self._intersects:
                protocol = "ideal" if self.implementation == "ideal" else "ecdh"
                rows = p.psi(
                    rows, protocol=protocol, minimum_intersection=self.minimum_intersection
                ).table
            build(p, rows)
            return federation.run(p)

    def _training(self, p: Pipeline, rows: Any) -> None:
        given = {name: getattr(self, name) for name in _BOOSTING if hasattr(self, name)}
        p.boosting(train=rows, **given)

    def _scoring(self, p: Pipeline, rows: Any) -> None:
        p.prediction(model=p.held().model, table=rows)

    def _shares(self, X: Any) -> dict[str, Any]:  # noqa: N803
        """Return each party's columns as an Arrow table with an id column."""
        self._intersects = isinstance(X, Mapping)
        if isinstance(X, Mapping):
            if len(X) < 2:
                raise UserError("ATL-SDK-032", "a federation has at least two parties")
            return {party: self._arrow(frame) for party, frame in X.items()}
        whole = _one_table(X)
        owner = self._owner(whole.column_names, _keys(X, whole))
        ids = pa.array([str(at) for at in range(whole.num_rows)])
        return {
            party: whole.select(
                [name for name in whole.column_names if owner[name] == party]
            ).add_column(0, self.id, ids)
            for party in dict.fromkeys(owner.values())
        }

    def _arrow(self, frame: Any) -> Any:
        label = self.label if self.label in _columns(frame) else None
        return as_table(frame, id_column=self.id, label=label).to_arrow()

    def _owner(self, names: list[str], keys: list[Any]) -> dict[str, str]:
        if self.columns is None:
            half = (len(names) + 1) // 2
            if half == len(names):
                raise DataError("ATL-SDK-032", "needs at least two columns, one for each party")
            return {name: "guest" if at < half else "host" for at, name in enumerate(names)}
        unowned = [key for key in keys if key not in self.columns]
        if unowned:
            raise UserError(
                "ATL-SDK-032", f"columns without a party: {unowned[:5]}", place="columns"
            )
        owner = {name: self.columns[key] for name, key in zip(names, keys, strict=True)}
        if len(set(owner.values())) < 2:
            raise UserError("ATL-SDK-032", "all columns belong to one party", place="columns")
        return owner

    def _guest_of(self, frames: Mapping[str, Any]) -> str:
        guest = self.guest or next(iter(frames))
        if guest not in frames:
            raise UserError("ATL-SDK-032", "the guest has no columns", party=guest, place="guest")
        return guest

    def _with_label(self, frame: Any, y: Any, *, replace: bool = False) -> Any:
        """Return the guest's table with its label column."""
        known = self.label in frame.column_names
        if y is None:
            if not known:
                raise DataError("ATL-SDK-032", "there is no label", place=self.label)
            return frame
        if known and not replace:
            raise DataError("ATL-SDK-032", "the label is given twice", place=self.label)
        if known:
            frame = frame.drop_columns([self.label])
        values = pa.array(np.asarray(y).ravel())
        if len(values) != frame.num_rows:
            raise DataError(
                "ATL-SDK-032", f"{len(values)} labels for {frame.num_rows} rows", place=self.label
            )
        return frame.append_column(self.label, values)


def _columns(frame: Any) -> list[str]:
    if isinstance(frame, Table):
        return [frame.id_name, *frame.columns, *([frame.label_name] if frame.label_name else [])]
    names = getattr(frame, "column_names", None)
    return [str(name) for name in (frame.columns if names is None else names)]


def _one_table(X: Any) -> Any:  # noqa: N803
    """Return one table of all columns as Arrow: from a frame, or an array of two dimensions."""
    if isinstance(X, pa.Table):
        return X
    if hasattr(X, "__arrow_c_stream__") or hasattr(X, "to_arrow"):
        home = type(X).__module__.partition(".")[0]
        if home == "pandas":
            return pa.Table.from_pandas(X, preserve_index=False)
        return X.to_arrow() if hasattr(X, "to_arrow") else pa.table(X)
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2:
        raise DataError("ATL-SDK-032", "needs a table of rows and columns: two dimensions")
    return pa.table({f"x{at}": values[:, at] for at in range(values.shape[1])})


def _keys(X: Any, whole: Any) -> list[Any]:  # noqa: N803
    """Return what ``columns`` calls each column: its name, or its position in an array."""
    named = hasattr(X, "columns") or isinstance(X, pa.Table)
    return list(whole.column_names) if named else list(range(whole.num_columns))

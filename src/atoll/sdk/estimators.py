"""Estimators in the shape of scikit-learn's, trained by all parties of a federation in one process.

    model = VerticalBoostingClassifier(columns={"income": "bank", "visits": "shop"}, guest="bank")
    model.fit(frame, y).predict_proba(frame)

The protocol is the real one, between nodes of this process (``atoll.sdk.local``). scikit-learn is
not needed; where it is installed, ``clone``, ``cross_val_score`` and pipelines work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError, DataError, UserError
from atoll.jobs.definition import Frozen
from atoll.learning.vertical.boosting import BoostingParameters
from atoll.models.catalogue import KINDS
from atoll.models.columns import listed, match_columns
from atoll.models.kinds import kind_of
from atoll.operators.psi import PsiParameters
from atoll.sdk.constructors import taking
from atoll.sdk.estimating import Estimator, NotFittedError
from atoll.sdk.frames import NamedColumns, as_table, is_frame, one_table
from atoll.sdk.pipeline import Pipeline
from atoll.sdk.sharing import shared
from atoll.table import read

Floats = npt.NDArray[np.float64]
_TABLE, _ID, _LABEL = "rows", "id", "y"
# What a pipeline calls the training.
_STEP = "boosting"
# What a fit on one table has no use for: early stopping needs validation rows.
_BOOSTING = tuple(
    name for name in BoostingParameters.model_fields if name != "early_stopping_rounds"
)
_INTERSECTION = ("minimum_intersection",)


class _Nothing(Frozen):
    """No parameters."""


def _holding(parts: Mapping[str, Any]) -> Component:
    """Return a component that gives each party its own part of a model that was trained before."""

    def run(task: Task, parameters: _Nothing) -> Result:
        return Result({"model": parts[task.party.name]})

    def describe(facts: Facts, parameters: _Nothing) -> Terms:
        return Terms(outputs={"model": {party: _facts(parts[party]) for party in facts.roles}})

    return Component(
        name="held",
        version="1",
        parameters=_Nothing,
        run=run,
        describe=describe,
        sources=("atoll.models",),
        outputs={"model": "model"},
    )


def _facts(part: Any) -> ArtifactFacts:
    kind = kind_of(part, KINDS)
    if kind is None:
        raise UserError("ATL-MOD-005", "this is no part of a model", place="parts_")
    return ArtifactFacts(kind.name, columns=kind.columns(part))


class VerticalBoostingClassifier(Estimator):
    """Gradient boosting over columns that lie with several parties; two classes.

    ``columns`` maps each column (a name, or a position in an array) to its party and is for one
    table; without it the first half of the columns is the guest's. ``guest`` holds the label (else
    the first party). ``id`` and ``label`` name columns of per-party tables, whose parties find
    their common rows first. All further parameters are those of the components ``psi`` and
    ``boosting``, with their defaults; ``implementation="ideal"`` is fast and hides nothing.

    Columns go by name. Which party holds which is settled by ``fit``; ``predict`` and its like look
    each one up by its name at that party, in any order. Columns that the model does not know are
    left out, missing ones are named in the error. An array has only positions: a model that was
    fitted on arrays takes arrays of the same width and nothing else, any other model takes none.

    After ``fit``: ``classes_``, ``plan_`` (what was agreed), ``reveals_`` (what each party sent),
    ``reports_``, ``parts_`` (each party's part of the model, with its ``columns``),
    ``n_features_in_`` and, of one table whose columns are named by text, ``feature_names_in_``.
    """

    _estimator_type = "classifier"
    _allow_nan = True

    implementation: str

    @taking((PsiParameters, _INTERSECTION), (BoostingParameters, _BOOSTING))
    def __init__(
        self,
        *,
        columns: Mapping[Any, str] | None = None,
        guest: str | None = None,
        id: str = _ID,
        label: str = _LABEL,
        **parameters: Any,
    ) -> None:
        self.columns = columns
        self.guest = guest
        self.id = id
        self.label = label
        vars(self).update(parameters)

    # -- learning and using ---------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 -- scikit-learn's name
        """Train on a table of all columns, or on one table per party (by party id).

        Per-party tables have an id column; ``y`` may be left out where the guest's has the label.
        Errors: ATL-SDK-032 columns, parties or labels that do not fit; those of the job.
        """
        columns = None if isinstance(X, Mapping) else one_table(X)
        frames = self._tables(X) if columns is None else self._shared(columns, is_frame(X))
        guest = self._guest_of(frames)
        labelled = self._with_label(frames[guest], y)
        values = labelled.column(self.label).to_numpy()
        self.classes_ = np.unique(values)
        if len(self.classes_) != 2:
            raise DataError("ATL-SDK-032", f"needs two classes, not {len(self.classes_)}")
        codes = (values == self.classes_[1]).astype(np.float64)
        at = labelled.schema.get_field_index(self.label)
        tables = {**frames, guest: labelled.set_column(at, self.label, pa.array(codes))}
        done = self._run(tables, guest, self._training, align=columns is None)
        self.guest_ = guest
        self.parts_ = {party: found.outputs[f"{_STEP}.model"] for party, found in done.items()}
        self.plan_ = done[guest].plan
        self.reports_ = dict(done[guest].reports)
        self.reveals_ = {party: found.reveals for party, found in done.items()}
        self._keep_names(columns, columns is None or is_frame(X))
        return self

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Return the probabilities of both classes, float64[rows, 2], by the guest's rows.

        Rows of per-party tables that the others do not hold get NaN. Errors: ATL-SDK-033 not
        fitted, ATL-MOD-003 columns of the model are missing; as ``fit``.
        """
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("ATL-SDK-033", "fit comes first")
        frames, guest = self._known(X), self.guest_
        # The label is not known; the reader of the guest's table wants a column all the same.
        tables = {**frames, guest: self._with_label(frames[guest], np.zeros(len(frames[guest])))}
        done = self._run(tables, guest, self._scoring, align=isinstance(X, Mapping))
        scores = done[guest].outputs["prediction.scores"]
        place = {row: at for at, row in enumerate(scores.ids.to_pylist())}
        ids = as_table(tables[guest], id_column=self.id, label=self.label).ids().to_pylist()
        order = np.array([place.get(row, -1) for row in ids])
        found = np.full(len(ids), np.nan)
        found[order >= 0] = scores.score[order[order >= 0]]
        return np.column_stack([1.0 - found, found])

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the more probable class of each row.

        Errors: ATL-SDK-032 rows that not all parties hold, which have none; as ``predict_proba``.
        """
        found = self.predict_proba(X)[:, 1]
        unmatched = int(np.count_nonzero(np.isnan(found)))
        if unmatched:
            raise DataError(
                "ATL-SDK-032",
                f"{unmatched} of {len(found)} rows have no class: not all parties hold them",
                party=self.guest_,
                hint="leave them out; predict_proba gives NaN for them",
            )
        chosen = (found >= 0.5).astype(int)
        classes: npt.NDArray[Any] = self.classes_[chosen]
        return classes

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Return the share of rows whose class is predicted right.

        Errors: ATL-SDK-032 not one label for each row; as ``predict``.
        """
        found, labels = self.predict(X), np.asarray(y).ravel()
        if len(labels) != len(found):
            raise DataError("ATL-SDK-032", f"{len(labels)} labels for {len(found)} rows")
        return float(np.mean(found == labels))

    # -- inside ---------------------------------------------------------------------------------

    def _run(self, tables: Mapping[str, Any], guest: str, build: Any, *, align: bool) -> Any:
        roles = {party: "guest" if party == guest else "host" for party in tables}
        catalogue = dict(CATALOGUE)
        if build == self._scoring:
            catalogue["held"] = _holding(self.parts_)
        with shared(roles) as federation:
            federation.catalogue = catalogue
            for party, table in tables.items():
                federation.table(party, _TABLE, table)
            hosts = [party for party in roles if party != guest]
            schemas = {name: component.schema() for name, component in catalogue.items()}
            p = Pipeline("estimator", guest=guest, host=hosts, schemas=schemas)
            # The columns of one table are aligned by construction.
            rows = p.reader(
                tables=dict.fromkeys(roles, _TABLE),
                id=self.id,
                label=self.label,
                aligned=not align,
            ).table
            if align:
                protocol = "ideal" if self.implementation == "ideal" else "ecdh"
                rows = p.psi(rows, protocol=protocol, **self._given(_INTERSECTION)).table
            build(p, rows)
            return federation.run(p)

    def _training(self, p: Pipeline, rows: Any) -> None:
        p.boosting(train=rows, **self._given(_BOOSTING))

    def _given(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    def _scoring(self, p: Pipeline, rows: Any) -> None:
        p.prediction(model=p.held().model, table=rows)

    def _tables(self, X: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803
        """Return the parties' own tables, whole, as Arrow with an id column."""
        if len(X) < 2:
            raise UserError("ATL-SDK-032", "a federation has at least two parties")
        guest = self._guest_of(X)
        return {party: self._own(X[party], party, party == guest) for party in X}

    def _own(self, frame: Any, party: str, guest: bool, part: Sequence[str] | None = None) -> Any:
        """Return a party's own table as Arrow: all of it, or its id and the columns of a part."""
        try:
            if isinstance(frame, str | os.PathLike):
                frame = read(frame, id_column=self.id)
            columns = NamedColumns(frame)
            names = columns.names
            label = self.label if guest and self.label in names else None
            if part is not None:
                match_columns(part, [name for name in names if name not in (self.id, label)])
                names, label = (*(name for name in names if name == self.id), *part), None
            return as_table(columns.select(names), id_column=self.id, label=label).to_arrow()
        except AtollError as error:
            error.located(party=party)
            raise

    def _shared(self, columns: NamedColumns, named: bool) -> dict[str, Any]:
        """Return each party's columns of one table, by ``columns`` or half and half."""
        names = columns.names
        keys: Sequence[Any] = names if named else range(len(names))
        owner = dict(zip(names, self._owners(keys), strict=True))
        if self.id in owner:
            raise UserError(
                "ATL-SDK-032",
                f"a column is called {self.id!r}, as the rows' ids are",
                hint="leave it out, or set the parameter id to another name",
            )
        shares: dict[str, list[str]] = {}
        for name, party in owner.items():
            shares.setdefault(party, []).append(name)
        return self._numbered(columns, shares)

    def _numbered(
        self, columns: NamedColumns, shares: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        """Return each party's share of one table as Arrow; the rows' numbers are their ids."""
        whole = columns.select([name for names in shares.values() for name in names])
        ids = pa.array([str(at) for at in range(whole.num_rows)])
        return {
            party: whole.select(list(names)).add_column(0, self.id, ids)
            for party, names in shares.items()
        }

    def _known(self, X: Any) -> dict[str, Any]:  # noqa: N803
        """Return each party's columns of the model: by name, in an array by position."""
        shares = {party: part.columns for party, part in self.parts_.items()}
        if (isinstance(X, Mapping) or is_frame(X)) != self._named:
            raise UserError(
                "ATL-SDK-032",
                "the model was fitted on columns with names, and an array has none"
                if self._named
                else "the model was fitted on an array, whose columns have no names",
                hint="positions and names cannot be compared: fit and predict on the same kind",
            )
        if isinstance(X, Mapping):
            _same_parties(shares, X)
            return {
                party: self._own(X[party], party, party == self.guest_, names)
                for party, names in shares.items()
            }
        columns = one_table(X)
        if not self._named and len(columns.names) != self.n_features_in_:
            raise DataError(
                "ATL-SDK-032",
                f"the model was fitted on {self.n_features_in_} columns, not {len(columns.names)}",
            )
        wanted = [name for names in shares.values() for name in names]
        if len(set(wanted)) != len(wanted):
            raise UserError(
                "ATL-SDK-032",
                "several parties have a column of the same name",
                hint="give a table per party",
            )
        match_columns(wanted, columns.names)
        return self._numbered(columns, shares)

    def _keep_names(self, columns: NamedColumns | None, named: bool) -> None:
        """Note what the model was fitted on; ``columns`` are those of one table."""
        known = {name for part in self.parts_.values() for name in part.columns}
        self._named = named
        self.n_features_in_ = sum(len(part.columns) for part in self.parts_.values())
        if columns is not None and named and columns.textual:
            names = [name for name in columns.names if name in known]
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _owners(self, keys: Sequence[Any]) -> list[str]:
        """Return the party of each column, by its name or position."""
        if self.columns is None:
            half = (len(keys) + 1) // 2
            if half == len(keys):
                raise DataError("ATL-SDK-032", "needs at least two columns, one for each party")
            return ["guest" if at < half else "host" for at in range(len(keys))]
        # Numbers may name a frame's columns; these are text here.
        named = not isinstance(keys, range)
        if not isinstance(self.columns, Mapping):
            raise UserError(
                "ATL-SDK-032",
                "columns maps each column to its party",
                place="columns",
                hint="{'income': 'bank', 'visits': 'shop'}; for an array {0: 'bank', 1: 'shop'}",
            )
        owner = {str(key) if named else key: party for key, party in self.columns.items()}
        unowned = [key for key in keys if key not in owner]
        if unowned:
            raise UserError(
                "ATL-SDK-032", f"columns without a party: {listed(unowned)}", place="columns"
            )
        found = [owner[key] for key in keys]
        if len(set(found)) < 2:
            raise UserError("ATL-SDK-032", "all columns belong to one party", place="columns")
        return found

    def _guest_of(self, frames: Mapping[str, Any]) -> str:
        guest = self.guest or next(iter(frames))
        if guest not in frames:
            raise UserError("ATL-SDK-032", "the guest has no columns", party=guest, place="guest")
        return guest

    def _with_label(self, frame: Any, y: Any) -> Any:
        """Return the guest's table with its label column."""
        known = self.label in frame.column_names
        if y is None:
            if not known:
                raise DataError("ATL-SDK-032", "there is no label", place=self.label)
            return frame
        if known:
            raise DataError("ATL-SDK-032", "the label is given twice", place=self.label)
        values = pa.array(np.asarray(y).ravel())
        if len(values) != frame.num_rows:
            raise DataError(
                "ATL-SDK-032", f"{len(values)} labels for {frame.num_rows} rows", place=self.label
            )
        return frame.append_column(self.label, values)


def _same_parties(known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if known.keys() != given.keys():
        raise UserError(
            "ATL-SDK-032",
            "the model was trained with other parties",
            hint=f"it has parts of {', '.join(known)}; there are tables of {', '.join(given)}",
        )

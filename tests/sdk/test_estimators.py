"""The classifier: scikit-learn's shape over the real protocol, and the centralised model's AUC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]
import polars
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from atoll.core.errors import AtollError
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters
from atoll.sdk import VerticalBoostingClassifier
from tests.learning.vertical.test_boosting_xgboost import joined_auc

Floats = npt.NDArray[np.float64]
QUICK: dict[str, Any] = {"trees": 3, "implementation": "ideal"}


def breast() -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    found = load_breast_cancer(as_frame=True)
    return found.data, found.target.to_numpy()


def columns(frame: pd.DataFrame) -> dict[str, str]:
    return {name: "bank" if at < 10 else "shop" for at, name in enumerate(frame.columns)}


def test_it_is_as_good_as_the_centralised_model() -> None:
    frame, y = breast()
    model = VerticalBoostingClassifier(
        columns=columns(frame), guest="bank", trees=5, minimum_rows=0, implementation="ideal"
    )
    scores = model.fit(frame, y).predict_proba(frame)
    names = np.array(list(frame.columns))
    inputs = {
        "bank": BoostingInputs(
            frame.to_numpy()[:, :10].copy(), tuple(names[:10]), y.astype(np.float64)
        ),
        "shop": BoostingInputs(frame.to_numpy()[:, 10:].copy(), tuple(names[10:]), None),
    }
    wanted = joined_auc(inputs, BoostingParameters(trees=5, minimum_rows=0))
    assert abs(roc_auc_score(y, scores[:, 1]) - wanted) < 0.002
    assert np.allclose(scores.sum(axis=1), 1.0)
    assert model.score(frame, y) > 0.95
    assert model.n_features_in_ == 30
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.plan_.parameters["boosting"]["trees"] == 5
    assert any(line["step"] == "boosting" for line in model.reveals_["shop"])


def test_the_real_protocol_gives_the_same_trees() -> None:
    frame, y = breast()
    few = frame.iloc[:120, [0, 1, 20, 21]]
    made = []
    for implementation in ("ideal", "elgamal"):
        model = VerticalBoostingClassifier(trees=2, depth=2, bins=4, implementation=implementation)
        made.append(model.fit(few, y[:120]).predict_proba(few))
    assert np.allclose(made[0], made[1], atol=1e-6)


def test_per_party_tables_find_their_common_rows() -> None:
    frame, y = breast()
    ids = [f"p{at}" for at in range(len(frame))]
    bank = frame.iloc[:, :10].assign(id=ids, y=y).iloc[30:]
    shop = polars.DataFrame(frame.iloc[:, 10:].assign(id=ids).iloc[:-30].sample(frac=1))
    model = VerticalBoostingClassifier(**QUICK).fit({"bank": bank, "shop": shop})
    scores = model.predict_proba({"bank": bank.drop(columns="y"), "shop": shop})
    assert scores.shape == (539, 2)
    known = ~np.isnan(scores[:, 1])
    assert known.tolist() == [True] * 509 + [False] * 30
    assert roc_auc_score(bank["y"][known], scores[known, 1]) > 0.97
    assert model.plan_.implementations["psi"] == "psi.ideal"


def test_rows_that_not_all_parties_hold_get_no_class() -> None:
    frame, y = breast()
    ids = [f"p{at}" for at in range(len(frame))]
    tables = {
        "bank": frame.iloc[:, :10].assign(id=ids, y=y),
        "shop": frame.iloc[30:, 10:].assign(id=ids[30:]),
    }
    model = VerticalBoostingClassifier(**QUICK).fit(tables)
    for ask in (lambda: model.predict(tables), lambda: model.score(tables, y)):
        with pytest.raises(AtollError, match="ATL-SDK-032: 30 of 569 rows"):
            ask()
    held = {**tables, "bank": tables["bank"].iloc[30:]}
    assert model.score(held, y[30:]) > 0.9


def test_a_score_is_of_one_label_for_each_row_in_whatever_shape() -> None:
    frame, y = breast()
    model = VerticalBoostingClassifier(**QUICK).fit(frame, y)
    assert model.score(frame, y[:, np.newaxis]) == model.score(frame, y) > 0.9
    for wrong in (y[:50], y[:1], np.column_stack([y, y])):
        with pytest.raises(AtollError, match="ATL-SDK-032"):
            model.score(frame, wrong)


def test_arrays_classes_of_any_name_and_other_hosts() -> None:
    frame, y = breast()
    names = np.array(["malignant", "benign"])[y]
    owner = {at: ("a", "b", "c")[at % 3] for at in range(30)}
    model = VerticalBoostingClassifier(columns=owner, guest="b", **QUICK)
    model.fit(frame.to_numpy(), names)
    assert list(model.classes_) == ["benign", "malignant"]
    assert (model.predict(frame.to_numpy()) == names).mean() > 0.9
    assert set(model.parts_) == {"a", "b", "c"}


def test_scikit_learn_takes_it_for_one_of_its_own() -> None:
    frame, y = breast()
    small, label = frame.iloc[:200, :6].to_numpy(), y[:200]
    model = VerticalBoostingClassifier(**QUICK)
    second = clone(model.set_params(depth=2))
    assert second.get_params() == model.get_params()
    assert is_classifier(model)
    with pytest.raises(ValueError, match="fit"):
        model.predict(small)
    assert cross_val_score(model, small, label, cv=2, scoring="roc_auc").min() > 0.8
    search = GridSearchCV(model, {"trees": [1, 2]}, cv=2).fit(small, label)
    assert search.best_params_["trees"] in (1, 2)
    check_is_fitted(make_pipeline(model).fit(small, label)[-1])


@pytest.mark.parametrize(
    ("change", "X", "y"),
    [
        ({}, np.zeros((5, 1)), np.zeros(5)),
        ({}, np.zeros(5), np.zeros(5)),
        ({}, np.zeros((30, 2)), np.arange(30)),
        ({}, np.zeros((30, 2)), np.zeros(3)),
        ({}, np.zeros((30, 2)), None),
        ({"columns": {0: "a"}}, np.zeros((30, 2)), np.zeros(30)),
        ({"columns": {0: "a", 1: "a"}}, np.zeros((30, 2)), np.zeros(30)),
        ({"guest": "nobody"}, np.zeros((30, 2)), np.zeros(30)),
        ({}, {"bank": pd.DataFrame({"id": ["a"], "x": [1.0]})}, [1]),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], X: Any, y: Any) -> None:
    with pytest.raises(AtollError, match="ATL-SDK-032"):
        VerticalBoostingClassifier(**{**QUICK, **change}).fit(X, y)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(AtollError, match="ATL-JOB-005"):
        VerticalBoostingClassifier().set_params(tres=3)


def test_nothing_of_scikit_learn_is_needed(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys; sys.modules['sklearn'] = None;"
        "import numpy as np; from atoll.sdk import VerticalBoostingClassifier as V;"
        "x = np.random.default_rng(1).normal(size=(80, 4)); y = (x[:, 0] + x[:, 3] > 0) * 1;"
        "print(V(trees=2, implementation='ideal').fit(x, y).score(x, y) > 0.6)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr

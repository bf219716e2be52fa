"""Against XGBoost on the joined columns: the same method, so nearly the same model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xgboost
from sklearn.metrics import roc_auc_score

from atoll.learning.features.binning import fit
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters
from atoll.learning.vertical.boosting.loss import base_margin
from tests.learning.vertical import play

Floats = npt.NDArray[np.float64]


def joined_auc(inputs: dict[str, BoostingInputs], parameters: BoostingParameters) -> float:
    """Train XGBoost on the same bin codes from the same base score; return the training AUC."""
    codes = []
    for mine in inputs.values():
        binning = fit(mine.features, parameters.bins)
        code = binning.encode(mine.features).astype(np.float64)
        code[code == binning.missing] = np.nan
        codes.append(code)
    label = inputs["bank"].label
    assert label is not None
    data = xgboost.DMatrix(np.hstack(codes), label)
    base = float(1.0 / (1.0 + np.exp(-base_margin(label, parameters.base_score))))
    model = xgboost.train(
        {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_bin": 256,
            "max_depth": parameters.depth,
            "eta": parameters.learning_rate,
            "lambda": parameters.reg_lambda,
            "gamma": parameters.gamma,
            "min_child_weight": parameters.minimum_child_weight,
            "base_score": base,
            "nthread": 1,
        },
        data,
        parameters.trees,
    )
    return float(roc_auc_score(label, model.predict(data)))


def credit(folder: Path) -> dict[str, BoostingInputs]:
    """Read the default-credit table, FATE's columns per side."""
    found = {}
    for name, role, skip in (("bank", "guest", 2), ("shop", "host", 1)):
        path = folder / "fate" / f"default_credit_hetero_{role}.csv"
        names = tuple(path.read_text(encoding="utf-8").partition("\n")[0].strip().split(","))
        rows = np.loadtxt(path, delimiter=",", skiprows=1)
        rows = rows[np.argsort(rows[:, 0])]
        label = np.ascontiguousarray(rows[:, 1]) if role == "guest" else None
        features = np.ascontiguousarray(rows[:, skip:])
        found[name] = BoostingInputs(features, names[skip:], label)
    return found


@pytest.mark.parametrize("depth", [3, 5])
def test_credit_is_as_good_as_the_centralised_model(atoll_data: Path, depth: int) -> None:
    inputs = credit(atoll_data)
    parameters = BoostingParameters(depth=depth, minimum_rows=0, implementation="ideal")
    ran = play.play(inputs, parameters)
    ours = float(roc_auc_score(inputs["bank"].label, ran.scores))
    assert abs(ours - joined_auc(inputs, parameters)) < 0.002
    assert ran.results["bank"].history.observed["shop"]["accepted"]


@pytest.mark.parametrize("depth", [3, 5])
def test_missing_values_go_where_xgboost_sends_them(depth: int) -> None:
    x, y = play.table(4000, 9, 3, missing=0.3)
    x[np.isnan(x[:, 0]), 1] += 2.0
    inputs = play.share(x, y, play.NAMES[:3])
    parameters = BoostingParameters(depth=depth, minimum_rows=0, implementation="ideal")
    ours = float(roc_auc_score(y, play.play(inputs, parameters).scores))
    assert abs(ours - joined_auc(inputs, parameters)) < 0.004

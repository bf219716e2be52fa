"""What the federated model is measured against: the guest alone, and all columns in one place.

Both are XGBoost with the job's settings, on the bin codes that the federated run uses and from its
starting point. The joined table exists only here: the demo made both tables, so it may join them.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as arrow_csv

from atoll.cli.demo.data import Shares, missing
from atoll.learning.evaluation import BinaryEvaluation, evaluate
from atoll.learning.features import binning
from atoll.learning.vertical.boosting import BoostingParameters
from atoll.learning.vertical.boosting.loss import base_margin

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """The three models on the same rows: held out, and training."""

    test: dict[str, BinaryEvaluation]
    train: dict[str, BinaryEvaluation]


@dataclass(frozen=True)
class Scored:
    """A file of scores: ids (Arrow binary), labels and probabilities."""

    ids: Any
    label: Floats
    score: Floats


def read_scores(path: Path) -> Scored:
    """Read what the guest kept of a scoring."""
    options = arrow_csv.ConvertOptions(
        column_types={"id": pa.binary(), "label": pa.float64(), "score": pa.float64()}
    )
    found = arrow_csv.read_csv(io.BytesIO(path.read_bytes()), convert_options=options)
    return Scored(
        found.column("id"), found.column("label").to_numpy(), found.column("score").to_numpy()
    )


def require() -> None:
    """Refuse early what would fail late. Errors: ATL-CLI-001 XGBoost is missing."""
    if importlib.util.find_spec("xgboost") is None:
        raise missing("xgboost")


def compare(shares: Shares, outputs: Path, parameters: BoostingParameters) -> Compared:
    """Train the two references and evaluate all three. Errors: ATL-CLI-001 without XGBoost."""
    train = read_scores(outputs / "boosting" / "scores.csv")
    test = read_scores(outputs / "prediction" / "scores.csv")
    scores = {"federated": (train.score, test.score)}
    own = [shares.guest]
    for name, tables in (("guest", own), ("centralised", [*own, shares.host])):
        fitted = [table.align(train.ids).matrix() for table in tables]
        held = [table.align(test.ids).matrix() for table in tables]
        bins = [binning.fit(features, parameters.bins) for features in fitted]
        scores[name] = _boost(_codes(bins, fitted), _codes(bins, held), train.label, parameters)
    order = ("guest", "federated", "centralised")
    return Compared(
        test={name: evaluate(test.label, scores[name][1]) for name in order},
        train={name: evaluate(train.label, scores[name][0]) for name in order},
    )


def figures(shares: Shares, compared: Compared) -> dict[str, Any]:
    """Return rows, columns and how good the three models are, as the demo prints it."""
    test, train = compared.test, compared.train
    return {
        "rows": {
            "guest": shares.guest.num_rows,
            "host": shares.host.num_rows,
            "common": test["federated"].rows + train["federated"].rows,
        },
        "columns": {"guest": len(shares.guest.columns), "host": len(shares.host.columns)},
        "auc": {name: entry.auc for name, entry in test.items()},
        "ks": {name: entry.ks for name, entry in test.items()},
        "auc_train": {name: entry.auc for name, entry in train.items()},
    }


def _codes(bins: list[binning.Binning], features: list[Floats]) -> Floats:
    parts = []
    for fitted, values in zip(bins, features, strict=True):
        codes = fitted.encode(values).astype(np.float64)
        codes[codes == fitted.missing] = np.nan
        parts.append(codes)
    return np.concatenate(parts, axis=1)


def _boost(
    train: Floats, test: Floats, label: Floats, parameters: BoostingParameters
) -> tuple[Floats, Floats]:
    """Return XGBoost's probabilities for the training and the held-out rows."""
    import xgboost

    margin = base_margin(label, parameters.base_score)
    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        # Each code is a bin of its own.
        "max_bin": 256,
        "max_depth": parameters.depth,
        "eta": parameters.learning_rate,
        "lambda": parameters.reg_lambda,
        "gamma": parameters.gamma,
        "min_child_weight": parameters.minimum_child_weight,
        "base_score": float(1.0 / (1.0 + np.exp(-margin))),
        "verbosity": 0,
    }
    matrix = xgboost.DMatrix(train, label)
    model = xgboost.train(settings, matrix, parameters.trees)
    return (
        np.asarray(model.predict(matrix), dtype=np.float64),
        np.asarray(model.predict(xgboost.DMatrix(test)), dtype=np.float64),
    )

"""Boosted trees over rows of ten clients, against XGBoost on the pooled rows in the same run.

Each line carries the AUC on rows that neither model saw; that of XGBoost also with our bins
(``auc_same_bins``), since other bins alone move it as far as the two differ. A seeded table of 20
columns, and FATE's defaults of credit cards by three owners where ``ATOLL_DATA`` names the folder.
One thread each. Alone: ``python -m bench.horizontal_trees``.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from atoll.core.random import PublicRandom
from atoll.learning.horizontal.boosting import Boosting, Forest
from atoll.learning.horizontal.features import TableColumns, run_step
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.simulation import SimulatedClients
from bench.harness import Options, complete
from bench.histogram import timed

ROWS, CLIENTS = 20_000, 10
Table = np.ndarray[Any, Any]


def boosting(options: Options) -> Iterator[dict[str, Any]]:
    """Yield horizontal.boosting and its reference for each data set at hand."""
    rows = options.rows or ROWS
    step = Boosting(trees=options.trees or 40, depth=options.depth or 5, bins=options.bins or 64)
    yield from _both("classification", step, *_classification(rows))
    folder = Path(os.environ.get("ATOLL_DATA", "")) / "fate"
    if (folder / "default_credit_homo_test.csv").exists():
        slow = step.model_copy(update={"learning_rate": 0.1})
        yield from _both("default_credit", slow, *_credit(folder))


def _both(
    name: str, step: Boosting, data: list[ClientRows], x: Table, y: Table
) -> Iterator[dict[str, Any]]:
    from sklearn.metrics import roc_auc_score

    rows = sum(len(part) for part in data)
    params = {
        "data": name,
        "rows": rows,
        "columns": x.shape[1],
        "clients": len(data),
        **step.model_dump(include={"trees", "depth", "bins", "learning_rate"}),
    }
    forest, ours = timed(partial(_ours, step, data, x.shape[1]))
    score = float(roc_auc_score(y, forest.predict(x)))
    yield {"name": "horizontal.boosting", "params": params, **ours, "auc": score}
    train = np.concatenate([part.rows for part in data])
    label = np.concatenate([part.targets for part in data])
    scores = []
    for coded in (lambda rows: rows, partial(_codes, forest)):
        found, seconds = timed(partial(_xgboost, step, coded(train), label))
        scores.append((float(roc_auc_score(y, found.predict(_matrix(coded(x))))), seconds))
    (own, seconds), (same, _) = scores
    line = {"name": "horizontal.boosting.reference", "params": params, **seconds}
    yield line | {"auc": own, "auc_same_bins": same}


def _ours(step: Boosting, data: list[ClientRows], columns: int) -> Forest:
    public = PublicRandom(bytes(32), fixed=True)
    clients = SimulatedClients(step, TableColumns(columns), len(data), data.__getitem__, public)
    return step.forest(run_step(step, clients, columns, public))


def _xgboost(step: Boosting, rows: Table, labels: Table) -> Any:
    import xgboost

    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": step.depth,
        "eta": step.learning_rate,
        "lambda": step.reg_lambda,
        "min_child_weight": step.minimum_child_weight,
        "max_bin": step.bins,
        "nthread": 1,
    }
    return xgboost.train(settings, _matrix(rows, labels), step.trees)


def _matrix(rows: Table, labels: Table | None = None) -> Any:
    import xgboost

    return xgboost.DMatrix(rows, labels)


def _codes(forest: Forest, rows: Table) -> Table:
    """Return each value's bin as a number: so XGBoost has the forest's bins, and missing values."""
    codes = forest.binning.encode(rows)
    return np.where(codes == forest.binning.missing, np.nan, codes.astype(np.float64))


def _classification(rows: int) -> tuple[list[ClientRows], Table, Table]:
    from sklearn.datasets import make_classification

    x, y = make_classification(
        2 * rows, 20, n_informative=10, n_redundant=4, flip_y=0.05, class_sep=0.7, random_state=7
    )
    pieces = zip(np.array_split(x[:rows], CLIENTS), np.array_split(y[:rows], CLIENTS), strict=True)
    return [ClientRows(a, b.astype(np.float64)) for a, b in pieces], x[rows:], y[rows:]


def _credit(folder: Path) -> tuple[list[ClientRows], Table, Table]:
    names = ("guest", "host_1", "host_2")
    data = [ClientRows(*_table(folder / f"default_credit_homo_{name}.csv")) for name in names]
    return data, *_table(folder / "default_credit_homo_test.csv")


def _table(path: Path) -> tuple[Table, Table]:
    with path.open() as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or () if name.startswith("x")]
        values = np.array([[float(line[name]) for name in ("y", *names)] for line in reader])
    return values[:, 1:], values[:, 0]


if __name__ == "__main__":
    for measured in boosting(Options()):
        print(json.dumps(complete(measured)))

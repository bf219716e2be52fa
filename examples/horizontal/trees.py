"""Boosted trees of ten clients by sums of histograms, beside trees of all rows in one place."""

from __future__ import annotations

import numpy as np
import xgboost
from common import Claim, Example, main, public
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score

from atoll.learning.horizontal.boosting import Boosting
from atoll.learning.horizontal.features import TableColumns, run_step
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.simulation import SimulatedClients

STEP = Boosting(trees=30, depth=4, bins=64)
ROWS, COLUMNS, CLIENTS = 8000, 12, 10


def run(seed: int) -> Claim:
    """Compare the AUC on held-out rows."""
    x, y = make_classification(
        2 * ROWS, COLUMNS, n_informative=8, flip_y=0.05, class_sep=0.7, random_state=seed
    )
    order = np.argsort(x[:ROWS, 0])
    data = [ClientRows(x[part], y[part].astype(float)) for part in np.array_split(order, CLIENTS)]
    columns = TableColumns(COLUMNS)
    clients = SimulatedClients(STEP, columns, CLIENTS, data.__getitem__, public(seed))
    forest = STEP.forest(run_step(STEP, clients, COLUMNS, public(seed)))
    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": STEP.depth,
        "eta": STEP.learning_rate,
        "max_bin": STEP.bins,
        "nthread": 2,
    }
    pooled = xgboost.train(settings, xgboost.DMatrix(x[:ROWS], y[:ROWS]), STEP.trees)
    ours = float(roc_auc_score(y[ROWS:], forest.predict(x[ROWS:])))
    other = float(roc_auc_score(y[ROWS:], pooled.predict(xgboost.DMatrix(x[ROWS:]))))
    return Claim({"by sums": ours, "XGBoost on all rows": other}, ours > other - 0.002)


TREES = Example(
    "Trees by sums of ten clients are worth trees of all rows in one place",
    "Chen, Guestrin 2016",
    "AUC on held-out rows",
    run,
)

if __name__ == "__main__":
    main(TREES)

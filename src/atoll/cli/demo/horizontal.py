"""``atoll demo --horizontal``: four owners of digits that look different, and one aggregator.

Everything goes over ``atoll.sdk``, as anybody could write it: each owner's node holds its own
digits, the aggregator's node holds none and sees sums alone. With privacy it sees sums with noise,
and no figure: how good the model is the owners' own reports say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atoll.cli.demo.data import LABEL, missing
from atoll.cli.demo.progress import Display
from atoll.core.report import LinePanel, Report
from atoll.learning.horizontal.partition import dirichlet
from atoll.sdk import Client, Job, Pipeline
from atoll.table import Table, write_csv

HUB = "hub"
OWNERS = ("east", "north", "south", "west")
ALGORITHMS = ("fedavg", "scaffold")
# What a row of an owner is protected by in the run with privacy.
EPSILON = 3.0
PRIVATE: Mapping[str, Any] = {
    "algorithm": "fedsgd",
    "learning_rate": 4.0,
    "privacy": {"epsilon": EPSILON},
}
TABLE = "digits"
CLASSES = 10
_SKEW = 0.3
_HELD_OUT = 0.2
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Digits:
    """Each owner's rows for training and for the evaluation."""

    train: Mapping[str, Table]
    test: Mapping[str, Table]

    @property
    def classes(self) -> dict[str, list[int]]:
        """How many rows of each digit each owner trains on."""
        return {
            owner: np.bincount(table.label().astype(int), minlength=CLASSES).tolist()
            for owner, table in self.train.items()
        }


def digits(seed: int) -> Digits:
    """Share scikit-learn's digits out so that each owner has mostly some of the classes.

    Errors: ATL-CLI-001 scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise missing("scikit-learn") from error
    found = load_digits()
    rows, labels = np.asarray(found.data, np.float64) / 16, np.asarray(found.target, np.int64)
    rng = np.random.default_rng([seed, 2])
    parts = dirichlet(labels, len(OWNERS), _SKEW, rng)
    train, test = {}, {}
    for owner, part in zip(OWNERS, parts, strict=True):
        mixed = rng.permutation(part)
        held = round(len(part) * _HELD_OUT)
        train[owner] = _table(owner, mixed[held:], rows, labels)
        test[owner] = _table(owner, mixed[:held], rows, labels)
    return Digits(train, test)


def _table(owner: str, at: Ints, rows: npt.NDArray[np.float64], labels: Ints) -> Table:
    ids = pa.array([f"{owner}-{row:05d}" for row in at])
    columns = {f"pixel{column:02d}": pa.array(rows[at, column]) for column in range(rows.shape[1])}
    label = pa.array(labels[at].astype(np.float64))
    return Table.from_columns(ids, {**columns, LABEL: label}, label=LABEL)


def bring(clients: Mapping[str, Client], shares: Digits, folder: Path) -> None:
    """Register each owner's tables at its node, and grant them for this training alone."""
    for owner in OWNERS:
        for name, table in ((TABLE, shares.train[owner]), (f"{TABLE}-test", shares.test[owner])):
            file = folder / owner / "data" / f"{name}.csv"
            write_csv(table, file)
            clients[owner].data.register(name, str(file), id="id", label=LABEL)
            clients[owner].data.grant(
                name,
                partners=[HUB, *(other for other in OWNERS if other != owner)],
                automatic=True,
                columns=["*"],
                components=["reader", "horizontal"],
                roles=["client"],
            )


def pipeline(name: str, rounds: int, seed: int, chosen: Mapping[str, Any]) -> Pipeline:
    """Return the job: read, train, evaluate in each round on all owners' held-out rows."""
    p = Pipeline(f"demo-{name}", aggregator=HUB, client=list(OWNERS), seed=seed)
    train = p.reader(tables=dict.fromkeys(OWNERS, TABLE), label=LABEL)
    test = p.reader(tables=dict.fromkeys(OWNERS, f"{TABLE}-test"), label=LABEL)
    parameters = {
        "family": "softmax",
        "classes": CLASSES,
        "rounds": rounds,
        "epochs": 5,
        "learning_rate": 0.2,
        "weighting": "equal",
        "minimum_clients": len(OWNERS),
        **chosen,
    }
    p.horizontal(train=train, validation=test, **parameters)
    return p


def run(
    clients: Mapping[str, Client], job: Pipeline, shown: Display
) -> tuple[Job, dict[str, Any], Report]:
    """Run a job at the aggregator's node; return it, what it took and its report."""
    started = time.monotonic()
    submitted = clients[HUB].jobs.submit(job)
    for event in submitted.stream():
        shown(HUB, event)
    done = submitted.wait().check()
    seconds = time.monotonic() - started
    report = done.report("horizontal")
    traffic = [line for line in done.traffic().items if line.step == "horizontal"]
    figures = {
        "seconds": round(seconds, 3),
        "bytes_sent": sum(line.bytes_sent for line in traffic),
        "bytes_received": sum(line.bytes_received for line in traffic),
    }
    return done, figures, report


def curves(report: Report) -> dict[str, Any]:
    """Return accuracy and loss of all owners together, from the aggregator's report."""
    accuracy, loss = (_curve(report, title) for title in ("Accuracy", "Loss"))
    return {"accuracy": round(accuracy[-1], 4), "loss": round(loss[-1], 4), "curve": accuracy}


def owners_curves(clients: Mapping[str, Client], job: str, shares: Digits) -> dict[str, Any]:
    """Return the same from the owners' own reports, which the demo alone can put together."""
    rows = np.array([shares.test[owner].num_rows for owner in OWNERS], np.float64)
    reports = [clients[owner].jobs.get(job).report("horizontal") for owner in OWNERS]
    accuracy, loss = (
        np.average([_curve(report, title) for report in reports], axis=0, weights=rows)
        for title in ("Accuracy", "Loss")
    )
    return {
        "accuracy": round(float(accuracy[-1]), 4),
        "loss": round(float(loss[-1]), 4),
        "curve": accuracy.tolist(),
    }


def epsilons(report: Report) -> dict[str, list[float]]:
    """Return ε after each round, by against whom, from the aggregator's report."""
    return {line.name: list(line.y) for line in _panel(report, "Epsilon spent").series}


def _panel(report: Report, title: str) -> LinePanel:
    return next(p for p in report.panels if isinstance(p, LinePanel) and p.title == title)


def _curve(report: Report, title: str) -> list[float]:
    return list(_panel(report, title).series[0].y)

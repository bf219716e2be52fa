"""The tables of the demo: a real (or synthetic) one, cut by columns, a tenth of rows dropped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atoll.jobs.errors import EnvironmentFault, NotFoundError
from atoll.table import Table, read_csv

GUEST, HOST = "guest-bank", "host-shop"
LABEL = "y"
_DROPPED = 0.1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shares:
    """The table of each party, and what it was made from."""

    guest: Table
    host: Table
    about: str

    @property
    def tables(self) -> dict[str, Table]:
        """The table of each party by its name."""
        return {GUEST: self.guest, HOST: self.host}


def make(data: str, rows: int, columns: tuple[int, int], seed: int) -> Shares:
    """Make both parties' tables.

    ``columns`` is for synthetic data. Errors: ATL-CLI-001 scikit-learn is missing, ATL-CLI-002 the
    credit table is not there.
    """
    match data:
        case "breast":
            whole, about = _breast(), "breast cancer (scikit-learn)"
        case "credit":
            whole, about = _credit(), "default of credit card clients"
        case _:
            whole, about = _synthetic(rows, columns, seed), f"synthetic, {rows} rows"
    rng = np.random.default_rng([seed, 1])
    return Shares(_drop(whole[0], rng), _drop(whole[1], rng), about)


def _drop(table: Table, rng: np.random.Generator) -> Table:
    """Take nine tenths of the rows, in an order of this party's own."""
    count = table.num_rows
    return table.take(rng.permutation(count)[: count - round(count * _DROPPED)])


def _named(ids: pa.Array, features: Floats, names: Sequence[str], label: Floats | None) -> Table:
    columns = {name: pa.array(features[:, at]) for at, name in enumerate(names)}
    if label is not None:
        columns[LABEL] = pa.array(label)
    return Table.from_columns(ids, columns, label=None if label is None else LABEL)


def _ids(rows: int) -> pa.Array:
    return pa.array([f"person-{at:08d}" for at in range(rows)])


def _breast() -> tuple[Table, Table]:
    """The guest gets the ten means and the label, the host the errors and the worst values."""
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise missing("scikit-learn") from error
    whole = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in whole.feature_names]
    features = np.asarray(whole.data, dtype=np.float64)
    # In the data 0 means malignant; what is to be found is usually called 1.
    label = 1.0 - np.asarray(whole.target, dtype=np.float64)
    ids = _ids(len(label))
    return (
        _named(ids, features[:, :10], names[:10], label),
        _named(ids, features[:, 10:], names[10:], None),
    )


def _credit() -> tuple[Table, Table]:
    """FATE's columns per side: 13 and the label at the guest, 10 at the host."""
    folder = os.environ.get("ATOLL_DATA")
    files = [
        Path(folder or "") / "fate" / f"default_credit_hetero_{role}.csv"
        for role in ("guest", "host")
    ]
    if not folder or not all(path.is_file() for path in files):
        raise NotFoundError(
            "ATL-CLI-002",
            "the credit table is not there",
            place=str(files[0]) if folder else "ATOLL_DATA",
            hint="set ATOLL_DATA to the folder with fate/default_credit_hetero_guest.csv and "
            "…_host.csv, or use --data breast",
        )
    return read_csv(files[0], label=LABEL), read_csv(files[1])


def _synthetic(rows: int, columns: tuple[int, int], seed: int) -> tuple[Table, Table]:
    """Normal columns; the label depends on sums and products within and across the parties."""
    rng = np.random.default_rng([seed, 0])
    own, theirs = columns
    features = rng.normal(size=(rows, own + theirs))
    features[rng.random(features.shape) < 0.01] = np.nan
    weights = rng.normal(size=own + theirs) / np.sqrt(np.arange(own + theirs) % own + 1.0)
    clean = np.nan_to_num(features)
    score = clean @ weights + clean[:, 0] * clean[:, own] + rng.logistic(size=rows)
    label = (score > np.median(score)).astype(np.float64)
    ids = _ids(rows)
    guest = [f"g{at}" for at in range(own)]
    host = [f"h{at}" for at in range(theirs)]
    return (
        _named(ids, features[:, :own], guest, label),
        _named(ids, features[:, own:], host, None),
    )


def missing(package: str) -> EnvironmentFault:
    """Report that a package of the demo's extra is not installed."""
    return EnvironmentFault(
        "ATL-CLI-001",
        f"the demo needs {package}, which is not installed",
        hint="pip install 'atoll[demo]'",
    )

"""Traces out of a table: what was measured of real machines."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from atoll.core.errors import DataError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.traces import Profile, Traces
from atoll.table import sources
from atoll.table.table import Table

_COLUMNS = ("seconds_per_step", "down", "up", "period", "start", "online", "failure")


def profiles_of(table: Table) -> Callable[[int], Profile]:
    """Return profiles by number from a table: a row a client, repeated from the first on.

    Columns are the figures of ``Profile`` by name, only ``seconds_per_step`` must be there. Errors:
    ATL-HOR-042 another column, a value missing, not finite or out of range.
    """
    names = [name for name in _COLUMNS if name in table.columns]
    unknown = sorted(set(table.columns) - set(_COLUMNS))
    if unknown or "seconds_per_step" not in names or not table.num_rows:
        raise _unusable(f"it has other columns than {', '.join(_COLUMNS)}", unknown)
    values = table.matrix(names)
    least = {"seconds_per_step": 1e-12, "down": 1e-12, "up": 1e-12}
    for name, column in zip(names, values.T, strict=True):
        most = 1.0 if name == "failure" else 1e15
        fits = (column >= least.get(name, 0.0)) & (column <= most)
        if not fits.all():
            raise _unusable(f"column {name!r} is out of range", [f"row {int(np.argmin(fits)) + 1}"])

    def profile(number: int) -> Profile:
        row = values[number % len(values)].tolist()
        return Profile(**dict(zip(names, row, strict=True)))

    return profile


def read_traces(
    path: str | os.PathLike[str], public: PublicRandom, repeated: float = 0.0
) -> Traces:
    """Read traces from a CSV, Parquet or Arrow file whose id column is ``client``.

    Errors: ATL-HOR-042, and those of the reader of tables (ATL-TAB).
    """
    table = sources.read(path, id_column="client")
    return Traces(public, profiles_of(table), repeated)


def _unusable(why: str, place: list[str]) -> DataError:
    return DataError(
        "ATL-HOR-042",
        f"the table of traces cannot be used: {why}",
        place=place[0] if place else None,
        hint="a row holds one client's seconds_per_step, and what else of a profile is known",
    )

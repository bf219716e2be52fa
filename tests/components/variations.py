"""Tables of three parties, and the ways in which one of them may be other than it was."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from atoll.core.names import Role

TWO: Mapping[str, Role] = {"bank": Role.GUEST, "shop": Role.HOST}
THREE: Mapping[str, Role] = {**TWO, "mill": Role.HOST}
GUEST, LABEL = "bank", "y"
# The first column is the one that is renamed, taken out or made text; the last one holds whole
# numbers as fractions.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "bank": ("age", "debt", "loans"),
    "mill": ("hours", "load", "parts"),
    "shop": ("spent", "visits", "items"),
}
MORE = "extra"
# Each table: number of rows, number of the first, and whether it is known how they turned out.
TABLES: Mapping[str, tuple[int, int, bool]] = {
    "people": (120, 0, True),
    "later": (40, 300, True),
    "fresh": (40, 400, False),
}
# The row that is taken out, and before which another one is put.
_AT = 17

Tables = Mapping[str, Mapping[str, Any]]


def renamed(column: str) -> str:
    return f"{column}_2024"


@functools.cache
def table(name: str) -> Mapping[str, Any]:
    """Return each party's Arrow table of the same rows, by rising id; the guest's has the label."""
    rows, start, labelled = TABLES[name]
    rng = np.random.default_rng(start + 5)
    ids = pa.array([f"person-{at:04d}" for at in range(start, start + rows)])
    x = {party: rng.normal(size=(rows, 3)) for party in COLUMNS}
    margin = 1.5 * x["bank"][:, 0] + 2 * x["shop"][:, 0] + 1.5 * x["mill"][:, 0]
    y = (margin + 0.5 * rng.normal(size=rows) > 0).astype(float)
    found = {}
    for party, (first, second, whole) in COLUMNS.items():
        values = x[party]
        columns = {"id": ids, first: values[:, 0], second: values[:, 1]}
        if party == GUEST and labelled:
            columns[LABEL] = y
        found[party] = pa.table(columns | {whole: np.round(8 * values[:, 2])})
    return found


@dataclass(frozen=True)
class Variation:
    """What becomes of a table, given the names of a party's columns in it."""

    change: Callable[[Any, tuple[str, ...]], Any]
    rows: bool = False


def _cast(data: Any, name: str, kind: Any) -> Any:
    at = data.schema.get_field_index(name)
    return data.set_column(at, name, data.column(name).cast(kind))


def _more(data: Any, names: tuple[str, ...]) -> Any:
    values = np.random.default_rng(9).normal(size=data.num_rows)
    return data.add_column(0, MORE, pa.array(values + data.column(names[0]).to_numpy()))


def _shuffled(data: Any, names: tuple[str, ...]) -> Any:
    return data.take(np.random.default_rng(3).permutation(data.num_rows))


def added_id(data: Any) -> tuple[str, str]:
    """Return the id that "id more" adds, and that of the row whose values it has."""
    known = data.column("id")[_AT].as_py()
    return f"{known}b", known


def lost_id(data: Any) -> str:
    """Return the id that "id less" takes out."""
    return str(data.column("id")[_AT].as_py())


def _id_more(data: Any, names: tuple[str, ...]) -> Any:
    row = data.slice(_AT, 1)
    at = data.schema.get_field_index("id")
    row = row.set_column(at, "id", pa.array([added_id(data)[0]]))
    return pa.concat_tables([data.slice(0, _AT), row, data.slice(_AT)])


def _id_less(data: Any, names: tuple[str, ...]) -> Any:
    return pa.concat_tables([data.slice(0, _AT), data.slice(_AT + 1)])


def _rename(data: Any, names: tuple[str, ...]) -> Any:
    return data.rename_columns(
        [renamed(name) if name == names[0] else name for name in data.column_names]
    )


VARIATIONS: Mapping[str, Variation] = {
    "reversed": Variation(lambda data, names: data.select(data.column_names[::-1])),
    "renamed": Variation(_rename),
    "more": Variation(_more),
    "less": Variation(lambda data, names: data.drop_columns([names[0]])),
    "whole": Variation(lambda data, names: _cast(data, names[-1], pa.int64())),
    "text": Variation(lambda data, names: _cast(data, names[0], pa.string())),
    "shuffled": Variation(_shuffled, rows=True),
    "id more": Variation(_id_more, rows=True),
    "id less": Variation(_id_less, rows=True),
}


def tables(
    parties: Mapping[str, Role], names: tuple[str, ...], changes: Mapping[tuple[str, str], str]
) -> Tables:
    """Return each party's tables by name; ``changes`` are variations by party and table."""
    found: dict[str, dict[str, Any]] = {party: {} for party in parties}
    for party in parties:
        for name in names:
            data = table(name)[party]
            variation = changes.get((party, name))
            if variation is not None:
                data = VARIATIONS[variation].change(data, COLUMNS[party])
            found[party][name] = data
    return found

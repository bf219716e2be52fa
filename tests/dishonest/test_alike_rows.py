"""Whoever proposes steps that make all but few rows of a client alike before a sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.horizontal import HORIZONTAL
from atoll.components.horizontal_statistics import HORIZONTAL_STATISTICS
from atoll.components.scale import SCALE
from atoll.components.trial import Case, play
from atoll.components.union import UNION
from atoll.core.names import Role
from atoll.table import Table

CLIENTS = ("alpha", "bravo", "carol")
ROLES = dict.fromkeys(CLIENTS, Role.CLIENT)
COLUMNS = 4


def rows(party: str, count: int, first: int = 0) -> Table:
    rng = np.random.default_rng([first, *party.encode()])
    columns = {f"x{at}": pa.array(rng.normal(size=count)) for at in range(COLUMNS)}
    ids = pa.array([f"{party}-{first + at}" for at in range(count)])
    label = pa.array(rng.integers(0, 2, count).astype(float))
    return Table.from_columns(ids, {**columns, "y": label}, label="y")


def scaled(tables: Mapping[str, Table], **parameters: Any) -> dict[str, Table]:
    case = Case({p: {"table": table} for p, table in tables.items()}, parameters, roles=ROLES)
    done = play(SCALE, case).check()
    return {p: done.results[p].outputs["table"] for p in tables}


def united(few: Mapping[str, Table], *more: Mapping[str, Table]) -> dict[str, Table]:
    parts = (few, *more)
    given = {p: {f"tables.{at}": part[p] for at, part in enumerate(parts)} for p in few}
    done = play(UNION, Case(given, {"duplicates": "error"}, roles=ROLES)).check()
    return {p: done.results[p].outputs["table"] for p in few}


def codes(tables: Mapping[str, Table], component: Any, port: str, **parameters: Any) -> set[str]:
    case = Case(
        {p: {port: table} for p, table in tables.items()},
        parameters,
        roles=ROLES | {"hub": Role.AGGREGATOR},
    )
    done = play(component, case, seed=3)
    return {getattr(done.errors.get(p), "code", "") for p in CLIENTS}


def alone(count: int) -> dict[str, Table]:
    """Return tables of which so many rows are as they were: all others are one of two rows."""
    few = {p: rows(p, count) for p in CLIENTS}
    zero = scaled({p: rows(p, 50, 100) for p in CLIENTS}, method="min-max", lower=1e9)
    five = scaled({p: rows(p, 50, 200) for p in CLIENTS}, lower=5.0, upper=5.0, with_mean=False)
    return united(few, zero, five)


@pytest.mark.parametrize(
    ("component", "port", "parameters"),
    [
        (HORIZONTAL, "train", {"family": "logistic", "algorithm": "fedsgd", "rounds": 1}),
        (HORIZONTAL_STATISTICS, "table", {}),
        (HORIZONTAL_STATISTICS, "table", {"columns": ["x1"]}),
    ],
    ids=["training", "statistics", "column"],
)
def test_a_row_that_is_left_alone_is_not_summed(
    component: Any, port: str, parameters: dict[str, Any]
) -> None:
    """The sum of a hundred rows a client was one row of each: bravo's, label and values."""
    assert codes(alone(1), component, port, **parameters) == {"ATL-HOR-162"}


def test_the_top_row_of_each_column_is_not_summed() -> None:
    """All but the greatest value of a column become 0: one round gave each one's label."""
    tables = {p: rows(p, 200) for p in CLIENTS}
    top = scaled(tables, method="min-max", bounds="quantile", lower=1 - 1 / 199)
    assert codes(top, HORIZONTAL, "train", rounds=1) == {"ATL-HOR-162"}


@pytest.mark.parametrize("tables", ["enough", "few kinds"])
def test_what_the_page_states_of_rows_that_are_enough(tables: str) -> None:
    """Ten different rows are summed, as are rows of few kinds of which none is alone."""
    if tables == "enough":
        held = alone(10)
    else:
        kinds = {p: rows(p, 60) for p in CLIENTS}
        held = scaled(kinds, lower=5.0, upper=5.0, with_mean=False)
    assert codes(held, HORIZONTAL_STATISTICS, "table") == {""}

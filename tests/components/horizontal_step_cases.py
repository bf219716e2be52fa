"""Tiny cases for the conformance suite: scaling and boosted trees over the rows of clients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from atoll.components.conformance import PARAMETERS
from atoll.components.trial import Case
from atoll.table import Table
from tests.components.horizontal_cases import CLIENTS, FOUR, held, missing, rows, with_validation

SMALL: dict[str, Any] = {"trees": 2, "depth": 2, "bins": 8, "cells": 16, "sketch_rounds": 2}
CELLS: dict[str, Any] = {"cells": 16, "range_rounds": 2}
WIDE: dict[str, Any] = {"bins": 254, "depth": 9, "loss": "softmax", "classes": 128, "trees": 1}
CLUSTERS: dict[str, Any] = {"clusters": 2, "cells": 2, "rounds": 20}
COLUMNS = 3


def endless() -> Table:
    """Return rows of which two values are further apart than doubles reach."""
    table = rows(1).to_arrow()
    at = table.column_names.index("b")
    broken = pa.array([1.7e308, -1.7e308, *np.zeros(table.num_rows - 2)])
    return Table.from_arrow(table.set_column(at, "b", broken), label="y")


def tables(**changed: Table) -> dict[str, dict[str, Any]]:
    """Return the inputs of a scaling."""
    return {name: {"table": ports["train"]} for name, ports in held(**changed).items()}


def case(
    inputs: Any,
    parameters: Any = None,
    code: str | None = None,
    unsent: frozenset[tuple[str, str]] = frozenset(),
    **sizes: int,
) -> Case:
    return Case(inputs, parameters or {}, roles=FOUR, code=code, sizes=sizes, unsent=unsent)


def scaling(
    parameters: Any = None,
    *,
    cells: int = 256,
    rounds: int = 3,
    columns: int = COLUMNS,
    **more: Any,
) -> Case:
    """Return a scaling that takes all rounds that find the range, and two more.

    The message of the last of these has the scale of the one before, whose values are not sent
    again; the result is four values a column.
    """
    cut = columns * (cells - 1)
    update = columns * (cells + 1)
    return case(
        more.pop("inputs", None) or tables(),
        parameters,
        sums=rounds + 2,
        values=rounds * update + 2 * 6 * columns,
        counts=rounds + 2,
        **{"sent": rounds * cut + (1 + 1 + 1) * columns + 4 * columns, **more},
    )


def binning(inputs: Any, parameters: Any, *, sent: int, columns: int = COLUMNS) -> Case:
    """Return a fit of at most four bins from three rounds of cells; ``sent`` was observed."""
    classes = 2 if parameters.get("evidence", True) else 1
    return case(
        inputs,
        {"cells": 16, "rounds": 3, "bins": 4, **parameters},
        sums=3 + 1,
        values=3 * columns * 17 + columns * 5 * classes,
        counts=3 + 1,
        sent=sent,
    )


def one_class(table: Table) -> Table:
    plain = table.to_arrow()
    at = plain.column_names.index("y")
    return Table.from_arrow(plain.set_column(at, "y", pa.array(np.ones(len(table)))), label="y")


def boosting(inputs: Any, parameters: Any, *, sent: int, outputs: int = 1) -> Case:
    """Return a training in which every root is split, so that each level of a tree is summed.

    ``sent`` was observed: it grows with the trees.
    """
    level, levels = 3 * COLUMNS * 9, 2 + 4
    return case(
        inputs,
        {**SMALL, **parameters},
        sums=2 + 1 + 4,
        values=2 * COLUMNS * 17 + outputs * (1 + levels * level),
        # Rows in each round, and the loss before each tree.
        counts=7 + 2,
        sent=sent,
    )


HORIZONTAL_STEP_CASES: dict[str, list[Case]] = {
    "horizontal_scale": [
        scaling(),
        scaling({**CELLS, "sum": "plain", "method": "min-max"}, cells=16, rounds=2),
        scaling({**CELLS, "columns": ["c", "a"], "missing": "mean"}, cells=16, rounds=2, columns=2),
        scaling({**CELLS, "missing": "mean"}, cells=16, rounds=2, inputs=tables(mill=missing())),
        case(
            tables(mill=missing()),
            {**CELLS, "missing": "median"},
            sums=4 + 5,
            sent=331,
        ),
        case(tables(), {"minimum_clients": 4}, "ATL-HOR-084"),
        case(tables(shop=rows(3, names="abd")), code="ATL-HOR-085"),
        case(tables(), {"columns": ["d"]}, "ATL-TAB-002"),
        case(tables(), {"columns": []}, "ATL-HOR-161"),
        case(tables(mill=endless()), {**CELLS, "method": "min-max"}, "ATL-CMP-070"),
        case(tables(), {"minimum_clients": 2}, PARAMETERS),
    ],
    "horizontal_statistics": [
        case(tables(), {**CELLS, "quantile_rounds": 2}, sums=6, sent=297),
        case(
            tables(mill=missing()),
            {**CELLS, "quantile_rounds": 1, "sum": "plain", "columns": ["c"], "quantiles": []},
            sums=5,
            values=3 * 17 + 2 * 6,
            counts=5,
            sent=64,
        ),
        case(tables(), {"minimum_clients": 4}, "ATL-HOR-084"),
        case(tables(shop=rows(3, names="abd")), code="ATL-HOR-085"),
        case(tables(), {"columns": ["d"]}, "ATL-TAB-002"),
        case(tables(), {"quantiles": [0.5, 0.5]}, PARAMETERS),
    ],
    "horizontal_binning": [
        binning(tables(), {}, sent=174),
        binning(tables(mill=missing()), {"sum": "plain", "method": "width"}, sent=174),
        binning(
            tables(mill=missing()), {"values": "index", "columns": ["c", "b"]}, sent=115, columns=2
        ),
        binning(
            tables(**{name: rows(at).without_label() for at, name in enumerate(CLIENTS)}),
            {"evidence": False, "values": "index"},
            sent=159,
        ),
        case(tables(), {"minimum_clients": 4}, "ATL-HOR-084"),
        case(tables(shop=rows(3, names="abd")), code="ATL-HOR-085"),
        case(tables(), {"columns": ["d"]}, "ATL-TAB-002"),
        case(tables(shop=rows(2).without_label()), code="ATL-PLN-009"),
        case(tables(mill=rows(1, classes=3)), code="ATL-HOR-020"),
        case(
            tables(**{name: one_class(rows(at)) for at, name in enumerate(CLIENTS)}),
            code="ATL-HOR-117",
        ),
        case(tables(), {"cells": 1 << 16, "columns": ["a"], "evidence": False}, PARAMETERS),
        case(tables(), {"minimum_clients": 2}, PARAMETERS),
    ],
    "horizontal_kmeans": [
        case(tables(), CLUSTERS, sums=7, sent=54),
        case(
            tables(),
            {**CLUSTERS, "sum": "plain", "columns": ["b", "a"], "cells": 1},
            sums=8,
            values=75,
            counts=8,
            sent=36,
        ),
        case(tables(), {"minimum_clients": 4}, "ATL-HOR-084"),
        case(tables(shop=rows(3, names="abd")), code="ATL-HOR-085"),
        case(tables(), {"columns": ["d"]}, "ATL-TAB-002"),
        case(tables(mill=missing()), CLUSTERS, "ATL-HOR-112"),
        case(tables(), {**CLUSTERS, "rounds": 2}, "ATL-HOR-102"),
        case(tables(), {**CLUSTERS, "added": "c"}, "ATL-MOD-003"),
        case(tables(), {**CLUSTERS, "added": "id"}, "ATL-MOD-003"),
        case(tables(), {"minimum_clients": 2}, PARAMETERS),
    ],
    "horizontal_boosting": [
        boosting(held(), {}, sent=249),
        boosting(with_validation(), {"sum": "plain"}, sent=249),
        boosting(held(mill=missing()), {"row_sample": 0.5, "minimum_leaf_rows": 5}, sent=249),
        boosting(held(), {"loss": "squared", "sum": "plain"}, sent=249),
        boosting(
            held(mill=rows(1, classes=3)), {"loss": "softmax", "classes": 3}, sent=590, outputs=3
        ),
        case(held(), {"minimum_clients": 4}, "ATL-HOR-084"),
        case(held(**{name: rows(1).select([]) for name in CLIENTS}), SMALL, "ATL-HOR-161"),
        case(held(shop=rows(3, names="abd")), SMALL, "ATL-HOR-085"),
        case(held(mill=rows(1, classes=3)), SMALL, "ATL-HOR-020"),
        case(
            held(mill=rows(1, classes=3)), {**SMALL, "loss": "squared", "bound": 1.5}, "ATL-HOR-104"
        ),
        case(
            held(**{name: rows(1, names="abcdef") for name in CLIENTS}),
            {**SMALL, **WIDE},
            "ATL-HOR-160",
        ),
        case(held(), {"minimum_clients": 2}, PARAMETERS),
        case(held(), {"trees": 4096, "depth": 10}, PARAMETERS),
    ],
}

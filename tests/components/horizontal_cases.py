"""Tiny cases for the conformance suite: horizontal training, and predictions of own rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from atoll.components.conformance import PARAMETERS
from atoll.components.trial import Case
from atoll.core.names import Role
from atoll.models.network.part import NetworkPart
from atoll.models.network.spec import Family, NetworkSpec
from atoll.table import Table

CLIENTS = ("bank", "mill", "shop")
FOUR: Mapping[str, Role] = {
    "hub": Role.AGGREGATOR,
    **dict.fromkeys(CLIENTS, Role.CLIENT),
}


def rows(seed: int, *, count: int = 40, classes: int = 2, names: str = "abc") -> Table:
    """Return a client's table: the label follows from the first column."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, len(names)))
    label = np.clip(np.floor(values[:, 0] + classes / 2), 0, classes - 1)
    columns = {name: pa.array(values[:, at]) for at, name in enumerate(names)}
    ids = pa.array([f"person-{seed}-{at:04d}" for at in range(count)])
    return Table.from_columns(ids, {**columns, "y": pa.array(label)}, label="y")


def held(**changed: Table) -> dict[str, dict[str, Any]]:
    """Return the tables of three clients; ``changed`` takes the place of some."""
    tables = {name: rows(at) for at, name in enumerate(CLIENTS)}
    return {
        "hub": {"train": None},
        **{n: {"train": table} for n, table in {**tables, **changed}.items()},
    }


def with_validation() -> dict[str, dict[str, Any]]:
    made = held()
    more = {name: rows(at + 9, count=15) for at, name in enumerate(CLIENTS)}
    return {n: {**ports, "validation": more.get(n)} for n, ports in made.items()}


def missing() -> Table:
    table = rows(1).to_arrow()
    at = table.column_names.index("b")
    broken = pa.array([None, *np.zeros(table.num_rows - 1)], pa.float64())
    return Table.from_arrow(table.set_column(at, "b", broken), label="y")


PLAIN: dict[str, Any] = {"sum": "plain", "rounds": 3}
SHORT: dict[str, Any] = {"rounds": 2, "evaluate_every": 0}
WIDE: dict[str, Any] = {"hidden": [5], "family": "softmax", "classes": 3, "rounds": 2}

PRIVATE: dict[str, Any] = {"algorithm": "fedsgd", "privacy": {"epsilon": 3.0}}
CENTRAL: dict[str, Any] = {"epsilon": 3.0, "noise": "central"}
LOCAL: dict[str, Any] = {"epsilon": 3.0, "noise": "local", "relation": "replace"}
IMAGES: dict[str, Any] = {"image": [3, 1, 1], "convolutions": [{"channels": 2, "kernel": 2}]}
OF_CLIENTS: dict[str, Any] = {"epsilon": 20.0, "unit": "client"}


def part(party: str, classes: int = 2) -> NetworkPart:
    family: Family = "logistic" if classes == 2 else "softmax"
    spec = NetworkSpec(columns=3, family=family, classes=classes)
    return NetworkPart(party, ("c", "b", "a"), spec, np.arange(spec.size, dtype=np.float32))


def scored(model: Any = None, names: str = "abc") -> dict[str, dict[str, Any]]:
    return {
        "bank": {"model": model or part("bank"), "table": rows(1, names=names)},
        "shop": {"model": part("shop", 3), "table": rows(2)},
    }


def horizontal_case(inputs: Any, parameters: Any = None, code: str | None = None) -> Case:
    return Case(inputs, parameters or {}, roles=FOUR, code=code)


HORIZONTAL_CASES: dict[str, list[Case]] = {
    "horizontal": [
        horizontal_case(held(), {"rounds": 2}),
        horizontal_case(with_validation(), PLAIN),
        horizontal_case(held(), {**SHORT, "algorithm": "scaffold", "weighting": "equal"}),
        horizontal_case(held(), {**SHORT, "algorithm": "fednova"}),
        horizontal_case(held(), {**PLAIN, "algorithm": "qfedavg", "fairness": 2.0}),
        horizontal_case(held(), {**SHORT, "algorithm": "fedsgd", "clip": 1.0}),
        horizontal_case(held(), {**PLAIN, "algorithm": "fedadam", "server_rate": 0.01}),
        horizontal_case(held(), {**PLAIN, **WIDE, "algorithm": "fedprox"}),
        horizontal_case(held(), {**SHORT, "family": "poisson"}),
        horizontal_case(held(), {**PLAIN, "family": "linear", "l2": 0.1}),
        horizontal_case(held(), {**PLAIN, "rule": "median"}),
        horizontal_case(held(), {**PLAIN, "rule": "trimmed_mean", "poisoned": 0.3}),
        horizontal_case(held(), {**PLAIN, "rule": "krum", "poisoned": 0.0, "algorithm": "fedsgd"}),
        horizontal_case(
            held(), {**PLAIN, "rule": "median", "algorithm": "fednova"}, code="ATL-HOR-109"
        ),
        horizontal_case(held(), {"rule": "median"}, code="ATL-HOR-110"),
        horizontal_case(held(), {**PLAIN, "rule": "multi_krum"}, code="ATL-HOR-111"),
        horizontal_case(held(), {**PLAIN, "poisoned": 0.1}, code=PARAMETERS),
        horizontal_case(with_validation(), {**SHORT, **PRIVATE}),
        horizontal_case(held(), {**SHORT, **PRIVATE, "privacy": CENTRAL}),
        horizontal_case(held(), {**PLAIN, **PRIVATE, "privacy": LOCAL}),
        horizontal_case(held(), {**SHORT, "weighting": "equal", "privacy": OF_CLIENTS}),
        horizontal_case(held(), {**PRIVATE, "algorithm": "fedavg"}, code="ATL-HOR-140"),
        horizontal_case(held(), {"privacy": {}}, code=PARAMETERS),
        horizontal_case(held(), {"privacy": {"epsilon": 0}}, code=PARAMETERS),
        horizontal_case(held(), {**SHORT, "compression": "random_k", "compression_share": 0.5}),
        horizontal_case(held(), {**SHORT, **WIDE, "compression": "rotated", "clip": 1.0}),
        horizontal_case(held(), {**PLAIN, **WIDE, "compression": "top_k"}),
        horizontal_case(held(), {**PLAIN, "compression": "quantised", "compression_bits": 1}),
        horizontal_case(held(), {**PLAIN, "compression": "rotated", "compression_bits": 4}),
        horizontal_case(held(), {**SHORT, "algorithm": "scaffold", "down_bits": 4}),
        horizontal_case(held(), {**PLAIN, **WIDE, "compression": "quantised", "down_bits": 2}),
        horizontal_case(held(), {"compression": "top_k"}, code="ATL-HOR-050"),
        horizontal_case(held(), {"compression": "rotated"}, code="ATL-HOR-123"),
        horizontal_case(held(), {"compression_share": 0.5}, code=PARAMETERS),
        horizontal_case(held(), {"compression_bits": 4}, code=PARAMETERS),
        horizontal_case(held(), {"minimum_clients": 4}, code="ATL-HOR-084"),
        horizontal_case(held(shop=rows(3, names="abd")), code="ATL-HOR-085"),
        horizontal_case(held(mill=missing()), code="ATL-HOR-083"),
        horizontal_case(held(mill=rows(1, classes=3)), code="ATL-HOR-020"),
        horizontal_case(held(), {"bound": 1e-5}),
        horizontal_case(held(), {**SHORT, **IMAGES}),
        horizontal_case(held(), {**SHORT, **PRIVATE, **IMAGES}),
        horizontal_case(held(), {**IMAGES, "image": [2, 2, 1]}, code="ATL-HOR-080"),
        horizontal_case(held(), {**IMAGES, "image": None}, code=PARAMETERS),
        horizontal_case(held(), {**IMAGES, "l2": 1.0}, code=PARAMETERS),
        horizontal_case(held(), {"hidden": [60000] * 2}, code="ATL-HOR-080"),
        horizontal_case(held(), {"fairness": 1.0}, code=PARAMETERS),
        horizontal_case(held(), {"minimum_clients": 2}, code=PARAMETERS),
        horizontal_case(held(), {"hidden": [3], "l2": 1.0}, code=PARAMETERS),
    ],
    "local_prediction": [
        Case(scored()),
        Case({"bank": scored()["bank"], "shop": {"model": None, "table": None}}),
        Case(scored(names="abx"), code="ATL-MOD-003"),
    ],
}

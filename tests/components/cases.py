"""Tiny cases for the conformance suite, by component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from atoll.components.conformance import PARAMETERS
from atoll.components.scores import Scores
from atoll.components.trial import Case
from atoll.core.names import Role
from atoll.models.imputation import FilledColumn, FillPart
from atoll.models.scaling import ScaledColumn, ScalePart
from atoll.table import Table
from tests.components.horizontal_cases import HORIZONTAL_CASES
from tests.components.horizontal_step_cases import HORIZONTAL_STEP_CASES
from tests.held import HeldTables

ROWS = 60
AGREED = "a" * 64
THREE: Mapping[str, Role] = {"bank": Role.GUEST, "mill": Role.HOST, "shop": Role.HOST}


def ids(rows: int = ROWS, start: int = 0) -> Any:
    return pa.array([f"person-{at:04d}" for at in range(start, start + rows)])


def table(name: str, *, rows: int = ROWS, start: int = 0, label: bool = False) -> Table:
    rng = np.random.default_rng(len(name) + rows)
    columns = {f"{name}{at}": pa.array(rng.normal(size=rows)) for at in range(3)}
    if label:
        columns["y"] = pa.array((np.arange(rows) % 3 == 0).astype(float))
    made = Table.from_columns(ids(rows, start), columns, label="y" if label else None)
    return made.with_alignment(AGREED)


def both(port: str = "table", rows: int = ROWS) -> dict[str, dict[str, Any]]:
    """Return aligned tables of two parties."""
    return {
        "bank": {port: table("b", rows=rows, label=True)},
        "shop": {port: table("s", rows=rows)},
    }


def several(starts: Sequence[int], *, shop_starts: Sequence[int] | None = None) -> Any:
    """Return tables to unite: 20 rows from each start."""
    return {
        "bank": {
            f"tables.{at}": table("b", rows=20, start=start, label=True)
            for at, start in enumerate(starts)
        },
        "shop": {
            f"tables.{at}": table("s", rows=20, start=start)
            for at, start in enumerate(shop_starts or starts)
        },
    }


def unaligned(port: str = "table") -> dict[str, dict[str, Any]]:
    """Return tables whose rows nobody agreed on, at one party."""
    made = both(port)
    return {**made, "shop": {port: made["shop"][port].with_alignment(None)}}


def elsewhere(port: str = "table") -> dict[str, dict[str, Any]]:
    """Return tables whose rows were agreed on in two places."""
    made = both(port)
    return {**made, "shop": {port: made["shop"][port].with_alignment("b" * 64)}}


def none(port: str = "table") -> dict[str, dict[str, Any]]:
    return {"bank": {port: None}, "shop": {port: None}}


def scores() -> Scores:
    label = (np.arange(ROWS) % 2).astype(float)
    return Scores(ids().cast(pa.binary()), label, np.linspace(0.0, 1.0, ROWS))


def grouped() -> Table:
    """Return a table whose rows are in clusters."""
    clusters = pa.array((np.arange(ROWS) % 4).astype(float))
    whole = table("b", label=True).to_arrow().append_column("cluster", clusters)
    return Table.from_arrow(whole, label="y")


def refitted(party: str, name: str) -> dict[str, Any]:
    """Return a party's table, and a scaling of columns with these names."""
    made = table("b" if party == "bank" else "s", label=party == "bank")
    lines = tuple(ScaledColumn(name=f"{name}{at}", offset=0.5, divisor=2.0) for at in range(2))
    return {"table": made, "transform": ScalePart(party=party, scaled=lines)}


def refilled(party: str, name: str) -> dict[str, Any]:
    """Return a party's table, and an imputation of columns with these names."""
    lines = tuple(FilledColumn(name=f"{name}{at}", value=0.5, absent=(0.0,)) for at in range(2))
    return {**refitted(party, name), "transform": FillPart(party=party, filled=lines)}


def holes() -> dict[str, dict[str, Any]]:
    """Return tables of which one has columns with missing values, one of them with none else."""
    some = pa.array([None if at % 3 else float(at) for at in range(ROWS)])
    columns = {"b0": some, "b1": pa.nulls(ROWS, pa.float64())}
    made = Table.from_columns(ids(), columns, label=None).with_alignment(AGREED)
    return {"bank": {"table": made}, "shop": both()["shop"]}


def huge() -> dict[str, dict[str, Any]]:
    """Return tables of which one has a column as wide as numbers are."""
    far = pa.array([-1.7e308, *([0.0] * (ROWS - 2)), 1.7e308])
    made = Table.from_columns(ids(), {"b0": far}, label=None).with_alignment(AGREED)
    return {"bank": {"table": made}, "shop": both()["shop"]}


FIRST: dict[str, Any] = {"model": "m", "step": "first", "kind": "scale.transform"}
SHARES = [{"label": 1.0, "fraction": 1.0}, {"label": 0.0, "fraction": 0.25}]
FAR = {"bank": {"table": table("b", label=True)}, "shop": {"table": table("s", start=500)}}

CASES: dict[str, list[Case]] = HORIZONTAL_CASES | {
    "statistics": [
        Case(both()),
        Case(none(), code="ATL-PLN-007"),
        Case(both(), own={"bank": {"label": True, "columns": ["b1"]}}),
        Case(both(), {"quantiles": [0.5, 0.5]}, code=PARAMETERS),
        Case(both(), own={"shop": {"columns": ["nothing"]}}, code="ATL-TAB-002"),
        Case(both(), own={"shop": {"columns": ["id"]}}, code="ATL-CMP-021"),
    ],
    "union": [
        Case(several([0, 20, 40])),
        Case(several([0])),
        Case(several([0, 10]), {"duplicates": "keep-first"}),
        Case({"bank": several([0, 20])["bank"], "shop": {"tables.0": None, "tables.1": None}}),
        Case(several([0, 10]), code="ATL-CMP-031"),
        Case(
            {"bank": several([0, 20])["bank"], "shop": {"tables.0": table("s"), "tables.1": None}},
            code="ATL-CMP-032",
        ),
        Case(
            {"bank": {"tables.0": table("b"), "tables.1": table("c", start=90)}, "shop": {}},
            code="ATL-CMP-030",
        ),
    ],
    "sample": [
        Case(both(), {"fraction": 0.3}),
        Case(both(), {"count": ROWS}),
        Case(none(), {"count": 5}, code="ATL-PLN-007"),
        Case(both(rows=120), {"method": "stratified", "fraction": 0.5}),
        Case(both(rows=120), {"method": "stratified", "count": 11}),
        Case(both(rows=120), {"method": "stratified", "shares": SHARES}),
        Case(
            {**both(rows=120), "mill": both(rows=120)["shop"]},
            {"method": "stratified", "fraction": 0.5},
            roles={**THREE, "mill": Role.CLIENT},
        ),
        Case(both(), {"method": "stratified", "fraction": 0.5}, code="ATL-CMP-044"),
        Case(
            {**both(rows=120), "mill": {"table": None}},
            {"method": "stratified", "fraction": 0.5},
            roles=THREE,
        ),
        Case(both(), {"count": ROWS + 1}, code="ATL-CMP-040"),
        Case(both(rows=120), {"method": "stratified", "count": 121}, code="ATL-CMP-040"),
        Case(both(rows=120), {"method": "stratified", "shares": SHARES[:1]}, code="ATL-CMP-041"),
        Case(
            {"bank": {"table": table("b", rows=120)}, "shop": {"table": table("s", rows=120)}},
            {"method": "stratified", "fraction": 0.5},
            code="ATL-CMP-042",
        ),
        Case(
            {"bank": both(rows=120)["bank"], "shop": {"table": table("s", rows=140)}},
            {"method": "stratified", "fraction": 0.5},
            code="ATL-CMP-043",
        ),
        Case(unaligned(), {"fraction": 0.5}, code="ATL-PLN-008"),
        Case(elsewhere(), {"method": "stratified", "fraction": 0.5}, code="ATL-CMP-060"),
        Case(both(), {}, code=PARAMETERS),
        Case(both(), {"fraction": 0.5, "count": 3}, code=PARAMETERS),
        Case(both(), {"shares": SHARES}, code=PARAMETERS),
    ],
    "download": [
        Case(both()),
        Case(both(), own={"bank": {"format": "parquet", "columns": ["y"]}}),
        Case(both(), own={"shop": {"write": False}}),
        Case({"bank": {"table": scores()}, "shop": {"table": None}}),
        Case(both(), own={"shop": {"columns": ["nothing"]}}, code="ATL-CMP-050"),
        Case(both(), {"name": "../out"}, code=PARAMETERS),
    ],
    "scale": [
        Case(both()),
        Case(both(), {"method": "min-max", "bounds": "quantile", "lower": 0.1, "upper": 0.9}),
        Case(both(), own={"bank": {"columns": ["b1"], "by_column": {"b1": {"upper": 0.5}}}}),
        Case(none(), code="ATL-PLN-007"),
        Case({"bank": both()["bank"], "shop": {"table": None}}, {"convention": "fate"}),
        Case({"bank": refitted("bank", "b"), "shop": refitted("shop", "s")}),
        Case(both(), own={"shop": {"columns": ["b1"]}}, code="ATL-TAB-002"),
        Case(both(), own={"bank": {"columns": ["y"]}}, code="ATL-TAB-002"),
        Case(huge(), {"method": "min-max"}, code="ATL-CMP-070"),
        Case(
            {"bank": both()["bank"], "shop": refitted("shop", "s") | {"transform": None}},
            code="ATL-CMP-072",
        ),
        Case({"bank": refitted("bank", "s"), "shop": refitted("shop", "s")}, code="ATL-MOD-003"),
        Case({"bank": refitted("shop", "b"), "shop": {"table": None}}, code="ATL-REG-010"),
        Case(both(), {"lower": 2.0, "upper": 1.0}, code=PARAMETERS),
        Case(both(), {"bounds": "quantile", "upper": 80.0}, code=PARAMETERS),
    ],
    "imputation": [
        Case(both()),
        Case(holes(), {"missing": [0.0], "bounds": "iqr", "outliers": "fill"}),
        Case(holes(), own={"bank": {"by_column": {"b1": {"method": "constant", "constant": 1}}}}),
        Case(none(), code="ATL-PLN-007"),
        Case({"bank": refilled("bank", "b"), "shop": refilled("shop", "s")}),
        Case(both(), own={"shop": {"columns": ["b1"]}}, code="ATL-TAB-002"),
        Case(both(), own={"bank": {"by_column": {"y": {"method": "none"}}}}, code="ATL-TAB-002"),
        Case(
            {"bank": both()["bank"], "shop": refilled("shop", "s") | {"transform": None}},
            code="ATL-CMP-072",
        ),
        Case({"bank": refilled("bank", "s"), "shop": refilled("shop", "s")}, code="ATL-MOD-003"),
        Case({"bank": refilled("shop", "b"), "shop": {"table": None}}, code="ATL-REG-010"),
        Case(both(), {"method": "constant"}, code=PARAMETERS),
        Case(both(), {"bounds": "quantile", "upper": 80.0}, code=PARAMETERS),
        Case(both(), {"lower": 1.0}, code=PARAMETERS),
    ],
    "transform": [
        Case({"bank": refilled("bank", "b"), "shop": refitted("shop", "s")}),
        Case({"bank": refitted("bank", "b"), "shop": refitted("shop", "s")}),
        Case({"bank": refitted("bank", "b"), "shop": {"table": None}}),
        Case({"bank": refitted("bank", "s"), "shop": refitted("shop", "s")}, code="ATL-MOD-003"),
        Case({"bank": refitted("shop", "b"), "shop": {"table": None}}, code="ATL-REG-010"),
    ],
    "fitted": [
        Case(
            {
                "bank": {"part": refitted("bank", "b")["transform"]},
                "shop": {"part": refitted("shop", "s")["transform"]},
            },
            FIRST,
        ),
        Case({"bank": {}, "shop": {}}, FIRST, code="ATL-REG-010"),
        Case({"bank": {}, "shop": {}}, FIRST | {"parties": ["mill"]}, code="ATL-MOD-002"),
        Case({"bank": {}, "shop": {}}, FIRST | {"kind": "no.transform"}, code="ATL-MOD-005"),
        Case(
            {"bank": {"part": refitted("shop", "s")["transform"]}, "shop": {"part": None}},
            FIRST,
            code="ATL-REG-010",
        ),
    ],
    "split": [
        Case(both()),
        Case(both(), {"seed": 3}),
        Case(none(), code="ATL-PLN-007"),
        Case(both(rows=1), code="ATL-JOB-014"),
        Case(unaligned(), code="ATL-PLN-008"),
    ],
    "reader": [
        Case(
            {"bank": {}, "shop": {}},
            {"tables": {"bank": "rows", "shop": "rows"}},
            tables={
                "bank": HeldTables({"rows": table("b", label=True)}),
                "shop": HeldTables({"rows": table("s")}),
            },
        ),
        Case(
            {"bank": {}, "shop": {}},
            {"tables": {"bank": "rows"}},
            tables={"bank": HeldTables({"rows": table("b", label=True)})},
        ),
        Case(
            {"bank": {}, "shop": {}},
            {"tables": {"bank": "rows", "mill": "rows"}},
            tables={"bank": HeldTables({"rows": table("b", label=True)})},
            code="ATL-JOB-006",
        ),
        Case({"bank": {}, "shop": {}}, {"tables": {}}, code=PARAMETERS),
    ],
    "synthetic": [
        Case({"bank": {}, "shop": {}}, {"rows": 20, "columns": 2}),
        Case({"bank": {}, "shop": {}}, {"rows": 3}, code=PARAMETERS),
    ],
    "psi": [
        Case(both(), {"protocol": "ideal"}, sizes={"count": ROWS, "id_bytes_host": 11 * ROWS}),
        Case(both(), sizes={"count": ROWS}),
        Case(FAR, code="ATL-PSI-004"),
        Case(FAR, {"minimum_intersection": 0}, code="ATL-PSI-004"),
        Case(FAR, {"minimum_intersection": 0, "receivers": "none"}, sizes={"count": 0}),
    ],
    "cluster_evaluation": [
        Case(both(), {"added": "b0"}, code="ATL-TAB-002"),
        Case({"bank": {"table": grouped()}, "shop": {"table": None}}),
        Case({"bank": {"table": grouped()}, "shop": {"table": grouped()}}, {"columns": ["b1"]}),
        Case(
            {"bank": {"table": grouped()}, "shop": {"table": None}},
            {"columns": ["cluster"]},
            code="ATL-TAB-002",
        ),
        Case({"bank": {"table": table("b")}, "shop": {"table": None}}, code="ATL-TAB-002"),
    ],
    "evaluation": [
        Case({"bank": {"scores": scores()}, "shop": {"scores": None}}),
        Case(
            {
                "bank": {"scores": scores(), "train": scores(), "others.0": scores()},
                "shop": {"scores": None},
            },
            {"task": "regression", "names": ["first", "second"]},
        ),
        Case(
            {"bank": {"scores": scores()}, "shop": {"scores": None}},
            {"names": ["first", "second"]},
            code="ATL-EVA-008",
        ),
        Case(
            {"bank": {"scores": scores()}, "shop": {"scores": None}},
            {"names": ["first", "first"]},
            code=PARAMETERS,
        ),
        Case(
            {
                "bank": {"scores": Scores(ids().cast(pa.binary()), np.ones(ROWS), np.ones(ROWS))},
                "shop": {"scores": None},
            },
            code="ATL-EVA-004",
        ),
    ],
}
CASES |= HORIZONTAL_STEP_CASES

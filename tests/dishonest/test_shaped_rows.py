"""Whoever proposes a training with privacy behind steps that let one row move all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import UserError
from atoll.flow.planning import build
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan
from tests.flow.policy.plans import facts

OWNERS = ("alpha", "bravo", "carol")
TABLES = {"read": "people", "more": "others"}
BY_CLIENT = {"algorithm": "fedavg", "weighting": "equal", "privacy": {"unit": "client"}}


def plan(steps: Mapping[str, Any], source: str, **chosen: Any) -> Plan:
    """Return the plan of a training with privacy on what ``source`` gives out."""
    privacy = {"epsilon": 50.0, **chosen.get("privacy", {})}
    parameters = {"algorithm": "fedsgd", **chosen, "privacy": privacy}
    readers = {name: reader(table) for name, table in TABLES.items()}
    made: dict[str, Any] = {
        **readers,
        **steps,
        "train": step("horizontal", train=source, parameters=parameters),
    }
    parties = {"hub": "aggregator", **dict.fromkeys(OWNERS, "client")}
    job = parse_job({"name": "rows", "parties": parties, "steps": made})
    tables = {name: facts(table, label="y") for name, table in TABLES.items()}
    hashes = {party: party * 8 for party in job.parties}
    return build(job, CATALOGUE, dict.fromkeys(OWNERS, tables), hashes)


def reader(table: str) -> dict[str, Any]:
    read = {"tables": dict.fromkeys(OWNERS, table), "label": "y", "aligned": True}
    return {"component": "reader", "parameters": read}


def step(component: str, *, parameters: dict[str, Any] | None = None, **inputs: Any) -> Any:
    return {"component": component, "inputs": inputs, "parameters": parameters or {}}


def over(component: str, **parameters: Any) -> dict[str, Any]:
    return {"made": step(component, table="read.table", parameters=parameters)}


def union(duplicates: str) -> dict[str, Any]:
    both = ["read.table", "more.table"]
    return {"made": step("union", tables=both, parameters={"duplicates": duplicates})}


SCALED = over("scale", method="min-max", lower=-3.4, upper=-3.2)
TOGETHER = over("horizontal_scale")


@pytest.mark.parametrize(
    ("steps", "source", "chosen"),
    [
        (SCALED, "made.table", {}),
        (TOGETHER, "made.table", {}),
        (TOGETHER, "made.table", BY_CLIENT),
        (union("keep-first"), "made.table", {}),
        (over("split"), "made.train", {}),
        (over("sample", fraction=0.5), "made.table", {}),
        (SCALED | {"over": step("union", tables=["made.table"])}, "over.table", {}),
    ],
    ids=["scale", "together", "together-client", "first", "split", "sample", "behind"],
)
def test_no_epsilon_is_stated_of_rows_that_follow_from_others(
    steps: dict[str, Any], source: str, chosen: dict[str, Any]
) -> None:
    """One row below both bounds made all others 1 in place of 0: a sum moved by 310 clips."""
    with pytest.raises(UserError, match="made") as caught:
        plan(steps, source, **chosen)
    assert caught.value.code == "ATL-HOR-140"


@pytest.mark.parametrize(
    ("steps", "source", "chosen"),
    [
        ({}, "read.table", {}),
        (union("error"), "made.table", {}),
        (SCALED, "made.table", BY_CLIENT),
    ],
    ids=["read", "united", "own-scale"],
)
def test_what_each_row_or_client_makes_of_itself_keeps_its_epsilon(
    steps: dict[str, Any], source: str, chosen: dict[str, Any]
) -> None:
    found = {unit.unit for unit in plan(steps, source, **chosen).exposure["train"]}
    assert "epsilon" in found

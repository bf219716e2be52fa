"""The component against the conformance suite, and in a whole job of two parties."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from atoll_alignment import COMPONENT
from atoll_alignment.digest import digest

from atoll.components.catalogue import CATALOGUE
from atoll.components.conformance import CHECKS, PARAMETERS, Case, Check, name_of, play
from atoll.sdk import local
from atoll.table import Table


def table(rows: int, *, label: bool = False, start: int = 0, id_column: str = "id") -> Table:
    """Return a table that both parties could hold."""
    ids = pa.array([f"row-{at:04d}" for at in range(start, start + rows)])
    columns = {"x": pa.array([float(at) for at in range(rows)])}
    if label:
        columns["y"] = pa.array([float(at % 2) for at in range(rows)])
    return Table.from_columns(ids, columns, label="y" if label else None, id_column=id_column)


def case(host: Table | None, *, code: str | None = None, **parameters: object) -> Case:
    """Return a run of a guest with ten rows and a host."""
    tables: dict[str, Table | None] = {"bank": table(10, label=True), "shop": host}
    inputs = {party: {"table": held} for party, held in tables.items()}
    return Case(inputs, parameters, code=code)


TURNED = table(10).take(np.arange(9, -1, -1))
CASES = [
    case(table(10)),
    case(table(10, id_column="key").repartition(3)),
    case(table(10, start=1), refuse=False),
    case(table(10, start=1), code="ATL-EXT-001"),
    case(table(9), code="ATL-EXT-001"),
    case(TURNED, code="ATL-EXT-001"),
    case(None, code="ATL-EXT-001"),
    case(table(10), minimum_rows=11, code="ATL-EXT-001"),
    case(table(10), minimum_rows=0, code=PARAMETERS),
]


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_it_conforms(check: Check) -> None:
    """Schema, bounds, reveals, outputs, repeatability, refusals."""
    check(COMPONENT, CASES)


def test_both_hear_the_same() -> None:
    """Unaligned rows are seen by guest and host alike."""
    found = play(COMPONENT, CASES[2]).check()
    outcomes = [found.results[party].outputs["outcome"]["aligned"] for party in ("bank", "shop")]
    assert outcomes == [False, False]


def test_the_digest_depends_on_ids_order_and_session_alone() -> None:
    """Other columns, names and partitions do not change it."""
    whole, session = table(10, label=True), bytes(32)
    same = table(10, id_column="key").repartition(4)
    assert digest(whole, session) == digest(same, session)
    assert digest(whole, session) != digest(TURNED, session)
    assert digest(whole, session) != digest(whole, b"\1" * 32)


def test_it_runs_in_a_whole_job_and_tells_what_the_plan_says() -> None:
    """Two parties read, intersect and run the component, each with its own ledger."""
    job = {
        "name": "trial",
        "parties": {"bank": "guest", "shop": "host"},
        "steps": {
            "rows": {
                "component": "reader",
                "parameters": {"tables": {"bank": "people", "shop": "people"}},
            },
            "common": {
                "component": "psi",
                "inputs": {"table": "rows.table"},
                "parameters": {"protocol": "ideal"},
            },
            "check": {"component": COMPONENT.name, "inputs": {"table": "common.table"}},
        },
    }
    people = {"bank": {"people": table(40, label=True)}, "shop": {"people": table(50)}}
    catalogue = {**CATALOGUE, COMPONENT.name: COMPONENT}
    with local({"bank": "guest", "shop": "host"}, people, catalogue=catalogue) as federation:
        found = federation.run(job)
    plan = found["bank"].plan
    declared = {(entry["message"], entry["field"]) for entry in plan.reveals["check"]}
    reported = {
        (line["message"], line["field"])
        for party in found.values()
        for line in party.reveals
        if line["step"] == "check"
    }
    assert reported == declared
    for party in found.values():
        assert party.outputs["check.outcome"]["aligned"]

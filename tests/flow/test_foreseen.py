"""More of what a plan foresees: what generated graphs (tests/simulation) once ran into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.flow import planning
from atoll.sdk.frames import FrameTables
from tests.flow.test_inference import BOOST, PSI, declare, job_of, plan, refused, step


@pytest.mark.parametrize(
    ("place", "made"),
    [
        ("steps.it", step("psi", table="reader.table", minimum_intersection=101)),
        ("steps.it", {**BOOST, "parameters": {"early_stopping_rounds": 2}}),
        ("steps.it.parameters.count", step("sample", table="psi.table", count=101)),
        ("steps.it.parameters.tables", {"component": "reader", "parameters": {"tables": {}}}),
    ],
)
def test_a_refusal_says_which_step_it_is_about(place: str, made: Mapping[str, Any]) -> None:
    with refused(".*", f"at {place}(,| |$)"):
        plan({"psi": PSI, "it": made})


def test_a_refusal_of_one_party_says_which_step_it_is_about() -> None:
    own = {"shop": {"columns": ["shop9"]}}
    with refused("ATL-CMP-050", "at steps.it.parameters.columns,", "party shop"):
        declare("shop", {"psi": PSI, "it": step("download", table="psi.table", overrides=own)})
    tables = FrameTables({"people": pa.table({"id": ["a", "b"]})})
    with refused("ATL-TAB-002", "at steps.reader "):
        planning.declare(job_of({}, id="key"), CATALOGUE, "shop", tables, planning.no_registry)

"""More of what a plan foresees: what generated graphs (tests/simulation) once ran into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.flow import planning
from atoll.sdk import local
from atoll.sdk.frames import FrameTables
from tests.flow.test_inference import (
    BOOST,
    PARTIES,
    PSI,
    declare,
    job_of,
    plan,
    refused,
    reported,
    step,
)

pytestmark = pytest.mark.usefixtures("few_rows")


@pytest.mark.parametrize(
    ("place", "made"),
    [
        (
            "steps.it.parameters.minimum_intersection",
            step("psi", table="reader.table", minimum_intersection=101),
        ),
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
    with refused("ATL-PLN-011", "ATL-CMP-050", "at steps.it.parameters.columns,", "party shop"):
        declare("shop", {"psi": PSI, "it": step("download", table="psi.table", overrides=own)})
    tables = FrameTables({"people": pa.table({"id": ["a", "b"]})})
    with refused("ATL-TAB-002", "at steps.reader "):
        planning.declare(job_of({}, id="key"), CATALOGUE, "shop", tables)


def test_a_model_of_a_step_needs_its_columns() -> None:
    steps = {
        "psi": PSI,
        "boost": BOOST,
        "synthetic": {"component": "synthetic"},
        "toys": step("psi", table="synthetic.table"),
        "model": {
            "component": "model",
            "parameters": {"model": "m"},
            "inputs": {"table": "psi.table", "part": "boost.model"},
        },
        "look": step("statistics", table="model.table", columns=["shop9"]),
    }
    with refused("ATL-PLN-011", "ATL-TAB-002", "steps.look"):
        declare("shop", steps)
    del steps["look"]
    declare("shop", steps)
    steps["model"]["inputs"]["table"] = "toys.table"
    with refused("ATL-MOD-003", "'shop0'", "steps.model", "party shop"):
        declare("shop", steps)


def shares(**kept: float) -> dict[str, Any]:
    named = [{"label": float(name[1:]), "fraction": share} for name, share in kept.items()]
    return step("sample", table="psi.table", method="stratified", shares=named)


TRAIN = step("boosting", train="sample.table")
SCORED = {
    "boost": BOOST,
    "score": step("prediction", model="boost.model", table="sample.table"),
    "it": step("evaluation", scores="score.scores"),
}
# 60 rows: 54 of class 0, 4 of class 1, 2 of class 2.
RARE = np.array([0] * 54 + [1] * 4 + [2] * 2)


@pytest.mark.parametrize(
    ("code", "sample", "more"),
    [
        # No row of class 1 is left by a share of none; how others are rounded is not known.
        ("ATL-BST-010", shares(c0=1.0, c1=0.0), {"it": TRAIN}),
        ("ATL-EVA-004", shares(c0=0.0, c1=1.0), SCORED),
        # Six rows of class 1 are left at most.
        ("ATL-PSI-003", shares(c0=0.0, c1=1.0), {"it": step("psi", table="sample.table")}),
    ],
)
def test_classes_and_rows_are_followed_through_samples(
    code: str, sample: Mapping[str, Any], more: Mapping[str, Any]
) -> None:
    label = np.minimum(RARE, 1)
    with refused("ATL-PLN-011", code, "steps"):
        declare("bank", {"psi": PSI, "sample": sample, **more}, label)
    declare("shop", {"psi": PSI, "sample": shares(c0=1.0, c1=1.0), **more})
    declare("bank", {"psi": PSI, "sample": shares(c0=1.0, c1=1.0), **more}, label)


def test_a_sample_may_leave_a_third_class_out() -> None:
    steps = {"psi": PSI, "sample": shares(c0=1.0, c1=1.0, c2=0.0), "it": TRAIN}
    declare("bank", steps, RARE)
    steps["sample"] = shares(c0=1.0, c1=1.0, c2=0.5)
    with refused("ATL-PLN-011", "ATL-PLN-009", "row 59 of table 'people'"):
        declare("bank", steps, RARE)


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("ATL-CMP-040", {"it": shares(c0=0.0, c1=0.0)}),
        ("ATL-BST-012", {"sample": step("sample", table="psi.table", count=1), "it": TRAIN}),
        ("ATL-EVA-004", {"sample": step("sample", table="psi.table", count=1), **SCORED}),
        (
            "ATL-JOB-014",
            {
                "sample": step("sample", table="psi.table", count=2),
                "half": step("split", table="sample.table"),
                "it": step("split", table="half.test"),
            },
        ),
        (
            "ATL-PSI-003",
            {
                "half": step("split", table="psi.table", fraction=0.19),
                "it": step("psi", table="half.test", minimum_intersection=20),
            },
        ),
        (
            "ATL-PSI-003",
            {
                "sample": step("sample", table="psi.table", fraction=0.19),
                "it": step("psi", table="sample.table", minimum_intersection=20),
            },
        ),
    ],
)
def test_rows_are_followed_through_splits_and_samples(code: str, made: Mapping[str, Any]) -> None:
    with refused(code, "steps.it"):
        plan({"psi": PSI, **made})


UNITED = {"psi": PSI, "half": step("split", table="psi.table")}
SECOND = {"component": "reader", "parameters": {"tables": dict.fromkeys(PARTIES, "others")}}


@pytest.mark.parametrize(
    ("tables", "fits"),
    [
        (["psi.table", "psi.table"], False),
        (["reader.table", "psi.table"], False),
        (["half.train", "half.test"], True),
        (["half.train", "half.test", "psi.table"], False),
        (["psi.table", "again.table"], False),
        (["sample.table", "half.test"], True),
        (["both.table", "half.test"], False),
        (["both.table", "sample.table"], True),
        (["psi.table", "other.table"], True),
        (["reader.table", "reread.table"], False),
    ],
)
def test_tables_that_share_rows_for_certain_are_not_united(tables: list[str], fits: bool) -> None:
    steps = {
        **UNITED,
        "again": PSI,
        "sample": step("sample", table="psi.table", fraction=0.5),
        "both": step("union", tables=["half.train", "half.test"]),
        "other": SECOND,
        # The same content under another name.
        "reread": SECOND,
        "it": step("union", tables=tables),
    }
    job = job_of(steps)
    declared = {
        party: {**known, "reread": known["reader"], "other": known["reader"]}
        for party, known in reported().items()
    }
    for known in declared.values():
        known["other"] = known["other"].model_copy(update={"digest": "1" * 64})
    certificates = dict.fromkeys(PARTIES, "k")
    if fits:
        planning.build(job, CATALOGUE, declared, certificates)
    else:
        with refused("ATL-CMP-031", "steps.it.inputs.tables"):
            planning.build(job, CATALOGUE, declared, certificates)
    job = job_of({**steps, "it": step("union", tables=tables, duplicates="keep-first")})
    planning.build(job, CATALOGUE, declared, certificates)


@pytest.mark.parametrize("first", [0, 59, 60])
def test_own_tables_that_share_ids_are_not_united(first: int) -> None:
    def frame(begin: int) -> Any:
        ids = [f"p{at}" for at in range(begin, begin + 60)]
        return pa.table({"id": ids, "x": np.arange(60.0)})

    tables = FrameTables({"people": frame(0), "others": frame(first)})
    steps = {"other": SECOND, "it": step("union", tables=["reader.table", "other.table"])}

    def verify(steps: Mapping[str, Any]) -> None:
        job = job_of(steps)
        declared = planning.declare(job, CATALOGUE, "shop", tables)
        planning.verify(job, CATALOGUE, "shop", declared, planning.no_registry)

    if first == 60:
        verify(steps)
        return
    # Equal tables have equal digests, which all parties are told.
    code = "ATL-CMP-031" if first == 0 else "ATL-PLN-011"
    with refused(code, "ids of an earlier table", "steps.it.inputs.tables.1", "party shop"):
        verify(steps)
    if first == 59:
        # Whether an intersection keeps the row that both have is not known.
        united = step("union", tables=["psi.table", "other.table"])
        verify({"other": SECOND, "psi": PSI, "it": united})


@pytest.mark.parametrize(
    ("tables", "fits"),
    [
        (["psi.table", "psi.table"], False),
        (["half.test", "psi.table", "half.train"], False),
        (["half.test", "half.train"], False),
        (["psi.table", "other.table"], True),
    ],
)
def test_rows_that_are_there_already_add_none(tables: list[str], fits: bool) -> None:
    steps = {
        **UNITED,
        "second": SECOND,
        "other": step("psi", table="second.table"),
        "both": step("union", tables=tables, duplicates="keep-first"),
        "again": step("psi", table="both.table"),
        "it": step("sample", table="again.table", count=101),
    }
    declared = {party: {**known, "second": known["reader"]} for party, known in reported().items()}
    for known in declared.values():
        known["second"] = known["second"].model_copy(update={"digest": "1" * 64})
    if fits:
        planning.build(job_of(steps), CATALOGUE, declared, dict.fromkeys(PARTIES, "k"))
        return
    with refused("ATL-CMP-040", "steps.it.parameters.count"):
        planning.build(job_of(steps), CATALOGUE, declared, dict.fromkeys(PARTIES, "k"))


def test_own_classes_are_followed_where_a_job_is_planned_and_where_it_runs() -> None:
    def frame(name: str, rows: int) -> Any:
        return pa.table({"id": [f"p{at}" for at in range(rows)], name: np.arange(float(rows))})

    label = pa.array(np.arange(80) % 2)
    tables = {"bank": {"people": frame("b", 80).append_column("y", label)}}

    def steps(share: float) -> dict[str, Any]:
        named = [{"label": 0, "fraction": share}, {"label": 1, "fraction": 1}]
        few = {"method": "stratified", "shares": named}
        return {
            "psi": {**PSI, "parameters": {"protocol": "ideal"}},
            "sample": {**step("sample", table="psi.table"), "parameters": few},
            "it": {**TRAIN, "parameters": {"trees": 1, "implementation": "ideal"}},
        }

    with local(
        PARTIES, {**tables, "shop": {"people": frame("s", 80)}}, catalogue=CATALOGUE
    ) as parties:
        with refused("ATL-PLN-011", "ATL-BST-010", "steps.it", "party bank"):
            parties.plan(job_of(steps(0.0)))
        with refused("ATL-PLN-011", "ATL-BST-010", "steps.it", "party bank"):
            parties.run(job_of(steps(0.0)))
        parties.plan(job_of(steps(0.5)))
        parties.run(job_of(steps(0.5)))

"""What cannot run is refused before anybody agrees, at the party that can see it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from atoll.components import synthetic
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.flow import planning
from atoll.flow.inference import Declared
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan, TableFacts
from atoll.table import ID_RULE, Table
from tests.held import HeldTables

pytestmark = pytest.mark.usefixtures("few_rows")

PARTIES = {"bank": "guest", "shop": "host"}
THREE = {**PARTIES, "mill": "host"}
Steps = Mapping[str, Mapping[str, Any]]


def step(component: str, **more: Any) -> dict[str, Any]:
    inputs = {name: more.pop(name) for name in list(more) if name in PORTS}
    overrides = more.pop("overrides", {})
    return {
        "component": component,
        "inputs": inputs,
        "parameters": more,
        "overrides": overrides,
    }


PORTS = ("table", "tables", "train", "validation", "model", "part", "scores")


def job_of(steps: Steps, parties: Mapping[str, str] = PARTIES, **reader: Any) -> Job:
    named = {"tables": dict.fromkeys(parties, "people"), **reader}
    first = {"reader": {"component": "reader", "parameters": named}}
    return parse_job({"name": "any", "parties": dict(parties), "steps": {**first, **steps}})


def reported(parties: Mapping[str, str] = PARTIES, **rows: int) -> Declared:
    return {
        party: {
            "reader": TableFacts(
                name="people",
                digest="0" * 64,
                rows=rows.get(party, 100),
                columns=(f"{party}0", f"{party}1"),
                label="y" if role == "guest" else None,
                id_rule=ID_RULE,
            )
        }
        for party, role in parties.items()
    }


def plan(
    steps: Steps,
    parties: Mapping[str, str] = PARTIES,
    rows: Mapping[str, int] | None = None,
    **reader: Any,
) -> Plan:
    job = job_of(steps, parties, **reader)
    planning.check(job, CATALOGUE)
    return planning.build(
        job, CATALOGUE, reported(parties, **rows or {}), dict.fromkeys(parties, "k")
    )


def refused(code: str, *names: str) -> Any:
    """Expect a refusal with this code that names all of these."""
    pattern = "".join(f"(?=.*{name})" for name in names)
    return pytest.raises(AtollError, match=rf"(?s)^{code}{pattern}")


PSI = step("psi", table="reader.table")
SPLIT = step("split", table="psi.table")
BOOST = step("boosting", train="psi.table")


def test_a_party_that_gets_no_table_cannot_train() -> None:
    one_sided = {**PSI, "parameters": {"receivers": "guest"}}
    with refused("ATL-PLN-007", "shop", "boost", "psi"):
        plan({"psi": one_sided, "boost": BOOST})
    made = plan({"psi": one_sided, "look": step("statistics", table="psi.table"), "split": SPLIT})
    assert made.owners["psi.table"] == ("bank",)
    assert made.owners["split.train"] == made.owners["look.statistics"] == ("bank",)


@pytest.mark.parametrize("receivers", ["host", "none"])
def test_many_hosts_take_what_a_star_can_give(receivers: str) -> None:
    with refused("ATL-PSI-001"):
        plan({"psi": {**PSI, "parameters": {"receivers": receivers}}}, THREE)
    with refused("ATL-PSI-001"):
        plan({"psi": {**PSI, "parameters": {"protocol": "ideal"}}}, THREE)


@pytest.mark.parametrize(
    "consumer",
    [
        step("boosting", train="reader.table"),
        step("split", table="reader.table"),
        step("sample", table="reader.table", fraction=0.5),
    ],
)
def test_rows_that_nobody_agreed_on_are_not_used_together(consumer: Mapping[str, Any]) -> None:
    with refused("ATL-PLN-008", "steps.it.inputs"):
        plan({"it": consumer})
    stated = plan({"it": consumer}, aligned=True)
    assert any("same rows in the same order" in text for text in stated.warnings)
    with refused("ATL-PLN-010", "bank 100", "shop 99"):
        plan({"it": consumer}, rows={"shop": 99}, aligned=True)


def test_scoring_needs_aligned_rows() -> None:
    steps = {
        "psi": PSI,
        "boost": BOOST,
        "score": step("prediction", model="boost.model", table="reader.table"),
    }
    with refused("ATL-PLN-008", "score"):
        plan(steps)


@pytest.mark.parametrize(
    "consumer",
    [
        step("prediction", model="boost.model", table="psi2.table"),
        {**step("model", part="boost.model", table="psi2.table"), "parameters": {"model": "m"}},
    ],
    ids=lambda consumer: consumer["component"],
)
def test_rows_for_a_model_need_the_columns_of_the_training(consumer: Mapping[str, Any]) -> None:
    job = job_of(
        {
            "psi": PSI,
            "boost": BOOST,
            "other": {"component": "reader", "parameters": {"tables": dict.fromkeys(PARTIES, "n")}},
            "psi2": step("psi", table="other.table"),
            "it": consumer,
        }
    )
    declared = reported()
    fresh = declared["shop"]["reader"].model_copy(update={"columns": ("shop1", "shopO")})
    whole = {
        "bank": {**declared["bank"], "other": declared["bank"]["reader"]},
        "shop": {**declared["shop"], "other": fresh},
    }
    with refused("ATL-MOD-003", "shop0", "shop"):
        planning.build(job, CATALOGUE, whole, dict.fromkeys(PARTIES, "k"))


@pytest.mark.parametrize(
    "consumer",
    [
        step("boosting", train="psi.table"),
        step("evaluation", scores="boost.scores"),
        step("sample", table="psi.table", method="stratified", fraction=0.5),
    ],
)
def test_what_needs_a_label_says_so(consumer: Mapping[str, Any]) -> None:
    steps = {"psi": PSI, "boost": BOOST, "it": consumer}
    plan(steps)
    with refused("ATL-(PLN-009|CMP-042)"):
        plan(steps, label="")


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("ATL-BST-003", {"host_noise": 4.1}),
        ("ATL-BST-001", {"early_stopping_rounds": 2}),
    ],
)
def test_parameters_that_no_run_can_keep(code: str, parameters: Mapping[str, Any]) -> None:
    with refused(code):
        plan({"psi": PSI, "boost": step("boosting", train="psi.table", **parameters)})


def test_a_scale_that_would_overflow() -> None:
    boost = step("boosting", train="psi.table", scale_bits=12)
    rows = {"bank": 1 << 20, "shop": 1 << 21}
    with refused("ATL-BST-001", "at most 11"):
        plan({"psi": PSI, "boost": boost}, rows=rows)
    plan({"psi": PSI, "boost": boost}, rows={**rows, "shop": 1 << 19})


def made_up(party: str) -> TableFacts:
    parameters = CATALOGUE["synthetic"].parameters.model_validate({})
    assert isinstance(parameters, synthetic.SyntheticParameters)
    made = synthetic.declare(party, Role(PARTIES[party]), parameters, cast(Any, None))
    assert made is not None
    return made.facts


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("ATL-PSI-003", {"psi": step("psi", table="reader.table", minimum_intersection=101)}),
        ("ATL-CMP-040", {"psi": PSI, "it": step("sample", table="psi.table", count=101)}),
        ("ATL-CMP-030", {"psi": PSI, "it": step("union", tables=["psi.table", "synthetic.table"])}),
    ],
)
def test_sizes_and_columns_that_cannot_fit(code: str, made: Steps) -> None:
    job = job_of({"synthetic": {"component": "synthetic"}, **made})
    declared = {
        party: {**entry, "synthetic": made_up(party)} for party, entry in reported().items()
    }
    with refused(code):
        planning.build(job, CATALOGUE, declared, dict.fromkeys(PARTIES, "k"))


def test_of_many_tables_the_one_that_differs_is_named_by_its_number() -> None:
    steps = {
        "psi": PSI,
        "synthetic": step("synthetic"),
        "it": step("union", tables=["psi.table"] * 10 + ["synthetic.table"] + ["psi.table"]),
    }
    job = job_of(steps)
    declared = {
        party: {**entry, "synthetic": entry["reader"].model_copy(update={"columns": ("other",)})}
        for party, entry in reported().items()
    }
    with refused("ATL-CMP-030", "tables.10"):
        planning.build(job, CATALOGUE, declared, dict.fromkeys(PARTIES, "k"))


def test_a_structure_is_refused_without_any_table() -> None:
    with refused("ATL-PLN-008"):
        planning.check(job_of({"boost": step("boosting", train="reader.table")}), CATALOGUE)
    planning.check(job_of({"psi": PSI, "boost": BOOST}), CATALOGUE)


# -- what one party alone can see -----------------------------------------------------------------


def declare(party: str, steps: Steps, label: Any = None, **reader: Any) -> Any:
    columns: dict[str, Any] = {f"{party}0": pa.array(np.arange(60.0))}
    if label is not None:
        columns["y"] = pa.array(label)
    ids = pa.array([f"p{at:03d}" for at in range(60)])
    table = Table.from_columns(ids, columns, label=None if label is None else "y")
    tables = HeldTables({"people": table})
    job = job_of(steps, **reader)
    made = planning.declare(job, CATALOGUE, party, tables)
    planning.verify(job, CATALOGUE, party, made, planning.no_registry)
    return made


@pytest.mark.parametrize(
    "label", [np.where(np.arange(60) % 2, 1, -1), np.arange(60) % 3, np.arange(60) / 60]
)
def test_labels_of_other_classes_are_found_where_they_lie(label: Any) -> None:
    first = int(np.flatnonzero(~np.isin(label, (0, 1)))[0]) + 1
    with refused(
        "ATL-PLN-011", "ATL-PLN-009", f"row {first} of table 'people'", "column 'y'", "bank"
    ):
        declare("bank", {"psi": PSI, "boost": BOOST}, label)
    declare("bank", {"psi": PSI, "look": step("statistics", table="psi.table")}, label)
    declare("shop", {"psi": PSI, "boost": BOOST})


def test_classes_that_a_sample_leaves_out_are_no_hindrance() -> None:
    for share, code in ((0, None), (0.5, "ATL-PLN-009")):
        shares = [{"label": at, "fraction": share if at == 2 else 1} for at in range(3)]
        steps = {
            "psi": PSI,
            "some": step("sample", table="psi.table", method="stratified", shares=shares),
            "boost": step("boosting", train="some.table"),
        }
        with refused("ATL-PLN-011", code) if code else contextlib.nullcontext():
            declare("bank", steps, np.arange(60) % 3)


def test_one_class_alone_is_refused_beforehand() -> None:
    for steps in (
        {"boost": BOOST},
        {"split": SPLIT, "boost": step("boosting", train="split.train")},
    ):
        with refused("ATL-PLN-011", "ATL-BST-010", "bank"):
            declare("bank", {"psi": PSI, **steps}, np.ones(60))


def test_columns_of_own_parameters_are_looked_up_beforehand() -> None:
    own = {"shop": {"columns": ["shop9"]}}
    steps = {"psi": PSI, "look": step("statistics", table="psi.table", overrides=own)}
    with refused("ATL-PLN-011", "ATL-TAB-002", "shop9", "look"):
        declare("shop", steps)
    declare("bank", steps, np.arange(60) % 2)
    files = {"psi": PSI, "file": step("download", table="psi.table", overrides=own)}
    with refused("ATL-PLN-011", "ATL-CMP-050", "shop9"):
        declare("shop", files)


def test_shares_name_every_class() -> None:
    shares = [{"label": 1.0, "fraction": 0.5}]
    steps = {
        "psi": PSI,
        "it": step("sample", table="psi.table", method="stratified", shares=shares),
    }
    with refused("ATL-PLN-011", "ATL-CMP-041"):
        declare("bank", steps, np.arange(60) % 2)
    declare("bank", steps, np.ones(60))


@pytest.mark.parametrize(
    "steps",
    [
        {"psi": {**PSI, "parameters": {"protocol": "ideal"}}},
        {"psi": PSI, "boost": {**BOOST, "parameters": {"implementation": "ideal"}}},
    ],
)
def test_the_ideal_is_refused_outside_tests(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    declare("shop", steps)
    monkeypatch.delenv("ATOLL_INSECURE_SIMULATION")
    with refused("ATL-SET-001"):
        declare("shop", steps)


def test_a_registered_model_needs_a_registry() -> None:
    model = {**step("model", table="psi.table"), "parameters": {"model": "m"}}
    with refused("ATL-PLN-011", "ATL-REG-010"):
        declare("shop", {"psi": PSI, "model": model})


def test_who_is_not_named_for_what_was_fitted_is_given_nothing_of_it() -> None:
    """Also where the step is wired to one of this job, that gives it to all."""
    scale = step("scale", table="reader.table")
    known = {"model": "m", "step": "scale", "kind": "scale.transform"}
    taken = {**step("fitted", part="scale.transform"), "parameters": {**known, "parties": ["shop"]}}
    made = plan({"scale": scale, "taken": taken})
    assert made.owners["scale.transform"] == ("bank", "shop")
    assert made.owners["taken.fitted"] == ("shop",)
    assert made.parties_of("taken") == {"shop"}
    taken["parameters"]["parties"] = ["shop", "../x"]
    with refused("ATL-MOD-002", "taken"):
        plan({"scale": scale, "taken": taken})


@pytest.mark.parametrize(
    "name", ["agreement", "coin-toss", "coin_toss", "hello", "finish", "start"]
)
def test_names_of_what_every_job_does_are_reserved(name: str) -> None:
    # The form alone is fine: jobs that ran before these names were taken can still be shown.
    job = job_of({name: PSI})
    with refused("ATL-JOB-003", "reserved"):
        planning.check(job, CATALOGUE)


@pytest.mark.parametrize(
    ("component", "asks"), [(False, "guest"), (True, None), (True, "arbiter"), (True, "host")]
)
def test_a_component_that_serves_says_which_one_party_asks(
    component: bool, asks: str | None
) -> None:
    whole = CATALOGUE["scoring"]

    def describe(facts: Any, parameters: Any) -> Any:
        terms = whole.describe(facts, parameters)
        assert terms.standing is not None
        named = None if asks is None else terms.standing.model_copy(update={"asks": asks})
        return replace(terms, standing=named)

    odd = replace(whole, describe=describe, standing=whole.standing if component else None)
    bounds = {"model": "m", "most": 9, "until": "2030-01-31"}
    score = {
        "component": "scoring",
        "parameters": {**bounds, "tables": {"shop": "people", "mill": "people"}},
    }
    job = parse_job({"name": "any", "parties": THREE, "steps": {"score": score}})
    held = reported(THREE)
    declared = {party: {"score": held[party]["reader"]} for party in ("shop", "mill")}
    keys = dict.fromkeys(THREE, "0" * 64)
    plan = planning.build(job, CATALOGUE, declared, keys)
    assert plan.standing["score"].asks == "guest"
    with pytest.raises(AtollError, match=r"ATL-INT-001.*other standing terms"):
        planning.build(job, {**CATALOGUE, "scoring": odd}, declared, keys)

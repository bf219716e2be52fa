"""Parameters that differ by party, inputs that take several sources, kinds, and YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.jobs.definition import Job, parse_job, read_job
from atoll.jobs.errors import DeniedError
from atoll.jobs.schema import PARTY_LOCAL, KnownSchemas, Port, Refusal, Schema
from atoll.jobs.validation import fill, validate


class Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    trees: int = Field(3, ge=1, le=10)
    column: str = Field("id", max_length=20, json_schema_extra=PARTY_LOCAL)


SCHEMAS = {
    "reader": Schema("reader", "1", Parameters, outputs={"table": "table", "model": "tree.model"}),
    "union": Schema(
        "union",
        "1",
        Parameters,
        {
            "tables": Port("table", many=True),
            "model": Port("model", optional=True, alternatives=("cache",)),
        },
        {"table": "table"},
    ),
}


def job(**union: Any) -> Job:
    return parse_job(
        {
            "name": "x",
            "parties": {"bank": "guest", "shop": "host"},
            "steps": {
                "a": {"component": "reader"},
                "b": {"component": "reader"},
                "u": {"component": "union", "inputs": {"tables": ["a.table", "b.table"]}} | union,
            },
        }
    )


def refused(made: Job, code: str) -> UserError:
    with pytest.raises(UserError) as caught:
        validate(made, SCHEMAS)
    assert caught.value.code == code
    return caught.value


def test_overrides_fill_a_party_s_parameters() -> None:
    made = job(parameters={"trees": 4}, overrides={"shop": {"column": "key"}})
    validate(made, SCHEMAS)
    step, schema = made.steps["u"], SCHEMAS["union"]
    assert fill("u", step, schema).model_dump() == {"trees": 4, "column": "id"}
    assert fill("u", step, schema, "bank").model_dump() == {"trees": 4, "column": "id"}
    assert fill("u", step, schema, "shop").model_dump() == {"trees": 4, "column": "key"}


@pytest.mark.parametrize(
    ("overrides", "code", "place", "hint"),
    [
        ({"shop": {"trees": 4}}, "ATL-JOB-015", "shop.trees", "may differ: column"),
        ({"shop": {"colum": "a"}}, "ATL-JOB-005", "shop.colum", "did you mean column?"),
        ({"shop": {"column": 4}}, "ATL-JOB-006", "shop.column", None),
        ({"shopp": {"column": "a"}}, "ATL-JOB-015", "shopp", "did you mean shop?"),
    ],
)
def test_bad_overrides_are_refused_at_their_place(
    overrides: Any, code: str, place: str, hint: str | None
) -> None:
    error = refused(job(overrides=overrides), code)
    assert error.place == f"steps.u.overrides.{place}"
    assert error.hint == hint


def test_overrides_are_part_of_the_job() -> None:
    one, other = job(), job(overrides={"shop": {"column": "key"}})
    assert one.digest() != other.digest()


def test_a_list_of_sources_is_numbered() -> None:
    made = job()
    assert made.steps["u"].inputs == {"tables.0": "a.table", "tables.1": "b.table"}
    assert parse_job(made.canonical()) == made
    assert validate(made, SCHEMAS) == ("a", "b", "u")
    validate(job(inputs={"tables": "a.table"}), SCHEMAS)


@pytest.mark.parametrize(
    ("inputs", "place"),
    [
        ({"tables": []}, "tables"),
        ({"tables.x": "a.table"}, "tables.x"),
        ({"tables.01": "a.table"}, "tables.01"),
        ({"tables": ["a.table"], "model.0": "a.model"}, "model.0"),
        ({"tables": ["a.model"]}, "tables.0"),
        ({"tables": ["a.table"], "model": "b.table"}, "model"),
    ],
)
def test_sources_that_do_not_fit_are_refused(inputs: Any, place: str) -> None:
    assert refused(job(inputs=inputs), "ATL-JOB-007").place == f"steps.u.inputs.{place}"


@pytest.mark.parametrize(
    "inputs",
    [
        {"tables": ["a.table"], "tables.0": "b.table"},
        {"tables": ["a.table"] * 65},
        {"tables": [["a.table"]]},
        ["a.table"],
    ],
)
def test_inputs_of_another_shape_are_refused(inputs: Any) -> None:
    with pytest.raises(UserError) as caught:
        job(inputs=inputs)
    assert caught.value.code == "ATL-JOB-003"


def test_a_general_kind_takes_what_ends_in_it() -> None:
    validate(job(inputs={"tables": ["a.table"], "model": "a.model"}), SCHEMAS)
    assert Port("model", alternatives=("cache",)).accepts("cache")
    assert not Port("tree.model").accepts("model")
    assert not Port("model").accepts("supermodel")


def test_a_component_that_was_refused_tells_why() -> None:
    reason = Refusal("ATL-CMP-010", "it is not approved", "ask")
    known = KnownSchemas({"reader": SCHEMAS["reader"]}, {"union": reason})
    with pytest.raises(DeniedError) as caught:
        validate(job(), known)
    assert (caught.value.code, caught.value.hint) == ("ATL-CMP-010", "ask")
    assert caught.value.place == "steps.u.component"


def test_the_largest_job_validates() -> None:
    parties = {"bank": "guest"} | {f"h{at}": "host" for at in range(63)}
    steps: dict[str, Any] = {"s0": {"component": "reader"}}
    for at in range(1, 256):
        steps[f"s{at}"] = {
            "component": "union",
            "inputs": {"tables": [f"s{max(at - back, 0)}.table" for back in range(1, 5)]},
            "overrides": {party: {"column": "key"} for party in parties},
        }
    made = parse_job({"name": "large", "parties": parties, "steps": steps})
    assert len(validate(made, SCHEMAS)) == 256


YAML = """
name: x
parties: {bank: guest, shop: host}
steps:
  a: {component: reader}
  b: {component: reader}
  u:
    component: union
    inputs:
      tables: [a.table, b.table]
"""


def read(text: str, folder: Path) -> Job:
    path = folder / "job.yaml"
    path.write_text(text)
    return read_job(path)


def test_yaml_says_the_same_as_json(tmp_path: Path) -> None:
    assert read(YAML, tmp_path).digest() == job().digest()


@pytest.mark.parametrize(
    "text",
    [
        "name: x\nname: y\n",
        "a: &a [1]\nb: *a\n",
        "[" * 5000 + "]" * 5000,
        "a: !!python/object/apply:os.system ['true']\n",
        "a: 2020-01-01\n",
        "{[1]: 2}",
        "a: [\n",
        "--- 1\n--- 2\n",
        "",
        "\tx",
        "<<: 1\n",
    ],
    ids=range(11),
)
def test_other_yaml_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(text, tmp_path)
    assert caught.value.code == "ATL-JOB-003"

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.jobs.definition import Job, parse_job, read_job
from atoll.jobs.plan import StandingTerms
from atoll.jobs.schema import Port, Schema
from atoll.jobs.validation import fill, order, validate


class Empty(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TreeParameters(Empty):
    trees: int = Field(20, ge=1)
    rate: float = Field(0.3, gt=0)


SCHEMAS = {
    "reader": Schema("reader", "1", Empty, outputs={"table": "table"}),
    "psi": Schema("psi", "1", Empty, {"table": Port("table")}, {"table": "table"}),
    "boosting": Schema(
        "boosting",
        "1",
        TreeParameters,
        {"train": Port("table"), "validation": Port("table", optional=True)},
        {"model": "model"},
    ),
}


def job(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "name": "loans",
        "parties": {"bank": "guest", "shop": "host"},
        "steps": {
            "train": {
                "component": "boosting",
                "inputs": {"train": "psi.table"},
                "parameters": {"trees": 5},
            },
            "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
            "reader": {"component": "reader"},
        },
    }
    return {**whole, **changes}


def refused(value: dict[str, Any], code: str) -> UserError:
    with pytest.raises(UserError) as caught:
        validate(parse_job(value), SCHEMAS)
    assert caught.value.code == code
    return caught.value


def test_steps_run_after_their_sources() -> None:
    assert validate(parse_job(job()), SCHEMAS) == ("reader", "psi", "train")


def test_equal_jobs_have_equal_digests_whatever_the_order_of_keys() -> None:
    turned = json.loads(json.dumps(job(), sort_keys=True))
    assert parse_job(job()).digest() == parse_job(turned).digest()


def test_any_change_changes_the_digest_and_names_its_part() -> None:
    first = parse_job(job())
    other = parse_job(job(parties={"bank": "guest", "mill": "host"}))
    assert first.digest() != other.digest()
    changed = {name for name, value in first.parts().items() if other.parts()[name] != value}
    assert changed == {"job.parties"}


def test_a_seed_is_part_of_what_is_signed() -> None:
    plain, seeded, other = (parse_job(job(**more)) for more in ({}, {"seed": 7}, {"seed": 8}))
    assert plain.seed is None
    assert parse_job(job(seed=None)).digest() == plain.digest()
    assert len({plain.digest(), seeded.digest(), other.digest()}) == 3
    assert parse_job(seeded.canonical()) == seeded
    changed = {name for name, value in seeded.parts().items() if other.parts()[name] != value}
    assert changed == {"job.seed"}
    assert parse_job(job(seed=(1 << 63) - 1)).seed == (1 << 63) - 1


def test_without_a_seed_a_job_says_nothing_of_one() -> None:
    whole = parse_job(job())
    assert "seed" not in whole.canonical()
    other = parse_job(job(seed=7))
    for one, two in ((whole, other), (other, whole)):
        found = {name for name, value in one.parts().items() if two.parts().get(name) != value}
        assert found == {"job.seed"}


@pytest.mark.parametrize("seed", [-1, 1 << 63, True, "7", 7.0])
def test_a_seed_is_a_whole_number_of_63_bits(seed: Any) -> None:
    with pytest.raises(UserError) as caught:
        parse_job(job(seed=seed))
    assert (caught.value.code, caught.value.place) == ("ATL-JOB-003", "seed")


def test_defaults_are_filled_in() -> None:
    step = parse_job(job()).steps["train"]
    assert fill("train", step, SCHEMAS["boosting"]).model_dump() == {"trees": 5, "rate": 0.3}


def with_step(name: str, **changes: Any) -> dict[str, Any]:
    whole = job()
    whole["steps"][name] = {**whole["steps"][name], **changes}
    return whole


def test_an_unknown_component_gets_a_near_match() -> None:
    error = refused(with_step("train", component="bosting"), "ATL-JOB-004")
    assert error.hint == "did you mean boosting?"
    assert error.place == "steps.train.component"


def test_an_unknown_parameter_gets_a_near_match() -> None:
    error = refused(with_step("train", parameters={"treees": 5}), "ATL-JOB-005")
    assert error.hint == "did you mean trees?"
    assert error.place == "steps.train.parameters.treees"


def test_a_parameter_out_of_bounds_is_refused_without_its_value() -> None:
    error = refused(with_step("train", parameters={"trees": -77}), "ATL-JOB-006")
    assert error.place == "steps.train.parameters.trees"
    assert "77" not in str(error)


@pytest.mark.parametrize(
    ("inputs", "place"),
    [
        ({}, "steps.train.inputs.train"),
        ({"train": "psi"}, "steps.train.inputs.train"),
        ({"train": "nowhere.table"}, "steps.train.inputs.train"),
        ({"train": "psi.tables"}, "steps.train.inputs.train"),
        ({"trian": "psi.table"}, "steps.train.inputs.trian"),
    ],
)
def test_bad_inputs_are_refused(inputs: dict[str, str], place: str) -> None:
    assert refused(with_step("train", inputs=inputs), "ATL-JOB-007").place == place


def test_an_input_of_another_kind_is_refused() -> None:
    whole = with_step("psi", inputs={"table": "train.model"})
    assert "takes a table" in refused(whole, "ATL-JOB-007").message


def test_a_cycle_is_refused_and_named() -> None:
    whole = job()
    whole["steps"]["psi"] = {"component": "psi", "inputs": {"table": "again.table"}}
    whole["steps"]["again"] = {"component": "psi", "inputs": {"table": "psi.table"}}
    error = refused(whole, "ATL-JOB-008")
    assert "again" in error.message
    assert "psi" in error.message


def test_a_job_has_exactly_one_guest() -> None:
    refused(job(parties={"bank": "host", "shop": "host"}), "ATL-JOB-002")
    refused(job(parties={"bank": "guest", "shop": "guest"}), "ATL-JOB-002")


def test_a_party_without_a_part_is_left_out() -> None:
    whole = job(parties={"bank": "guest", "shop": "host", "third": "arbiter"})
    assert validate(parse_job(whole), SCHEMAS)


def test_a_step_in_which_nobody_takes_part_is_refused() -> None:
    refused(job(parties={"bank": "arbiter", "shop": "helper"}), "ATL-JOB-009")


def test_a_party_may_have_several_roles_in_any_order() -> None:
    one, other = (
        parse_job(job(parties={"bank": "guest", "shop": roles}))
        for roles in (["host", "arbiter"], ["arbiter", "host"])
    )
    assert one.digest() == other.digest()
    assert one.canonical()["parties"] == {"bank": "guest", "shop": ["host", "arbiter"]}
    single = parse_job(job(parties={"bank": "guest", "shop": ["host"]}))
    assert single.digest() == parse_job(job()).digest()


@pytest.mark.parametrize("roles", [[], ["host", "host"], ["host", "king"], 3, [["host"]]])
def test_roles_that_are_none_are_refused(roles: Any) -> None:
    with pytest.raises(UserError) as caught:
        parse_job(job(parties={"bank": "guest", "shop": roles}))
    assert caught.value.code == "ATL-JOB-003"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Bad Name"},
        {"parties": {"bank": "guest"}},
        {"parties": {"BANK": "guest", "shop": "host"}},
        {"parties": {"bank": "king", "shop": "host"}},
        {"steps": {}},
        {"steps": {"flow.last": {"component": "psi"}}},
        {"surprise": 1},
        {"version": 2},
    ],
)
def test_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        parse_job(job(**changes))
    assert caught.value.code == "ATL-JOB-003"


def test_jobs_are_read_from_json_and_toml(tmp_path: Path) -> None:
    plain = tmp_path / "job.json"
    plain.write_text(json.dumps(job()))
    toml = tmp_path / "job.toml"
    toml.write_text(
        'name = "loans"\n[parties]\nbank = "guest"\nshop = "host"\n'
        '[steps.reader]\ncomponent = "reader"\n'
        '[steps.psi]\ncomponent = "psi"\ninputs = {table = "reader.table"}\n'
        '[steps.train]\ncomponent = "boosting"\ninputs = {train = "psi.table"}\n'
        "parameters = {trees = 5}\n"
    )
    assert read_job(plain).digest() == read_job(toml).digest() == parse_job(job()).digest()


@pytest.mark.parametrize(
    "text",
    ["{", '{"name": "a", "name": "b"}', "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")],
)
def test_broken_files_are_refused(text: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_job(path)
    assert caught.value.code == "ATL-JOB-003"


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as missing:
        read_job(tmp_path / "none.json")
    assert missing.value.exit_code == 3
    big = tmp_path / "big.json"
    big.write_bytes(b" " * (2 << 20))
    with pytest.raises(UserError, match="1 MiB"):
        read_job(big)


def test_order_breaks_ties_by_name() -> None:
    steps: dict[str, Any] = {name: {"component": "reader"} for name in ("c", "a", "b")}
    made = Job(name="x", parties={"a": (Role.GUEST,), "b": (Role.HOST,)}, steps=steps)
    assert order(made) == ("a", "b", "c")


@pytest.mark.parametrize("until", ["2030-02-30", "2030-1-1", "soon", ""])
def test_the_last_day_of_an_agreement_is_a_day(until: str) -> None:
    with pytest.raises(ValueError, match="until"):
        StandingTerms(asks="guest", per_day=1, most=1, until=until)
    assert StandingTerms(asks="guest", per_day=1, most=1, until="2030-02-28").unit == "rows"


def test_a_job_takes_so_many_inputs_and_no_more() -> None:
    """What a plan costs grows with them: 8,000 held the thread of all jobs for seconds."""

    def job(inputs: int) -> dict[str, Any]:
        rows = {"component": "reader", "parameters": {"tables": {"bank": "a", "shop": "b"}}}
        steps: dict[str, Any] = {"rows": rows}
        for at in range(0, inputs, 64):
            taken = ["rows.table"] * min(64, inputs - at)
            steps[f"u{at}"] = {"component": "union", "inputs": {"tables": taken}}
        return {"name": "any", "parties": {"bank": "guest", "shop": "host"}, "steps": steps}

    assert sum(len(step.inputs) for step in parse_job(job(1024)).steps.values()) == 1024
    with pytest.raises(UserError, match="1024 inputs"):
        parse_job(job(1025))

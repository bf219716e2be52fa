"""The main job over the real components, in one process and virtual time."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.reveal import evaluate
from atoll.flow.planning import schemas
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.validation import validate
from atoll.table import Table
from tests import whole
from tests.held import HeldTables
from tests.whole import Outcome, Whole, echo

TREES = 3


def job(**boosting: Any) -> Job:
    return parse_job(
        {
            "name": "loans",
            "parties": {"bank": "guest", "shop": "host"},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {"bank": "rows", "shop": "rows"}},
                },
                "psi": {
                    "component": "psi",
                    "inputs": {"table": "reader.table"},
                    "parameters": {"protocol": "ideal"},
                },
                "split": {"component": "split", "inputs": {"table": "psi.table"}},
                "boosting": {
                    "component": "boosting",
                    "inputs": {"train": "split.train"},
                    "parameters": {"trees": TREES, "implementation": "ideal", **boosting},
                },
                "prediction": {
                    "component": "prediction",
                    "inputs": {"model": "boosting.model", "table": "split.test"},
                },
                "evaluation": {
                    "component": "evaluation",
                    "inputs": {"scores": "prediction.scores", "train": "boosting.scores"},
                },
            },
        }
    )


def tables(rows: int = 300) -> dict[str, HeldTables]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, 6))
    y = (x[:, 0] + 1.5 * x[:, 4] + rng.normal(size=rows) > 0).astype(float)
    ids = np.array([f"r{at}" for at in range(rows)])
    guest, host = rng.permutation(rows)[: rows - 30], rng.permutation(rows)[: rows - 30]
    own = {f"g{at}": pa.array(x[guest, at]) for at in range(3)} | {"y": pa.array(y[guest])}
    theirs = {f"h{at}": pa.array(x[host, 3 + at]) for at in range(3)}
    return {
        "bank": HeldTables({"rows": Table.from_columns(pa.array(ids[guest]), own, label="y")}),
        "shop": HeldTables({"rows": Table.from_columns(pa.array(ids[host]), theirs)}),
    }


def play(made: Job, given_tables: dict[str, HeldTables] | None = None) -> Whole:
    return whole.play(made, given_tables or tables(), CATALOGUE)


def read(outcome: Outcome, step: str) -> list[dict[str, str]]:
    """Return the scores that a step left."""
    text = outcome.results[step].files["scores.csv"].decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_the_main_job_learns_from_both_tables() -> None:
    found = play(job()).check()
    bank, shop = found.results["bank"], found.results["shop"]
    metrics = json.loads(bank.results["evaluation"].files["metrics.json"])
    assert metrics["test"]["auc"] > 0.7
    train, test = read(bank, "boosting"), read(bank, "prediction")
    ids = {row["id"] for row in train} | {row["id"] for row in test}
    assert len(ids) == len(train) + len(test)
    assert abs(len(test) - 0.2 * len(ids)) <= 1
    assert not any("scores.csv" in result.files for result in shop.results.values())
    guest = json.loads(bank.results["boosting"].files["model.json"])
    host = json.loads(shop.results["boosting"].files["model.json"])
    assert guest["kind"] == "boosting.guest"
    assert host["kind"] == "boosting.host"
    assert len(guest["trees"]) == TREES
    report = bank.results["boosting"].report
    assert report is not None
    assert [panel.title for panel in report.panels] == ["Loss", "Importance", "Trees"]


def test_the_plan_names_reveals_minimums_and_warnings() -> None:
    plan = play(job(trees=20)).check().results["bank"].plan
    assert plan.minimums == {
        "boosting": {"group": 20, "leaf": 20},
        "psi": {"intersection": 20},
    }
    assert plan.owners["prediction.scores"] == ("bank",)
    assert any("linear equations" in line for line in plan.warnings)
    assert plan.estimated_bytes["boosting"] > 0
    assert plan.trust_models["boosting"] == "federated"


def test_everything_that_was_revealed_is_in_the_plan() -> None:
    found = play(job()).check()
    plan = found.results["bank"].plan
    for party in ("bank", "shop"):
        lines = found.results[party].reveals
        assert lines
        for line in lines:
            ends = [plan.job.first_roles[line[at]].value for at in ("sender", "receiver")]
            declared = {
                (entry["sender"], entry["receiver"], entry["message"], entry["field"])
                for entry in plan.reveals[line["step"]]
            }
            reported = (line["message"], line["field"])
            assert {(*ends, *reported), ("everyone", "everyone", *reported)} & declared, line


def test_the_count_of_rows_is_revealed_as_declared() -> None:
    found = play(job()).check()
    sizes = {"rows_guest": 270, "rows_host": 270}
    bank = found.results["bank"]
    sizes["count"] = len(read(bank, "boosting")) + len(read(bank, "prediction"))
    (entry,) = [
        entry
        for entry in found.results["bank"].plan.reveals["psi"]
        if entry["field"] == "positions"
    ]
    sent = [
        line["elements"] for line in found.results["bank"].reveals if line["field"] == "positions"
    ]
    assert sent == [evaluate(entry["size"], sizes)]


def test_too_small_an_intersection_ends_both() -> None:
    given_tables = tables(300)
    shifted = tables(300)["shop"].open("rows", id_column="id", label=None)
    columns = {name: shifted.column(name) for name in shifted.columns}
    others = pa.array([f"other{at}" for at in range(shifted.num_rows)])
    given_tables["shop"] = HeldTables({"rows": Table.from_columns(others, columns)})
    found = play(job(), given_tables)
    codes = {getattr(error, "code", None) for error in found.errors.values()}
    assert "ATL-PSI-004" in codes
    assert not found.results


def test_too_small_an_intersection_of_three_is_told_and_not_called_cancelled() -> None:
    document = job().model_dump(mode="json")
    document["parties"]["mill"] = "host"
    document["steps"]["reader"]["parameters"]["tables"]["mill"] = "rows"
    document["steps"]["psi"]["parameters"] = {"protocol": "ecdh"}
    given_tables = tables(300)
    other = given_tables["shop"].open("rows", id_column="id", label=None)
    columns = {f"m{name}": other.column(name) for name in other.columns}
    strangers = pa.array([f"other{at}" for at in range(other.num_rows)])
    given_tables["mill"] = HeldTables({"rows": Table.from_columns(strangers, columns)})
    found = play(parse_job(document), given_tables)
    causes = {getattr(error, "code", None) for error in found.errors.values() if not echo(error)}
    assert causes == {"ATL-PSI-004"}


def test_the_split_repeats_with_a_seed_and_not_without() -> None:
    def held(seed: int | None) -> set[str]:
        document = job(trees=1).model_dump(mode="json")
        document["steps"]["split"]["parameters"] = {"seed": seed}
        found = play(parse_job(document)).check()
        return {row["id"] for row in read(found.results["bank"], "prediction")}

    assert held(4) == held(4)
    assert held(None) != held(None)


def test_schemas_admit_the_main_job_and_hint_at_typos() -> None:
    assert validate(job(), schemas(CATALOGUE))[0] == "reader"
    with pytest.raises(AtollError) as caught:
        validate(job(tres=1), schemas(CATALOGUE))
    assert caught.value.hint == "did you mean trees?"


def test_two_hosts_take_part() -> None:
    document = job(minimum_rows=5).model_dump(mode="json")
    document["parties"]["mill"] = "host"
    document["steps"]["reader"]["parameters"]["tables"]["mill"] = "rows"
    document["steps"]["psi"]["parameters"] = {"protocol": "ecdh"}
    made = parse_job(document)
    held = tables()
    other = held["shop"].open("rows", id_column="id", label=None)
    renamed = other.rename({name: f"m{name}" for name in other.columns})
    held["mill"] = HeldTables({"rows": renamed.take(np.arange(200))})
    found = play(made, held).check()
    guest = json.loads(found.results["bank"].results["boosting"].files["model.json"])
    assert guest["hosts"] == ["mill", "shop"]
    assert "several hosts" in " ".join(found.results["mill"].plan.warnings)
    for party in made.parties:
        for line in found.results[party].reveals:
            reported = {
                (e["message"], e["field"]) for e in found.results["bank"].plan.reveals[line["step"]]
            }
            assert (line["message"], line["field"]) in reported, line

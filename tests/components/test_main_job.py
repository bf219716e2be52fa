"""The main job over the real components, in one process and virtual time."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from atoll.channel.party import Party
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.core.reveal import evaluate
from atoll.flow.ledger import Ledger
from atoll.flow.planning import schemas
from atoll.flow.runner import Outcome, run
from atoll.flow.tables import HeldTables
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.validation import validate
from atoll.sim import world
from atoll.table import Table
from tests.flow import toy

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


def play(folder: Path, made: Job, brought: dict[str, HeldTables] | None = None) -> world.World:
    held = brought or tables()

    def live(party: Party) -> Outcome:
        changes = {"job": made, "catalogue": CATALOGUE, "tables": held[party.name]}
        return run(toy.bring(party, folder, **changes))

    return world.run({"bank": Role.GUEST, "shop": Role.HOST}, live)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_main_job_learns_from_both_tables(tmp_path: Path) -> None:
    found = play(tmp_path, job()).check()
    bank, shop = found.results["bank"].folder, found.results["shop"].folder
    metrics = json.loads((bank / "evaluation" / "metrics.json").read_text())
    assert metrics["test"]["auc"] > 0.7
    train = read(bank / "boosting" / "scores.csv")
    test = read(bank / "prediction" / "scores.csv")
    ids = {row["id"] for row in train} | {row["id"] for row in test}
    assert len(ids) == len(train) + len(test)
    assert abs(len(test) - 0.2 * len(ids)) <= 1
    assert not (shop / "prediction").exists()
    assert not list(shop.glob("*/scores.csv"))
    guest = json.loads((bank / "boosting" / "model.json").read_text())
    host = json.loads((shop / "boosting" / "model.json").read_text())
    assert guest["kind"] == "boosting.guest"
    assert host["kind"] == "boosting.host"
    assert len(guest["trees"]) == TREES
    report = json.loads((bank / "boosting" / "report.json").read_text())
    assert [panel["title"] for panel in report["panels"]] == ["Loss", "Importance", "Trees"]


def test_the_plan_names_reveals_minimums_and_warnings(tmp_path: Path) -> None:
    plan = play(tmp_path, job(trees=20)).check().results["bank"].plan
    assert plan.minimums == {
        "boosting": {"group": 20, "leaf": 20},
        "psi": {"intersection": 20},
    }
    assert plan.owners["prediction.scores"] == ("bank",)
    assert any("linear equations" in line for line in plan.warnings)
    assert plan.estimated_bytes["boosting"] > 0
    assert plan.trust_models["boosting"] == "federated"


def test_everything_that_was_revealed_is_in_the_plan(tmp_path: Path) -> None:
    found = play(tmp_path, job()).check()
    plan = found.results["bank"].plan
    for party in ("bank", "shop"):
        lines = [line for line in Ledger(tmp_path / party).entries() if line["kind"] == "reveal"]
        assert lines
        for line in lines:
            ends = [plan.job.first_roles[line[at]].value for at in ("sender", "receiver")]
            declared = {
                (entry["sender"], entry["receiver"], entry["message"], entry["field"])
                for entry in plan.reveals[line["step"]]
            }
            told = (line["message"], line["field"])
            assert {(*ends, *told), ("everyone", "everyone", *told)} & declared, line


def test_the_count_of_rows_is_revealed_as_declared(tmp_path: Path) -> None:
    found = play(tmp_path, job()).check()
    sizes = {"rows_guest": 270, "rows_host": 270}
    sizes["count"] = len(read(found.results["bank"].folder / "boosting" / "scores.csv")) + len(
        read(found.results["bank"].folder / "prediction" / "scores.csv")
    )
    (entry,) = [
        entry
        for entry in found.results["bank"].plan.reveals["psi"]
        if entry["field"] == "positions"
    ]
    sent = [
        line["elements"]
        for line in Ledger(tmp_path / "bank").entries()
        if line["kind"] == "reveal" and line["field"] == "positions"
    ]
    assert sent == [evaluate(entry["size"], sizes)]


def test_too_small_an_intersection_ends_both(tmp_path: Path) -> None:
    brought = tables(300)
    shifted = tables(300)["shop"].open("rows", id_column="id", label=None)
    columns = {name: shifted.column(name) for name in shifted.columns}
    others = pa.array([f"other{at}" for at in range(shifted.num_rows)])
    brought["shop"] = HeldTables({"rows": Table.from_columns(others, columns)})
    found = play(tmp_path, job(), brought)
    codes = {getattr(error, "code", None) for error in found.errors.values()}
    assert "ATL-PSI-004" in codes
    assert not list(tmp_path.glob("*/runs/*"))


def test_the_split_repeats_with_a_seed_and_not_without(tmp_path: Path) -> None:
    def held(seed: int | None, name: str) -> set[str]:
        whole = job(trees=1).model_dump(mode="json")
        whole["steps"]["split"]["parameters"] = {"seed": seed}
        found = play(tmp_path / name, parse_job(whole)).check()
        rows = read(found.results["bank"].folder / "prediction" / "scores.csv")
        return {row["id"] for row in rows}

    assert held(4, "a") == held(4, "b")
    assert held(None, "c") != held(None, "d")


def test_schemas_admit_the_main_job_and_hint_at_typos() -> None:
    assert validate(job(), schemas(CATALOGUE))[0] == "reader"
    with pytest.raises(AtollError) as caught:
        validate(job(tres=1), schemas(CATALOGUE))
    assert caught.value.hint == "did you mean trees?"


def test_two_hosts_take_part(tmp_path: Path) -> None:
    whole = job(minimum_rows=5).model_dump(mode="json")
    whole["parties"]["mill"] = "host"
    whole["steps"]["reader"]["parameters"]["tables"]["mill"] = "rows"
    whole["steps"]["psi"]["parameters"] = {"protocol": "ecdh"}
    made = parse_job(whole)
    held = tables()
    other = held["shop"].open("rows", id_column="id", label=None)
    renamed = other.rename({name: f"m{name}" for name in other.columns})
    held["mill"] = HeldTables({"rows": renamed.take(np.arange(200))})
    keys = {name: ed25519.Ed25519PrivateKey.generate() for name in made.parties}

    def live(party: Party) -> Outcome:
        changes = {
            "job": made,
            "catalogue": CATALOGUE,
            "tables": held[party.name],
            "credentials": toy.Keys(party.name, keys),
        }
        return run(toy.bring(party, tmp_path, **changes))

    found = world.run(made.first_roles, live).check()
    guest = json.loads((found.results["bank"].folder / "boosting" / "model.json").read_text())
    assert guest["hosts"] == ["mill", "shop"]
    assert "several hosts" in " ".join(found.results["mill"].plan.warnings)
    for party in made.parties:
        for line in Ledger(tmp_path / party).entries():
            if line["kind"] == "reveal":
                told = {
                    (e["message"], e["field"])
                    for e in found.results["bank"].plan.reveals[line["step"]]
                }
                assert (line["message"], line["field"]) in told, line

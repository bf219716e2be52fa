"""What transforms fitted stays with a model: recorded, kept, moved, renamed, and applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atoll.channel.identity import export_ca, trust
from atoll.components.catalogue import CATALOGUE
from atoll.components.references import ModelRef
from atoll.core.errors import AtollError, UserError
from atoll.flow.node.models import archive
from atoll.flow.node.models.fitted import FittedFacts
from atoll.flow.node.models.predicting import Trained, applied, predict_job
from atoll.flow.node.models.service import ModelService
from atoll.flow.planning import schemas
from atoll.flow.store import Artifacts
from atoll.flow.store.retention import Retention, prune
from atoll.jobs.definition import Job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.validation import validate
from atoll.models.boosting import part_to_bytes
from atoll.models.scaling import ScaledColumn, ScalePart, part_from_bytes
from atoll.models.scaling import part_to_bytes as scale_bytes
from tests.flow.node.test_model_service import (
    GRAPH,
    GUEST,
    JOB,
    KIND,
    MODEL,
    TABLES,
    Make,
    Node,
    bank,
    exported,
    keep,
    make,
    take,
)

__all__ = ["bank", "make"]

FIT = ScalePart(
    party="bank", scaled=(ScaledColumn(name="income", lower=-1.0, offset=0.1, divisor=0.3),)
)
DAY = 86_400.0


def scaled(between: tuple[str, str] = ("align", "split")) -> Job:
    """Return the graph with a step that scales the rows between two others."""
    before, after = between
    plain = GRAPH.model_dump(mode="json")
    output = "train" if before == "split" else "table"
    plain["steps"]["scale"] = {"component": "scale", "inputs": {"table": f"{before}.{output}"}}
    port = "train" if after == "train" else "table"
    plain["steps"][after]["inputs"][port] = "scale.table"
    return Job.model_validate(plain)


def held(job: Job = GRAPH, **fitted: FittedFacts) -> Trained:
    return Trained(job, "train", KIND, MODEL, 1, fitted)


def facts(*parties: str) -> FittedFacts:
    return FittedFacts(kind="scale.transform", parties=parties, digest="a" * 64, bytes=9)


@pytest.fixture
def fitted(make: Make) -> Node:
    node = make("bank")
    keep(node, part_to_bytes(GUEST), scaled(), {"scale": scale_bytes(FIT)})
    return node


@pytest.mark.parametrize("between", [("align", "split"), ("split", "train")])
def test_a_predict_job_brings_in_what_was_fitted(between: tuple[str, str]) -> None:
    graph = scaled(between)
    assert applied(graph, "train", CATALOGUE) == (("scale", "transform"),)
    made = predict_job(held(graph, scale=facts("bank", "shop")), TABLES)
    assert set(made.steps) == {"read", "align", "scale", "scale-fitted", "model", "prediction"}
    assert made.steps["scale"].inputs == {
        "table": "align.table",
        "transform": "scale-fitted.fitted",
    }
    assert made.steps["scale-fitted"].parameters == {
        "model": MODEL,
        "version": 1,
        "step": "scale",
        "kind": "scale.transform",
    }
    assert made.steps["model"].inputs == {"table": "scale.table"}
    assert validate(made, schemas(CATALOGUE))[-1] == "prediction"
    one = predict_job(held(graph, scale=facts("bank")), TABLES)
    assert one.steps["scale-fitted"].parameters["parties"] == ["bank"]


def test_a_fit_that_was_not_kept_makes_no_predict_job() -> None:
    with pytest.raises(UserError, match=r"ATL-REG-009.*step scale \(scale\) fitted"):
        predict_job(held(scaled()), TABLES)


def test_a_step_that_says_nothing_is_never_skipped() -> None:
    plain = GRAPH.model_dump(mode="json")
    plain["steps"]["toys"] = {"component": "synthetic"}
    plain["steps"]["align"]["inputs"] = {"table": "toys.table"}
    graph = Job.model_validate(plain)
    assert applied(graph, "train", CATALOGUE) == ()
    with pytest.raises(UserError, match=r"ATL-REG-009.*step toys \(synthetic\)"):
        predict_job(held(graph), TABLES)


def test_the_predict_job_of_a_predict_job_applies_the_same_once() -> None:
    first = predict_job(held(scaled(), scale=facts("bank", "shop")), TABLES)
    assert applied(first, "model", CATALOGUE) == (("scale", "transform"),)
    again = predict_job(
        Trained(first, "model", KIND, "other", 2, {"scale": facts("bank", "shop")}), TABLES
    )
    # Its names are taken by the steps of the first one.
    assert again.steps["scale-fitted-2"].parameters["model"] == "other"
    assert validate(again, schemas(CATALOGUE))[-1] == "prediction"
    assert "scale-fitted" not in again.steps


def test_a_record_lists_what_was_fitted(fitted: Node) -> None:
    (known,) = fitted.models.get(MODEL, 1)["lineage"]["fitted"].values()
    kind, digest, size = fitted.models.part(ModelRef(MODEL, 1, "scale"))
    assert (kind, known["digest"], known["bytes"]) == ("scale.transform", digest, size)
    assert known["parties"] == ["bank", "shop"]
    assert part_from_bytes(fitted.files.read(digest)) == FIT
    assert fitted.models.predict_job(MODEL, 1, TABLES).steps["scale-fitted"]
    with pytest.raises(NotFoundError, match="ATL-REG-010"):
        fitted.models.part(ModelRef(MODEL, 1, "align"))


def test_a_party_that_fitted_nothing_says_who_did(make: Make) -> None:
    node = make("bank")
    keep(node, part_to_bytes(GUEST), scaled())
    (known,) = node.models.get(MODEL, 1)["lineage"]["fitted"].values()
    assert (known["digest"], known["parties"]) == (None, ["bank", "shop"])
    assert node.models.predict_job(MODEL, 1, TABLES).steps["scale-fitted"]
    assert list(archive_of(node).members()) == ["part"]


def test_a_model_without_transforms_has_the_record_and_archive_of_old(bank: Node) -> None:
    assert "fitted" not in bank.models.get(MODEL, 1)["lineage"]
    assert b'"fitted"' not in exported(bank)


def test_what_was_fitted_outlives_its_job(fitted: Node) -> None:
    _, digest, _ = fitted.models.part(ModelRef(MODEL, 1, "scale"))
    policy = Retention(artifact_days=1.0, grace_seconds=0.0)
    prune(fitted.database, fitted.files, policy, 1e6 * DAY)
    assert digest in Artifacts(fitted.database).reachable()
    assert part_from_bytes(fitted.files.read(digest)) == FIT


def archive_of(node: Node) -> archive.Manifest:
    data = exported(node)
    size = int(data[124:135], 8)
    return archive.Manifest.model_validate_json(data[512 : 512 + size])


def test_an_archive_carries_it_to_another_node(fitted: Node, make: Make) -> None:
    shop = make("shop")
    trust(shop.folder, "bank", export_ca(fitted.folder))
    data = exported(fitted)
    take(shop, data)
    kind, digest, _ = shop.models.part(ModelRef(MODEL, 1, "scale"))
    assert kind == "scale.transform"
    assert part_from_bytes(shop.files.read(digest)) == FIT
    assert shop.models.predict_job(MODEL, 1, TABLES) == fitted.models.predict_job(MODEL, 1, TABLES)
    assert archive_of(shop).members() == archive_of(fitted).members()


def test_a_changed_archive_leaves_nothing(fitted: Node, make: Make) -> None:
    shop = make("shop")
    trust(shop.folder, "bank", export_ca(fitted.folder))
    data = exported(fitted)
    start = data.index(b"fitted/scale")
    for at in [*range(start - 512, len(data), 37), len(data) - 1]:
        changed = bytearray(data)
        changed[at] ^= 0x41
        with pytest.raises(AtollError):
            take(shop, bytes(changed))
    for cut in (start, start + 512, len(data) - 1024, len(data) - 1):
        with pytest.raises(UserError, match="ATL-REG-006"):
            take(shop, data[:cut])
    assert shop.names == []
    assert list((shop.folder / "incoming").iterdir()) == []
    assert shop.models.list(stage=None, limit=10, after=None).rows == []


@pytest.mark.parametrize("wrong", [b'{"kind":"scale.part"}', b"\0", part_to_bytes(GUEST)])
def test_an_archive_with_another_thing_in_its_place_is_refused(
    make: Make, wrong: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make("bank")
    keep(node, part_to_bytes(GUEST), scaled(), {"scale": wrong})
    shop = make("shop")
    trust(shop.folder, "bank", export_ca(node.folder))
    with pytest.raises(AtollError, match="ATL-WRK-006"):
        take(shop, exported(node))
    assert shop.names == []


def test_other_party_ids_come_into_what_was_fitted(fitted: Node) -> None:
    fitted.models.migrate(MODEL, 1, {"shop": "store", "bank": "lender"})
    (known,) = fitted.models.get(MODEL, 2)["lineage"]["fitted"].values()
    assert known["parties"] == ["lender", "store"]
    kind, digest, _ = fitted.models.part(ModelRef(MODEL, 2, "scale"))
    assert part_from_bytes(fitted.files.read(digest)) == FIT.model_copy(update={"party": "lender"})
    assert kind == "scale.transform"
    job = fitted.models.predict_job(MODEL, 2, {"lender": "x", "store": "y"})
    assert job.steps["scale-fitted"].parameters["version"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": {"kind": "boosting.model", "parties": []}},
        {"Scale": {"kind": "scale.transform", "parties": []}},
        {"scale": {"kind": "scale.transform", "parties": [], "digest": "x"}},
        {"scale": {"kind": "scale.transform", "parties": [], "bytes": 1 << 41}},
        {f"s{at}": {"kind": "scale.transform", "parties": []} for at in range(1000)},
    ],
)
def test_a_manifest_that_lists_something_else_is_refused(
    fitted: Node, wrong: dict[str, Any]
) -> None:
    plain = archive_of(fitted).model_dump(mode="json")
    with pytest.raises(ValueError, match="fitted"):
        archive.Manifest.model_validate_json(json.dumps({**plain, "fitted": wrong}))


def test_a_component_that_is_gone_says_what_becomes_of_it(fitted: Node, tmp_path: Path) -> None:
    without = {name: one for name, one in CATALOGUE.items() if name != "scale"}
    models = ModelService(
        fitted.database,
        fitted.files,
        lambda: fitted.identity,
        tmp_path / "incoming",
        catalogue=lambda: without,
    )
    with pytest.raises(UserError, match=r"ATL-REG-009.*step scale \(scale\)"):
        models.predict_job(MODEL, 1, TABLES)
    assert JOB in MODEL

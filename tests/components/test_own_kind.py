"""A component of others brings a kind of model: trained, registered, moved, downloaded, scored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.channel.identity import export_ca, init_party, load_party, trust
from atoll.components import kinds, plugins
from atoll.components.api import Component, Facts, KnownComponents
from atoll.components.catalogue import CATALOGUE
from atoll.components.conformance import CHECKS as COMPONENT_CHECKS
from atoll.components.conformance import PARAMETERS
from atoll.components.prediction import PREDICTION
from atoll.components.references import PART, ModelRef, Registered
from atoll.components.registered import REGISTERED_MODEL
from atoll.components.trial import Case, facts_of, play
from atoll.core.errors import AtollError, InternalError, UserError
from atoll.core.names import Role
from atoll.flow import planning
from atoll.flow.node.models.predicting import Trained, predict_job
from atoll.flow.node.models.service import ModelService
from atoll.flow.store import ArtifactRow, Artifacts, Database, JobRow, Jobs
from atoll.flow.store.files import ArtifactFiles
from atoll.flow.work.artifacts import Staging, load, store
from atoll.jobs.definition import Job, parse_job
from atoll.models.boosting import HostPart
from atoll.models.kinds import concrete
from atoll.models.scaling import ScalePart
from atoll.sdk import local
from atoll.sdk.frames import FrameTables
from tests.components import packages, tally
from tests.components.cases import both, table
from tests.flow.node.test_model_service import pieces
from tests.models.kinds import CHECKS, Sample

KIND = tally.MODEL.name
WITH = {**CATALOGUE, "tally": tally.COMPONENT}
TWO = {"bank": Role.GUEST, "shop": Role.HOST}
PART_OF = {
    party: tally.Weights(party, ("bank", "shop"), ((f"{party[0]}0", 0.5), (f"{party[0]}2", -1.5)))
    for party in TWO
}
TABLES = {"bank": "rows", "shop": "rows"}
JOB = "20261122000000-0123abcd"
METRICS = {"model": "metrics"}
SOURCE = Path(tally.__file__)


def training(**more: Any) -> Job:
    steps = {
        "read": {
            "component": "reader",
            "parameters": {"tables": TABLES, "aligned": True},
        },
        "tally": {"component": "tally", "inputs": {"train": "read.table"}},
        **more,
    }
    return parse_job({"name": "own", "parties": TWO, "steps": steps})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_kind_conforms(check: Callable[..., None]) -> None:
    strangers = {"bank": Role.GUEST, "mill": Role.HOST}
    check(tally.MODEL, [Sample(part, TWO, strangers) for part in PART_OF.values()])


@pytest.mark.parametrize("check", COMPONENT_CHECKS, ids=lambda check: check.__name__)
def test_its_component_conforms(check: Callable[..., None]) -> None:
    cases = [Case(both("train")), Case(both("train"), {"size": -1.0}, code=PARAMETERS)]
    wanting = Case({**both("train"), "shop": {"train": None}}, code="ATL-PLN-007")
    check(tally.COMPONENT, [*cases, wanting])


def test_it_is_trained_and_scored_in_one_job() -> None:
    made = training(
        score={
            "component": "prediction",
            "inputs": {"model": "tally.model", "table": "read.table"},
        }
    )
    own = {party: {"rows": part["table"].to_arrow()} for party, part in both().items()}
    with local(TWO, own, catalogue=WITH) as parties:
        plan = parties.plan(made)
        outcomes = parties.run(made)
    assert plan.implementations["score"] == "tally.sums"
    assert [entry["message"] for entry in plan.reveals["score"]] == ["tally.sums"]
    assert plan.estimated_bytes["score"] == 8 * 60
    found = outcomes["bank"].outputs["score.scores"].score
    wanted = np.zeros(60)
    for party, outcome in outcomes.items():
        weights = [weight for _, weight in outcome.outputs["tally.model"].weights]
        wanted += both()[party]["table"].matrix() @ weights
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-wanted)))


def test_a_package_s_code_is_pinned_in_the_plan_of_whoever_scores() -> None:
    pinned = {KIND: replace(tally.MODEL, origin="d" * 64)}
    facts = replace(_facts(), kinds=pinned)
    terms = PREDICTION.describe(facts, PREDICTION.parameters())
    assert terms.implementation == f"tally.sums@{'d' * 64}"


def _facts() -> Facts:
    case = Case({p: {"model": PART_OF[p], "table": both()[p]["table"]} for p in TWO})
    return facts_of(replace(PREDICTION, model_kinds=(tally.MODEL,)), case)


@pytest.mark.parametrize("part", [HostPart, ScalePart, None], ids=str)
def test_a_model_that_nothing_scores_is_refused_in_the_plan(part: Any) -> None:
    """Without its package a kind is unknown; what a transform fitted is no model."""
    facts = _facts()
    kind = {HostPart: "own.model", ScalePart: "scale.transform", None: KIND}[part]
    held = {p: replace(f, kind=kind) for p, f in facts.inputs["model"].items()}
    facts = replace(facts, inputs={**facts.inputs, "model": held}, kinds=kinds.declared(CATALOGUE))
    with pytest.raises(UserError, match=f"ATL-MOD-005.*{kind}"):
        PREDICTION.describe(facts, PREDICTION.parameters())


def test_a_step_that_meets_a_part_that_nothing_scores_refuses_it() -> None:
    given = {p: {"model": PART_OF[p], "table": both()[p]["table"]} for p in TWO}
    assert {e.code for e in play(PREDICTION, Case(given)).causes if isinstance(e, AtollError)} == {
        "ATL-MOD-005"
    }
    known = replace(PREDICTION, model_kinds=(tally.MODEL,))
    assert len(play(known, Case(given)).check().results["bank"].outputs["scores"].score) == 60


def test_the_model_step_hands_a_part_of_any_kind_on() -> None:
    given = {p: {PART: PART_OF[p], "table": both()[p]["table"]} for p in TWO}
    known = replace(REGISTERED_MODEL, model_kinds=(tally.MODEL,))
    trial = play(known, Case(given, {"model": "m"})).check()
    assert {held.kind for held in trial.terms.outputs["model"].values()} == {KIND}
    for party, result in trial.results.items():
        assert result.outputs["model"] == PART_OF[party]
        assert result.outputs["table"].columns == tally.MODEL.columns(PART_OF[party])


@pytest.mark.parametrize(
    ("stated", "held", "code"),
    [
        (KIND, Registered(KIND, PART_OF["shop"]), None),
        ("boosting.model", Registered(KIND, PART_OF["shop"]), "ATL-MOD-005"),
        (KIND, Registered(KIND, PART_OF["bank"]), "ATL-REG-010"),
        (
            KIND,
            Registered(KIND, tally.Weights("shop", ("mill", "shop"), PART_OF["shop"].weights)),
            "ATL-MOD-002",
        ),
        (
            KIND,
            Registered(KIND, tally.Weights("shop", ("bank", "shop"), (("no", 1.0),))),
            "ATL-MOD-003",
        ),
    ],
)
def test_each_party_holds_its_part_against_what_the_job_states(
    stated: str, held: Registered, code: str | None
) -> None:
    job = predict_job(Trained(training(), "tally", KIND, "m", 1), TABLES, catalogue=WITH)
    plain: Any = job.canonical()
    plain["steps"]["model"]["parameters"]["kind"] = stated
    asked: list[ModelRef] = []

    def part(reference: ModelRef) -> Registered:
        asked.append(reference)
        return held

    own = FrameTables({"rows": table("s").to_arrow()})
    made = parse_job(plain)
    declared = planning.declare(made, WITH, "shop", own)
    if code is None:
        planning.verify(made, WITH, "shop", declared, part)
    else:
        with pytest.raises(AtollError) as caught:
            planning.verify(made, WITH, "shop", declared, part)
        assert code in str(caught.value)
    assert asked == [ModelRef("m", 1)]


def test_a_job_that_states_an_unknown_kind_is_refused_for_all_to_see() -> None:
    job = predict_job(Trained(training(), "tally", KIND, "m", 1), TABLES, catalogue=WITH)
    with pytest.raises(UserError, match=r"ATL-MOD-005.*tally\.model") as caught:
        planning.check(job, CATALOGUE)
    assert caught.value.place == "steps.model.parameters.kind"


def test_the_concrete_kind_is_checked_when_the_plan_is_made() -> None:
    """An output that a job calls a transform may be of a kind that the next step does not take."""
    other = replace(tally.MODEL, name="tally.transform")
    known = {**CATALOGUE, "tally": replace(tally.COMPONENT, model_kinds=(other,))}
    fitted = {"model": "m", "step": "first", "kind": "tally.transform"}
    inputs = {"table": "read.table", "transform": "bring.fitted"}
    steps: dict[str, Any] = {
        "read": {"component": "reader", "parameters": {"tables": TABLES}},
        "bring": {"component": "fitted", "parameters": fitted},
        "scale": {"component": "scale", "inputs": inputs},
    }
    job = parse_job({"name": "own", "parties": TWO, "steps": steps})
    with pytest.raises(
        UserError, match=r"ATL-PLN-012.*scale\.transform.*tally\.transform"
    ) as caught:
        planning.check(job, known)
    assert caught.value.place == "steps.scale.inputs.transform"


def test_a_component_that_gives_out_another_kind_than_it_says_is_at_fault() -> None:
    with pytest.raises(InternalError, match=r"ATL-INT-001.*tally"):
        planning.check(training(), {**WITH, "tally": replace(tally.COMPONENT, outputs=METRICS)})


def test_its_parts_are_stored_in_their_own_form(tmp_path: Path) -> None:
    known = kinds.declared(WITH)
    staging = Staging(tmp_path, known)
    kept = staging.add(concrete("model", PART_OF["shop"], known), PART_OF["shop"])
    staging.publish()
    assert kept.kind == KIND
    assert (tmp_path / kept.digest).read_bytes() == tally.encode(PART_OF["shop"])
    assert load(KIND, tmp_path / kept.digest, kept.digest, known) == PART_OF["shop"]
    with pytest.raises(AtollError, match="ATL-WRK-005"):
        store("model", PART_OF["shop"], tmp_path)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[[str], ModelService]]:
    with ExitStack() as stack:

        def make(party: str) -> ModelService:
            folder = tmp_path / party
            init_party(folder, party)
            database = Database.open(f"sqlite:///{folder / 'atoll.db'}")
            stack.callback(database.close)
            files = ArtifactFiles(folder / "artifacts")
            incoming = folder / "incoming"
            return ModelService(
                database, files, lambda: load_party(folder), incoming, catalogue=lambda: WITH
            )

        yield make


def recorded(models: ModelService, party: str) -> str:
    """Write down that a job made a part, and register it."""
    stored = models._files.put(tally.encode(PART_OF[party]))
    row = JobRow(
        id=JOB,
        name="own",
        initiator="bank",
        role="guest",
        state="success",
        created=1.0,
        updated=1.0,
        job=training().canonical(),
    )
    Jobs(models._database).create(row, tuple(TWO))
    made = ArtifactRow(
        job=JOB,
        step="tally",
        attempt=0,
        name="model",
        kind=KIND,
        digest=stored.digest,
        bytes=stored.bytes,
        created=1.0,
    )
    Artifacts(models._database).save(made)
    (model,) = models.record(JOB)
    return model


def test_it_is_registered_exported_imported_and_migrated(
    service: Callable[[str], ModelService], tmp_path: Path
) -> None:
    bank, shop = service("bank"), service("shop")
    model = recorded(bank, "bank")
    trust(tmp_path / "shop", "bank", export_ca(tmp_path / "bank"))
    data = b"".join(bank.export(model, 1))
    asyncio.run(shop.import_(pieces(data)))
    assert shop.part(ModelRef(model, 1))[:2] == bank.part(ModelRef(model, 1))[:2]
    renamed = bank.migrate(model, 1, {"shop": "store"})
    part = tally.decode(bank._files.read(renamed["digest"]))
    assert part.parties == ("bank", "store")
    job = bank.predict_job(model, 1, TABLES)
    assert job.steps["model"].parameters["kind"] == KIND
    assert planning.check(job, WITH)[-1] == "prediction"


# -- as a package ---------------------------------------------------------------------------------


def package(target: Path, text: str) -> Path:
    """Install a module as the component's package."""
    files = {"tally_package/__init__.py": text}
    return packages.write(
        target, name="tally", module="tally_package", distribution="tally-package", files=files
    )


def approved(target: Path) -> KnownComponents:
    """Approve what is installed, and load it."""
    (offer,) = plugins.installed([str(target)])
    return plugins.load({"tally": str(offer.digest)}, path=[str(target)])


def own(message: str) -> str:
    """Return the module with another kind of message: a process knows each but once."""
    return SOURCE.read_text().replace('"tally.sums"', f'"{message}"')


def test_a_package_brings_its_kind_pinned_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = package(tmp_path, own("tally.other"))
    with packages.on_path(monkeypatch, target):
        found = approved(target)
        component: Component = found["tally"]
        (kind,) = component.model_kinds
        assert component.origin is not None
        assert kind.origin == component.origin.digest
        assert kinds.declared({**CATALOGUE, **found})[KIND] is kind


@pytest.mark.parametrize("name", ["boosting.model", "other.model", "tally", "tally.XModel"])
def test_a_package_brings_no_kind_of_another_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = own(f"tally.x{len(name)}").replace('name="tally.model"', f'name="{name}"')
    text = text.replace('outputs={"model": MODEL.name}', 'outputs={"model": "tally.model"}')
    target = package(tmp_path, text)
    with packages.on_path(monkeypatch, target):
        assert approved(target).refused["tally"].code == "ATL-CMP-015"

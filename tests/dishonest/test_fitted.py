"""A partner that takes out of a table what an earlier job fitted on it, by a job over another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.names import Role
from atoll.flow.node.models.recording import model_id, model_row
from atoll.flow.planning import build
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.grants import Caps
from atoll.flow.store import ArtifactRow, DataSets, JobRow, Jobs, Models
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan, TableFacts
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import COLUMNS, GUEST, HOST, NOW, OTHER, facts

__all__ = ["house"]

SECRET, SHOWN = "baskets", "new-baskets"
OLD, SCALE = "2025", "scale"
CLIENTS = (GUEST, HOST, OTHER)
USED = ("fitted", "horizontal_scale", "scale")


def job_of(steps: Mapping[str, Any], table: str) -> Job:
    tables = dict.fromkeys(CLIENTS, "rows") | {HOST: table}
    read = {"component": "reader", "parameters": {"tables": tables}}
    parties = {**dict.fromkeys(CLIENTS, Role.CLIENT), "hub": Role.AGGREGATOR}
    return parse_job({"name": "sums", "parties": parties, "steps": {"read": read, **steps}})


def plan_of(job: Job, table: str) -> Plan:
    declared: dict[str, dict[str, TableFacts]] = {
        name: {"read": facts(table if name == HOST else "rows")} for name in CLIENTS
    }
    return build(job, CATALOGUE, declared, {party: party * 8 for party in job.parties})


def fitting(table: str, source: str = "read.table") -> Plan:
    """Return a training that scales a table, silently, and what it may take that for."""
    scale = {"component": "scale", "inputs": {"table": source}}
    train = {"component": "horizontal", "inputs": {"train": "scale.table"}}
    return plan_of(job_of({SCALE: scale, "train": train}, table), table)


def reading(model: str = model_id(OLD, "train", "model"), table: str = SHOWN) -> Plan:
    """Return the liar's job: a table of little worth, under the scaling of the other."""
    chosen = {"model": model, "step": SCALE, "kind": "scale.transform"}
    fitted = {"component": "fitted", "parameters": {**chosen, "parties": list(CLIENTS)}}
    inputs = {"table": "read.table", "transform": "fitted.fitted"}
    scale = {"component": "scale", "inputs": inputs}
    sums = {"component": "horizontal_scale", "inputs": {"table": "scale.table"}}
    return plan_of(job_of({"fitted": fitted, SCALE: scale, "sums": sums}, table), table)


def register(house: House, plan: Plan, job: str) -> str:
    """Write down that a job trained a model here, as the registry does. Return its id."""
    row = JobRow(
        id=job,
        name=job,
        initiator=GUEST,
        role="client",
        state="success",
        created=NOW,
        updated=NOW,
        job=plan.job.canonical(),
        plan=plan.model_dump(mode="json"),
        plan_digest=plan.digest(),
    )
    Jobs(house.database).create(row, CLIENTS)
    made = ArtifactRow(
        job=job,
        step="train",
        attempt=1,
        name="model",
        kind="horizontal.model",
        digest="e" * 64,
        bytes=9,
        created=NOW,
    )
    model = model_row(row, made, {("train", "model"): made}, HOST, CATALOGUE)
    Models(house.database).add(model)
    return model.id


def grant(house: House, table: str, **limits: int) -> None:
    terms = {"partners": [*CLIENTS, "hub"], "components": list(USED), "automatic": True}
    house.policies.grants.add(house.admin, table, {**terms, "limits": limits})


@pytest.fixture
def shop(house: House) -> House:
    """A house with a second table, and what was fitted on the first one."""
    columns = [{"name": name} for name in COLUMNS]
    row = DataSets(house.database).find(SECRET)
    assert row is not None
    DataSets(house.database).add(replace(row, name=SHOWN, digest="b" * 64, columns=columns))
    assert register(house, fitting(SECRET), OLD) == reading().parameters["fitted"]["model"]
    return house


def test_a_grant_of_the_table_in_the_job_alone_does_not_cover_it(shop: House) -> None:
    """Lie: means and deviations of the one table leave by sums over the other, which is granted.

    The table behind the transform asks for a grant of its own: ATL-POL-001.
    """
    grant(shop, SHOWN)
    decision = shop.policies.consider("job", reading(), GUEST)
    assert (decision.kind, decision.code) == ("queue", "ATL-POL-001")
    assert {place.partition(" ")[0] for place in decision.places} == {SECRET}


def test_a_grant_that_does_not_name_fitted_does_not_cover_it(shop: House) -> None:
    grant(shop, SHOWN)
    terms = {"partners": [*CLIENTS, "hub"], "automatic": True}
    known = ["horizontal_scale", "scale"]
    shop.policies.grants.add(shop.admin, SECRET, {**terms, "components": known})
    decision = shop.policies.consider("job", reading(), GUEST)
    assert (decision.kind, decision.code) == ("queue", "ATL-POL-003")
    assert all("fitted" in reason for reason in decision.reasons)


def test_its_caps_bind_and_it_is_charged(shop: House) -> None:
    grant(shop, SHOWN)
    grant(shop, SECRET)
    plan = reading()
    assert shop.policies.consider("job", plan, GUEST).kind == "approve"
    for step in ("read", "fitted", SCALE, "sums"):
        shop.policies.begin("job", plan, step, 1, GUEST, turn=1)
        shop.policies.ledger.charge("job", plan, step, 1, None)
    shop.policies.ledger.settle("job")
    for table in (SECRET, SHOWN):
        spent = usage(shop.policies.ledger, table, GUEST)
        assert spent.runs == 1
        assert spent.opened_sums > 0
    # The account is that of the content, too, under whatever name it is asked for next.
    digest = fitting(SECRET).tables[HOST]["read"].digest
    assert usage(shop.policies.ledger, "other", GUEST, digest).opened_sums > 0
    spent = usage(shop.policies.ledger, SECRET, GUEST)
    shop.policies.grants.cap(shop.admin, SECRET, GUEST, Caps(opened_sums=spent.opened_sums))
    refused = shop.policies.consider("next", plan, GUEST)
    assert (refused.kind, refused.code) == ("refuse", "ATL-POL-005")


def test_what_was_fitted_on_rows_that_were_fitted_before(shop: House) -> None:
    """Lie: the scaling passes another job first, over a table that is granted. Both count."""
    earlier = reading()
    steps = {**earlier.job.model_dump(mode="json")["steps"]}
    del steps["sums"], steps["read"]
    again = {"component": "scale", "inputs": {"table": "scale.table"}}
    train = {"component": "horizontal", "inputs": {"train": "again.table"}}
    job = job_of({**steps, "again": again, "train": train}, SHOWN)
    model = register(shop, plan_of(job, SHOWN), "2026")
    later = reading(model, "third")
    steps = later.job.model_dump(mode="json")["steps"]
    steps["fitted"]["parameters"]["step"] = "again"
    del steps["read"]
    plan = plan_of(job_of(steps, "third"), "third")
    asked = shop.policies.ledger.exposures(plan)
    assert set(asked) == {SECRET, SHOWN, "third"}
    sums = {name: share.steps["sums"].opened_sums for name, share in asked.items()}
    assert len(set(sums.values())) == 1
    assert sums[SECRET] > 0


def test_a_model_that_came_as_an_archive_names_its_tables(shop: House) -> None:
    """Where no job shows which columns there were, a grant of some columns covers none."""
    row = Models(shop.database).find(model_id(OLD, "train", "model"), 1)
    assert row is not None
    Models(shop.database).add(replace(row, id="moved", job=None))
    asked = shop.policies.ledger.exposures(reading("moved"))
    assert asked[SECRET].columns == ("*",)
    assert asked[SECRET].digest == fitting(SECRET).tables[HOST]["read"].digest
    assert asked[SECRET].steps["sums"] != Counts()

"""Three real nodes; one shares no step with the others, and is told of none of their tables."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from atoll.cli.plan_text import plan_text
from atoll.flow.planning import DECLARED
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from atoll.sdk import Client
from tests.e2e.nodes import TestNode, nodes, table, training_job, until

LIMIT = 90.0
PARTIES = ("bank", "shop", "post")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    """Three nodes, each with a table whose columns bear its name, granted to all."""
    folder = tmp_path_factory.mktemp("apart")
    with nodes(folder / "nodes", *PARTIES) as made:
        for at, (party, node) in enumerate(made.items()):
            rows = table(at, 240 + at, 3, label=party == "bank", first=20 * at)
            file = folder / f"{party}.csv"
            file.write_bytes(rows.replace(b"x", f"{party}-column-".encode()))
            with node.client() as client:
                client.data.upload("people", file, id="id", label="y" if party == "bank" else None)
                client.data.grant(
                    "people",
                    partners=["*"],
                    automatic=True,
                    columns=["*"],
                    components=["psi", "split", "boosting", "model", "prediction"],
                    roles=["*"],
                )
        yield made


def job(name: str) -> Job:
    """Return a training of bank and shop, and beside it a look of the post at its own table."""
    plain: Any = training_job("bank", "shop", trees=2, name=name).canonical()
    plain["parties"]["post"] = "client"
    mail = {"tables": {"post": "people"}, "label": ""}
    plain["steps"]["mail"] = {"component": "reader", "parameters": mail}
    plain["steps"]["sums"] = {"component": "statistics", "inputs": {"table": "mail.table"}}
    return parse_job(plain)


def scoring_job(model: str) -> Job:
    """Return a job that scores rows of bank and shop with a model; the post only looks on."""
    named = {"model": model, "version": 1, "kind": "boosting.model"}
    steps = {
        name: step.model_dump(mode="json")
        for name, step in training_job("bank", "shop").steps.items()
        if name in ("read", "match")
    }
    held = {"component": "model", "inputs": {"table": "match.table"}, "parameters": named}
    score = {"model": "held.model", "table": "held.table"}
    steps |= {"held": held, "score": {"component": "prediction", "inputs": score}}
    parties = {"bank": "guest", "shop": "host", "post": "arbiter"}
    return parse_job({"name": "scoring", "parties": parties, "steps": steps})


def kept(node: TestNode) -> bytes:
    """Return all that a node keeps in files: database, logs, outputs."""
    whole = io.BytesIO()
    for path in sorted(node.folder.root.rglob("*")):
        if path.is_file():
            whole.write(path.read_bytes())
    return whole.getvalue()


def words(plan: Plan, party: str) -> list[bytes]:
    """Return digests and columns of a party's tables in a plan."""
    facts = plan.tables[party].values()
    found = [word.encode() for entry in facts for word in (entry.digest, *entry.columns)]
    assert found
    return found


def reported(client: Client, run: str) -> list[dict[str, Any]]:
    found = [line.body for line in client.ledger.all() if line.kind == "reveal"]
    return [
        b for b in found if isinstance(b, dict) and b["run"] == run and b["what"] == DECLARED.what
    ]


def ended(node: TestNode, of: str) -> bool:
    with node.client() as client:
        found = [row for row in client.jobs.list().items if row.id == of]
        return bool(found) and found[0].state == "success"


@pytest.mark.parametrize("initiator", ["bank", "post"])
def test_a_party_that_shares_no_step_is_told_of_no_table_and_signs_the_same(
    three: dict[str, TestNode], initiator: str
) -> None:
    with three[initiator].client() as client:
        done = client.jobs.submit(job(f"by-{initiator}")).wait(LIMIT).check()
    plans, receivers, seen = {}, {}, {}
    for party, node in three.items():
        until(partial(ended, node, done.id), LIMIT)
        with node.client() as client:
            view = client.jobs.get(done.id).plan()
            plans[party] = Plan.model_validate(view.plan)
            assert view.agreed
            assert view.digest == plans[party].digest()
            receivers[party] = {line["receiver"] for line in reported(client, done.id)}
            seen[party] = plan_text(view)
    assert len({plan.digest() for plan in plans.values()}) == 1
    assert receivers == {"bank": {"shop"}, "shop": {"bank"}, "post": set()}
    assert "step boost: not shown to this party" in seen["post"]
    assert "step sums: not shown to this party" in seen["bank"]
    for party, node in three.items():
        whole = kept(node)
        for other in PARTIES:
            shared = party == other or "post" not in (party, other)
            assert all((word in whole) == shared for word in words(plans[other], other))


def test_a_plan_beforehand_shows_what_is_not_shown(three: dict[str, TestNode]) -> None:
    for party, hidden in (("bank", {"mail", "sums"}), ("post", {"read", "match", "boost"})):
        with three[party].client() as client:
            found = client.jobs.plan(job("foreseen"))
        plan = Plan.model_validate(found.plan)
        assert found.digest is None
        assert plan.hidden.keys() >= hidden
        assert set(plan.hidden.values()) == {None}
        assert "its digest is known once" in plan_text(found)
    for party in PARTIES:
        with three[party].client() as client:
            asked = {str(b.body["run"]) for b in client.ledger.all() if "run" in b.body}
        # Only who is told of something has it in its ledger.
        shop = {"plan for bank"} if party == "shop" else set()
        assert {run.rpartition(" ")[0] for run in asked if run.startswith("plan")} == shop


def test_a_model_of_such_a_job_predicts(three: dict[str, TestNode]) -> None:
    with three["bank"].client() as bank, three["post"].client() as post:
        done = bank.jobs.submit(job("trained")).wait(LIMIT).check()
        # A node registers the model just after the job's end is seen.
        (model,) = until(
            lambda: [m for m in bank.models.list().items if m.id.startswith(done.id)], LIMIT
        )
        found = bank.models.get(model.id, 1)
        data = (found.lineage or {})["data"]
        assert isinstance(data, dict)
        assert {party for party, held in data.items() if held} == {"bank", "shop"}
        going = bank.jobs.submit(scoring_job(model.id))

        def waits() -> bool:
            rows = [row for row in post.jobs.list().items if row.id == going.id]
            return bool(rows) and rows[0].state == "awaiting approval"

        # No grant speaks for a party without a part in it, so a person there does.
        until(waits, LIMIT)
        post.jobs.get(going.id).approve()
        scored = going.wait(LIMIT).check()
        assert any(a.name == "scores" for a in scored.artifacts().items)
        assert "but of no table in it" in plan_text(scored.plan())


def test_outputs_of_hidden_steps_serve_again(three: dict[str, TestNode]) -> None:
    with three["post"].client() as post:
        post.jobs.submit(job("again")).wait(LIMIT).check()
        second = post.jobs.submit(job("again")).wait(LIMIT).check()
        states = {name: step.state for name, step in post.jobs.get(second.id).view.steps.items()}
    # What only one of a step's parties keeps does not serve again.
    again = {step for step, state in states.items() if state == "reused"}
    assert again >= {"read", "match", "boost", "mail", "sums"}

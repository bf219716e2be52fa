"""Declare, plan, approve: what is compared, what is checked, and what a person sees meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atoll.core.errors import PeerError
from atoll.flow import control
from atoll.flow.control.facts import PlanFacts, Proposal, SignedApproval, approval_nonce
from atoll.jobs import approval as approvals
from atoll.jobs.plan import ComponentFacts
from tests.flow.control.pair import JOB_ID, KEYS, NONCE, Node, World, approve, make_job, table

FOREIGN = "20300102030405-ffffffff"


def refusing(code: str) -> object:
    return lambda command: control.Decided("refuse", Node("bank").now, code=code)


def queued(command: control.Decide) -> control.Decided:
    return control.Decided("queue", control.Moment(0.0, 0.0))


def test_a_person_is_waited_for_and_may_approve() -> None:
    world = World()
    world["shop"].policy = queued
    world["bank"].submit(make_job())
    world.rounds(5)
    assert world["shop"].shown == ("awaiting approval", "approval here")
    assert world["bank"].shown == ("waiting", "approval of shop")
    question = control.open_decision(world["shop"].record)
    assert question is not None
    document, signature = approve(question, "shop")
    now = world["shop"].now
    world["shop"].happen(JOB_ID, control.Decided("approve", now, document, signature))
    world.rounds(12)
    assert world.ends() == {("success", None)}


def test_a_refusal_ends_the_job_everywhere_with_its_code() -> None:
    world = World(3)
    world["post"].policy = refusing("ATL-FLW-018")  # type: ignore[assignment]
    world["bank"].submit(make_job(3))
    world.rounds(8)
    assert {node.end for node in world.nodes.values()} == {("refused", "ATL-FLW-018", "post")}
    assert not any(node.started() for node in world.nodes.values())


def test_a_node_that_cannot_take_part_refuses_and_keeps_the_place_at_home() -> None:
    world = World()
    shop = world["shop"]
    shop.carry_out = lambda job, command: (  # type: ignore[method-assign]
        shop.inbox.append((job, control.DeclareFailed("ATL-JOB-010", "steps.read", shop.now)))
        if isinstance(command, control.Declare)
        else None
    )
    world["bank"].submit(make_job())
    world.rounds(4)
    assert world["bank"].end == ("refused", "ATL-JOB-010", "shop")
    assert (shop.record.place, world["bank"].record.place) == ("steps.read", None)


def test_different_plans_are_refused_and_the_part_is_named() -> None:
    world = World()
    shop = world["shop"]
    honest = shop.rules.build
    shop.rules = replace(
        shop.rules,
        build=lambda *args: honest(*args).model_copy(update={"warnings": ("another",)}),
    )
    world["bank"].submit(make_job())
    world.rounds(6)
    assert world.ends() == {("failed", "ATL-PLN-001")}
    assert "warnings" in {node.record.place for node in world.nodes.values()}


def test_other_code_is_refused_by_name() -> None:
    world = World()
    bank = world["bank"]
    bank.submit(make_job())
    world.rounds(2)
    shop = World()["shop"]
    shop.happen(
        JOB_ID,
        control.FactsReceived("bank", control.sync.update_for(bank.record, 0, "shop"), shop.now),
    )
    other = {"synthetic": ComponentFacts(version="2", code="3" * 64)}
    assert shop.record.own.declaration is not None
    world["shop"].forge(declaration=replace(shop.record.own.declaration, components=other))
    bank.records[JOB_ID] = replace(
        bank.record, facts={"bank": replace(bank.record.own, plan=None)}, plan=None, approved={}
    )
    world.rounds(2)
    assert (bank.record.place, bank.end[1]) == ("components.synthetic", "ATL-PLN-001")


def fresh_world() -> World:
    """A world where shop has not approved yet."""
    world = World()
    world["shop"].policy = queued
    world["bank"].submit(make_job())
    world.rounds(4)
    return world


def signed_by(signer: str, world: World, **changes: object) -> SignedApproval:
    question = control.open_decision(world["shop"].record)
    assert question is not None
    made = approvals.make(question.plan, "shop", nonce=question.nonce, expires=10_000)
    document = replace(made, **changes).encode()  # type: ignore[arg-type]
    return SignedApproval(document, approvals.sign(document, KEYS[signer]))


@pytest.mark.parametrize(
    ("signer", "changes", "code"),
    [
        ("bank", {}, "ATL-PLN-002"),
        ("shop", {"plan": "0" * 64}, "ATL-PLN-002"),
        ("shop", {"approver": "post"}, "ATL-PLN-002"),
        ("shop", {"role": "guest"}, "ATL-PLN-002"),
        ("shop", {"keys": {}}, "ATL-PLN-002"),
        ("shop", {"nonce": bytes(32)}, "ATL-PLN-002"),
        ("shop", {"nonce": approval_nonce(FOREIGN, NONCE, "shop", 1)}, "ATL-PLN-002"),
        ("shop", {"nonce": approval_nonce(JOB_ID, NONCE, "shop", 2)}, "ATL-PLN-002"),
        ("shop", {"expires": 999}, "ATL-PLN-003"),
        ("shop", {"runs": 0}, "ATL-PLN-003"),
    ],
)
def test_an_approval_that_does_not_fit_ends_the_job(
    signer: str, changes: dict[str, object], code: str
) -> None:
    world = fresh_world()
    world["shop"].forge(approval=signed_by(signer, world, **changes))
    world.rounds(4)
    assert world["bank"].end == ("failed", code, "shop")
    assert not world["bank"].started()
    assert world["shop"].end[0] == "failed"


def test_an_own_approval_that_does_not_fit_is_the_callers_error() -> None:
    world = fresh_world()
    wrong = signed_by("bank", world)
    event = control.Decided("approve", world["shop"].now, wrong.document, wrong.signature)
    with pytest.raises(PeerError, match="ATL-PLN-002"):
        world["shop"].happen(JOB_ID, event)
    assert world["shop"].shown[0] == "awaiting approval"


def test_an_approval_counts_only_until_it_expires() -> None:
    world = World(limits=control.QueueLimits(as_initiator=0, as_host=1))
    world["bank"].submit(make_job())
    world.rounds(4)
    assert world["bank"].shown == ("waiting", "slot here")
    for node in world.nodes.values():
        node.now = control.Moment(node.now.monotonic, 20_000.0)
        node.queue = replace(node.queue, limits=control.QueueLimits())
    world.rounds(6)
    assert world.ends() == {("failed", "ATL-PLN-003")}
    assert not any(node.started() for node in world.nodes.values())


def test_the_proposal_cannot_change() -> None:
    world = World()
    world["shop"].policy = queued
    world["bank"].submit(make_job())
    world.rounds(3)
    world["bank"].forge(proposal=Proposal(make_job(steps={"read": []}), NONCE))
    world.rounds(3)
    assert world["shop"].end == ("failed", "ATL-FLW-003", "bank")
    assert world["bank"].end == ("failed", "ATL-FLW-003", "bank")
    assert len(world["shop"].record.job.steps) == 3


def test_an_initiator_that_proposes_differently_to_each_is_found() -> None:
    world = World(3)
    bank = world["bank"]
    bank.submit(make_job(3))
    other = Node("bank")
    other.submit(make_job(3, steps={"read": []}))
    update = control.sync.update_for(other.record, 0, "post")
    world["post"].happen(JOB_ID, control.FactsReceived("bank", update, world["post"].now))
    world.cut.add(frozenset({"bank", "post"}))
    world.rounds(6)
    assert world["shop"].record.own.approval is not None or world["shop"].end[1]
    document = other.record
    assert document.job != bank.record.job
    world["post"].happen(
        JOB_ID,
        control.FactsReceived("bank", control.sync.update_for(other.record, 0, "post"), other.now),
    )
    assert not world["shop"].started()
    assert not world["post"].started()


def test_a_plan_must_not_change_and_a_lie_about_it_is_found() -> None:
    world = fresh_world()
    assert world["shop"].record.own.plan is not None
    parts = dict(world["shop"].record.own.plan.parts)
    world["shop"].forge(plan=PlanFacts("0" * 64, parts))
    world.rounds(2)
    assert world["bank"].end == ("failed", "ATL-FLW-002", "shop")


def test_a_component_that_breaks_on_declared_figures_does_not_break_the_node() -> None:
    world = World()

    def burst(*args: object) -> object:
        raise OverflowError("too many rows")

    world["bank"].rules = replace(world["bank"].rules, build=burst)  # type: ignore[arg-type]
    world["bank"].submit(make_job())
    world.rounds(4)
    assert world.ends() == {("failed", "ATL-FLW-021")}


def test_a_certificate_that_is_not_the_partys_ends_the_job() -> None:
    world = World()
    world["bank"].submit(make_job())
    world["shop"].carry_out = lambda job, command: None  # type: ignore[method-assign]
    world.rounds(2)
    stolen = control.Declared(
        {"read": table("shop")},
        {"synthetic": ComponentFacts(version="1", code="2" * 64)},
        b"another certificate",
        world["shop"].now,
    )
    world["shop"].happen(JOB_ID, stolen)
    world.rounds(3)
    assert world["bank"].end == ("failed", "ATL-PLN-002", "shop")

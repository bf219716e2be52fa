"""Parties that share no step are told nothing of each other's tables, and sign the same plan."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import InternalError
from atoll.flow import control, planning
from atoll.flow.control.facts import Declaration, JobDocument, PlanFacts, encode_section
from atoll.flow.control.reading import read_section
from atoll.flow.control.reuse import blinded_key, reuse_key
from atoll.flow.control.sync import SyncMessage
from atoll.jobs.approval import Approval
from atoll.jobs.plan import STEP_PART, ComponentFacts, Plan
from tests.flow.control import pair
from tests.flow.control.apart import (
    HIDDEN,
    PARTIES,
    STEPS,
    ApartWorld,
    facts_of,
    make_job,
    reader,
)
from tests.flow.control.pair import JOB_ID, World, table
from tests.jobs.test_approval import plan


def run(initiator: str, job: Any = None, rounds: int = 25) -> ApartWorld:
    world = ApartWorld()
    world[initiator].submit(job or make_job())
    world.rounds(rounds)
    return world


def signed(world: ApartWorld) -> set[str]:
    """Return the digests that all parties signed, as each of them has the approvals."""
    return {
        Approval.decode(facts.approval.document).plan
        for node in world.apart.values()
        for facts in node.record.facts.values()
        if facts.approval is not None
    }


def words(facts: JobDocument) -> set[str]:
    """Return what tells of a party's tables; their names are in the job, which all are told."""
    assert facts.declaration is not None
    tables = facts.declaration.tables.values()
    return {word for t in tables for word in (t.digest, *t.columns, t.salt or t.digest)}


@pytest.mark.parametrize("initiator", PARTIES)
def test_each_is_told_of_its_own_branch_alone_and_all_sign_the_same(initiator: str) -> None:
    world = run(initiator)
    assert world.ends() == {("success", None)}
    assert not any(node.record.faults for node in world.apart.values())
    assert len(signed(world)) == 1
    assert signed(world) == {node.plan.digest() for node in world.apart.values()}
    for party, node in world.apart.items():
        assert node.plan.hidden.keys() == HIDDEN[party]
        assert len(node.record.facts) == 3
        for other in PARTIES:
            shared = party == other or "post" not in (party, other)
            found = words(world[other].record.own)
            assert any(word.encode() in b"".join(node.reported) for word in found) == (
                shared and party != other
            )
            assert any(word in str(node.record.to_plain()) for word in found) == shared
    # The tasks of each step ran at those that take part, and nowhere else.
    assert [step for step, _ in world["post"].started()] == ["coin toss", "mail", "sums"]
    assert {step for step, _ in world["shop"].started()} == {"coin toss", "read", "psi", "look"}


def test_nothing_but_digests_is_told_of_a_hidden_step() -> None:
    mine = run("bank")["post"].plan
    for step in HIDDEN["post"]:
        for field in ("trust_models", "implementations", "reveals", "estimated_bytes", "minimums"):
            assert step not in getattr(mine, field)
        assert not any(step in held for held in mine.tables.values())
        assert not any(at.startswith(f"{step}.") for at in mine.owners)
        # What follows from the job alone is there for those who drive and watch it.
        assert mine.parties_of(step) == {"bank", "shop"}
    assert mine.version == 2
    assert mine.audience == {"mail": ("post",), "read": ("bank", "shop")}


def test_a_party_that_takes_part_nowhere_is_told_of_no_table() -> None:
    steps = {name: step for name, step in STEPS.items() if name in ("read", "psi", "look")}
    world = run("bank", make_job(steps))
    assert world.ends() == {("success", None)}
    assert len(signed(world)) == 1
    assert world["post"].plan.hidden.keys() == steps.keys()
    warned = [text for text in world["bank"].plan.warnings if "takes part in no step" in text]
    assert warned == [
        "post (client) takes part in no step, and is sent this job all the same, "
        "but of no table in it"
    ]
    assert not any(b"loans-size" in data for data in world["post"].reported)


def test_who_is_told_follows_from_the_job() -> None:
    steps = {"read": reader("bank", "post"), "mail": reader("post")}
    reported = planning.audience_of(make_job(steps), CATALOGUE)
    assert reported == {"read": ("bank", "post"), "mail": ("post",)}
    # The intersection is of guest and hosts, so the post is told of its own table alone.
    assert planning.audience_of(make_job(), CATALOGUE) == {
        "read": ("bank", "shop"),
        "mail": ("post",),
    }
    assert planning.audience_of(make_job({"read": reader(*PARTIES)}), CATALOGUE) == {}


def test_a_digest_says_nothing_to_whoever_tries_tables_against_it() -> None:
    world = run("bank")
    job, bank = world["bank"].record.job, world["bank"].plan
    # The post knows the job, the code, the keys, and even the very tables, but for the salts.
    guess = {party: facts_of(job, party) for party in PARTIES}
    tried = planning.build(job, CATALOGUE, guess, bank.certificates, "bank")
    tried = control.limited(tried, world["bank"].record.options)
    for step in HIDDEN["post"]:
        assert tried.parts()[STEP_PART + step] != bank.parts()[STEP_PART + step]
        assert bank.step_salt(step) != tried.step_salt(step)
    kept = {name: value for name, value in bank.parts().items() if not name.startswith(STEP_PART)}
    assert kept.items() <= tried.parts().items()


def test_outputs_serve_again_and_nobody_hears_of_which_tables() -> None:
    world = run("post")
    later = "20300102030406-0123abcd"
    world["post"].submit(make_job(), job_id=later)
    world.rounds(25)
    assert {control.view(node.records[later]).state for node in world.apart.values()} == {"success"}
    states = {s: v.state for s, v in control.view(world["post"].records[later]).steps.items()}
    assert states.pop("coin toss") == "success"
    assert set(states.values()) == {"reused"}
    record = world["bank"].records[later]
    for step in HIDDEN["post"]:
        reported = record.own.reusable[step].key
        assert reported == blinded_key(record, step) != reuse_key(record, step)
        assert blinded_key(world["post"].records[later], step) is None
    # What serves is looked up by what lasts, as in jobs in which nothing is hidden.
    assert reuse_key(world["bank"].records[JOB_ID], "read") == reuse_key(
        world["bank"].records[later], "read"
    )


@pytest.mark.parametrize("party", PARTIES)
def test_a_node_that_restarts_while_the_parties_agree_goes_on(party: str) -> None:
    for rounds in range(1, 6):
        world = run("bank", rounds=rounds)
        if JOB_ID not in world[party].records:
            continue
        world[party].restart()
        world.rounds(25)
        assert world.ends() == {("success", None)}
        assert len(signed(world)) == 1


def test_a_job_can_be_run_again() -> None:
    world = run("post")
    world["post"].happen(JOB_ID, control.RerunAsked("psi", world["post"].now))
    for node in world.apart.values():
        node.runs = 2
    world.rounds(25)
    assert world.ends() == {("success", None)}
    assert len(signed(world)) == 1


def test_a_plan_without_the_digests_of_hidden_steps_has_none_and_is_not_decided() -> None:
    job = make_job()
    declared = {party: facts_of(job, party) for party in PARTIES}
    mine = planning.build(job, CATALOGUE, declared, dict.fromkeys(PARTIES, "k"), "post")
    assert not mine.complete
    assert "loans-size" not in str(mine.canonical())
    with pytest.raises(InternalError, match="hidden steps"):
        mine.digest()
    assert Plan.model_validate(mine.canonical()) == mine
    world = ApartWorld()
    world.cut = {frozenset({"post", "shop"})}
    world["bank"].submit(job)
    world.rounds(6)
    assert world["post"].record.own.approval is None
    assert control.view(world["post"].record).state == "waiting"


def test_what_is_told_where_nothing_is_hidden_keeps_its_bytes() -> None:
    """Digests from before anything could be hidden: nodes of then and now agree on such jobs."""
    facts = {"bank": {"reader": table("loans")}, "shop": {"reader": table("visits")}}
    made = plan(
        tables=facts,
        warnings=("reader: mind this",),
        party_parameters={"reader": {"shop": {"id": "customer"}}},
        seats={"reader": ("bank:guest", "shop:host")},
        edges={"reader": ()},
        quorum={"reader": {"host": 0}},
    )
    whole = PlanFacts(made.digest(), made.parts())
    declaration = Declaration(
        {"read": table("shop")}, {"toy": ComponentFacts(version="1", code="2" * 64)}, b"cert"
    )
    assert [
        hashlib.sha256(encode_section(entry)).hexdigest() for entry in (whole, declaration)
    ] == [
        "0b80557d7108b69e572c4472f69088b5eba48c9e6e0fbe261f949ff667017c41",
        "be29655f9fd99e0a3df7e723f0adfb64838dbd40499e55fea41e395d70e01fff",
    ]
    assert declaration.to("anybody", {}) is declaration
    world = World()
    world["bank"].submit(pair.make_job(component="toy"))
    world.rounds(2)
    found = reuse_key(world["bank"].record, "read")
    assert found == "540d0d2e13a24bd444cc4b1869a76e260f8d6dc99ccb0c15b2e38ab08ac0502b"
    assert blinded_key(world["bank"].record, "read") == found


# -- lies ----------------------------------------------------------------------------------------


def test_who_makes_another_plan_of_a_step_is_found_by_those_who_do_not_see_it_too() -> None:
    world = ApartWorld()
    world["shop"].change = lambda plan: plan.model_copy(
        update={"estimated_bytes": {**plan.estimated_bytes, "psi": 1}}
    )
    world["bank"].submit(make_job())
    # Neither of the two that see the step can warn the third.
    world.cut = {frozenset({"bank", "shop"})}
    world.rounds(4)
    assert world["post"].record.own.plan is None or not world["post"].record.plan.complete  # type: ignore[union-attr]
    world.cut = set()
    world.rounds(4)
    assert {code for _, code in world.ends()} == {"ATL-PLN-001"}
    assert world["post"].record.own.approval is None
    assert {node.record.place for node in world.apart.values()} <= {"steps.psi", None}
    assert any(node.record.place == "steps.psi" for node in world.apart.values())


def parts_sent(change: Any) -> Any:
    """Return a twist by which a party tells one peer other parts of its plan."""

    def twist(message: SyncMessage) -> SyncMessage:
        updates = []
        for update in message.updates:
            sections = dict(update.sections)
            if "plan" in sections:
                honest: PlanFacts = read_section("plan", sections["plan"])
                lie = PlanFacts(honest.digest, change(dict(honest.parts)))
                sections["plan"] = encode_section(lie)
            updates.append(replace(update, sections=sections))
        return replace(message, updates=tuple(updates))

    return twist


def lying(liar: str, to: str, change: Any, steps: Any = STEPS) -> ApartWorld:
    world = ApartWorld()
    reported = parts_sent(change)
    world[liar].twist = lambda peer, message: reported(message) if peer == to else message
    world["bank"].submit(make_job(steps))
    world.rounds(12)
    return world


def test_a_digest_on_which_those_who_see_a_step_disagree_is_not_taken_over() -> None:
    world = lying("shop", "post", lambda parts: {**parts, "steps.psi": "0" * 64})
    assert world["post"].end == ("failed", "ATL-PLN-001", "shop")
    assert world["post"].record.place == "steps.psi"
    assert world["post"].record.own.approval is None
    assert {code for _, code in world.ends()} == {"ATL-PLN-001"}


def test_who_tells_two_parties_two_digests_of_its_own_step_is_found_by_what_they_sign() -> None:
    alone = {**STEPS, "own": reader("bank")}
    world = lying("bank", "post", lambda parts: {**parts, "steps.own": "0" * 64}, alone)
    assert {code for _, code in world.ends()} == {"ATL-PLN-002"}
    assert not any(node.started() for node in world.apart.values())


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: {name: d for name, d in parts.items() if name != "steps.psi"},
        lambda parts: {**parts, "steps.psi": "0" * 64},
        lambda parts: {**parts, "steps.mail": "0" * 64},
        lambda parts: {**parts, "seats": "0" * 64},
        lambda parts: {name: d for name, d in parts.items() if name != "certificates"},
    ],
    ids=["left out", "another", "not its own", "common", "common left out"],
)
@pytest.mark.parametrize("to", ["shop", "post"])
def test_parts_that_a_party_must_not_tell_so_are_refused(to: str, change: Any) -> None:
    world = lying("bank", to, change)
    assert {code for _, code in world.ends()} == {"ATL-PLN-001"}
    assert world[to].record.own.approval is None or to == "shop"
    assert not any(node.started() for node in world.apart.values())


def test_a_step_cannot_be_hidden_from_who_takes_part_in_it() -> None:
    world = ApartWorld()

    def without(peer: str, message: SyncMessage) -> SyncMessage:
        updates = []
        for update in message.updates:
            sections = dict(update.sections)
            if "declaration" in sections:
                honest = read_section("declaration", sections["declaration"])
                sections["declaration"] = encode_section(replace(honest, tables={}))
            updates.append(replace(update, sections=sections))
        return replace(message, updates=tuple(updates))

    world["bank"].twist = without
    world["bank"].submit(make_job())
    world.rounds(8)
    assert {code for _, code in world.ends()} == {"ATL-PLN-005"}


def test_facts_that_a_party_should_not_be_told_are_not_used() -> None:
    world = ApartWorld()
    # Tells everything to everybody, as a node from before would.
    for node in world.apart.values():
        node.declares_all = True
    world["bank"].submit(make_job())
    world.rounds(25)
    assert world.ends() == {("success", None)}
    assert "read" in world["post"].record.facts["bank"].declaration.tables  # type: ignore[union-attr]
    assert world["post"].plan.hidden.keys() == HIDDEN["post"]
    assert world["post"].plan.tables["bank"] == world["post"].plan.tables["shop"] == {}


def test_two_plans_of_one_party_are_refused() -> None:
    world = run("bank", rounds=4)
    own = world["shop"].record.own.plan
    assert own is not None
    assert own.digest is None
    world["shop"].forge(plan=PlanFacts(None, {**own.parts, "steps.psi": "0" * 64}))
    world.rounds(4)
    assert world["bank"].end == ("failed", "ATL-FLW-002", "shop")


def test_who_tells_of_a_plan_in_which_nothing_is_hidden_is_refused() -> None:
    world = ApartWorld()
    world["shop"].submit(make_job())
    world["bank"].change = lambda plan: plan.model_copy(update={"version": 1, "hidden": {}})
    world.rounds(8)
    assert {code for _, code in world.ends()} == {"ATL-PLN-001"}


def test_who_tells_whom_must_be_the_same_in_the_plan_as_when_it_was_told() -> None:
    world = ApartWorld()
    world["bank"].change = lambda plan: plan.model_copy(update={"audience": {}})
    world["bank"].submit(make_job())
    world.rounds(6)
    assert world["bank"].end[:2] == ("failed", "ATL-FLW-021")

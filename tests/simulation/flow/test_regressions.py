"""What the simulation found once, told as short stories."""

from __future__ import annotations

from atoll.flow import control
from tests.flow.control.pair import JOB_ID, World, approve, make_job


def test_a_policys_late_answer_to_an_earlier_run_is_left_aside() -> None:
    world = World()
    shop = world["shop"]
    asked: list[control.Decide] = []

    def later(command: control.Decide) -> control.Decided:
        asked.append(command)
        return control.Decided("queue", shop.now, run=command.run)

    shop.policy = later
    world["bank"].submit(make_job())
    world.rounds(4)
    bank = world["bank"]
    bank.happen(JOB_ID, control.StopAsked("cancel", "ann", bank.now))
    world.rounds(4)
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    world.rounds(4)
    document, signature = approve(asked[0], "shop")
    before = shop.record
    shop.happen(JOB_ID, control.Decided("approve", shop.now, document, signature, run=1))
    assert shop.record == before
    document, signature = approve(asked[1], "shop")
    shop.happen(JOB_ID, control.Decided("approve", shop.now, document, signature, run=2))
    world.rounds(12)
    assert world.ends() == {("success", None)}


def test_a_policys_answer_after_the_end_is_left_aside() -> None:
    world = World()
    shop = world["shop"]
    shop.policy = lambda command: control.Decided("queue", shop.now)
    world["bank"].submit(make_job())
    world.rounds(4)
    question = control.open_decision(shop.record)
    assert question is not None
    world["bank"].happen(JOB_ID, control.StopAsked("cancel", "ann", world["bank"].now))
    world.rounds(4)
    document, signature = approve(question, "shop")
    shop.happen(JOB_ID, control.Decided("approve", shop.now, document, signature))
    assert shop.record.own.approval is None
    assert world.ends() == {("cancelled", "ATL-FLW-007")}


def test_an_initiator_that_changes_its_proposal_and_talks_on_does_not_keep_a_host() -> None:
    world = World()
    world["shop"].policy = lambda command: control.Decided("queue", world["shop"].now)
    world["bank"].submit(make_job())
    world.rounds(3)
    other = control.facts.Proposal(make_job(steps={"read": []}), bytes(32))
    world["bank"].forge(proposal=other)
    world.rounds(1)
    assert world["shop"].end == ("failed", "ATL-FLW-003", "bank")

"""An initiator that commands what an honest one would not."""

from __future__ import annotations

from dataclasses import replace

from atoll.flow import control
from atoll.flow.control.facts import StepCommand
from atoll.flow.control.rules import LOST_LIMIT
from tests.dishonest.initiating import FAILED, HONEST, LIAR, at_work, blamed, mute
from tests.flow.control.pair import JOB_ID, World, make_job

STEP = "match"


def idle(retries: int, most: int, runs: int = 3) -> World:
    """Play a job whose initiator ends each attempt before the honest party has sent anything."""
    world = World().approving(99)
    world[HONEST].runs = runs
    for node in world.nodes.values():
        at_work(node, STEP)
        node.reveals = False
    world[LIAR].submit(make_job(), retries=retries)
    for _ in range(4 * most):
        world.round()
        begun = world[HONEST].records and STEP in world[HONEST].record.running
        if begun and STEP in world[LIAR].record.running:
            world[LIAR].report(STEP, *FAILED)
    return world


def test_more_attempts_than_were_signed() -> None:
    """Lie: attempts that reveal nothing go on beyond those of the plan: ignored, ATL-FLW-005."""
    world = idle(retries=0, most=3)
    liar, honest = world[LIAR], world[HONEST]
    assert honest.record.plan is not None
    most = honest.record.plan.attempts[STEP]
    assert most == 1 + LOST_LIMIT
    liar.happen(JOB_ID, control.RetryAsked(liar.now))
    world.rounds(6)
    assert honest.record.running == {STEP: 2}
    mute(liar)
    for attempt in range(3, most + 6):
        liar.forge(commands={**liar.record.own.commands, STEP: StepCommand(attempt)})
        world.rounds(2)
    begun = [attempt for step, attempt in honest.started() if step == STEP]
    assert len([attempt for attempt in begun if attempt > 1]) == most
    assert blamed(honest)[0] == f"commands.{STEP}: an attempt beyond the allowed ones"


def test_a_run_that_no_one_approved() -> None:
    """Lie: the run is counted on by hand beyond the approval. The party asks its people first."""
    world = idle(retries=0, most=3, runs=1)
    liar, honest = world[LIAR], world[HONEST]
    honest.policy = lambda c: control.Decided("queue", honest.now, run=c.run)
    mute(liar)
    liar.forge(run=2, commands={}, end=None)
    world.rounds(2)
    slot = replace(liar.record.own.slot, offer=2, withdrawn=1, started=2)
    liar.forge(slot=slot, commands={"coin toss": StepCommand(2)})
    world.rounds(4)
    assert blamed(honest) == ["commands.coin toss: before this party's approval"]
    assert ("coin toss", 2) not in honest.started()


def test_a_step_that_ended_well_everywhere() -> None:
    """Lie: a step that all hold as done is commanded once more: ignored, ATL-FLW-005."""
    world = World().approving(9)
    for node in world.nodes.values():
        at_work(node, "count")
    world[LIAR].submit(make_job(), retries=9)
    world.rounds(14)
    liar, honest = world[LIAR], world[HONEST]
    mute(liar)
    liar.forge(commands={**liar.record.own.commands, STEP: StepCommand(2)})
    world.rounds(3)
    assert blamed(honest) == [f"commands.{STEP}: done in this run"]
    assert [attempt for step, attempt in honest.started() if step == STEP] == [1]

"""An initiator that commands what an honest one would not."""

from __future__ import annotations

from dataclasses import replace

from atoll.cli.lines import blamed as blamed_words
from atoll.flow import control
from atoll.flow.control import Ended
from atoll.flow.control.facts import End, StepCommand, Stop
from atoll.flow.control.rules import LOST_LIMIT
from atoll.flow.node.jobs.endings import ended_line
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


def test_an_end_that_names_another_party() -> None:
    """Lie: the verdict blames a third party. It ends the job here, as the initiator's word."""
    world = World(parties=3).approving(1)
    at_work(world[HONEST], STEP)
    world[LIAR].submit(make_job(parties=3))
    world.rounds(6)
    mute(world[LIAR])
    world[LIAR].forge(end=End("failed", "ATL-WRK-008", "post"))
    world.rounds(4)
    seen = control.view(world[HONEST].record)
    assert (seen.state, seen.party, seen.stated_by) == ("failed", "post", LIAR)
    assert blamed_words(seen.party, seen.stated_by) == f"{LIAR} states: party post"
    assert "as bank states" in ended_line(world[HONEST].record, Ended("failed", None, "post"))


def test_a_stop_that_names_another_party() -> None:
    """Lie: a host stops the job for a fault that it says is the other host's."""
    world = World(parties=3).approving(1)
    at_work(world[LIAR], STEP)
    world[LIAR].submit(make_job(parties=3))
    world.rounds(6)
    mute(world["post"])
    world["post"].forge(stop=Stop("stop", "ATL-PSI-007", HONEST))
    world.rounds(4)
    for node in (world[LIAR], world[HONEST]):
        seen = control.view(node.record)
        assert (seen.state, seen.party) == ("failed", HONEST)
    assert control.view(world[LIAR].record).stated_by == "post"


def test_a_host_that_states_to_hold_more_than_there_is() -> None:
    """Lie: it holds more of a third party's facts than that sent. It ends the job: ATL-FLW-012.

    The liar is named in the end, as a fault, and to the people of the party that it accuses.
    """
    world = World(parties=3).approving(1)
    at_work(world[HONEST], STEP)
    world[LIAR].submit(make_job(parties=3))
    world.rounds(6)
    honest = world[HONEST]
    more = honest.record.version + 1000
    commands = honest.happen(JOB_ID, control.StaleRecord("post", more, honest.now))
    explained = [c for c in commands if isinstance(c, control.Explain)]
    assert [(c.code, c.party) for c in explained] == [("ATL-FLW-012", "post")]
    assert str(more) in explained[0].message
    assert control.Complain("post", "ATL-FLW-012", "held") in commands
    world.rounds(4)
    for node in world.nodes.values():
        assert node.end == ("failed", "ATL-FLW-012", "post")
    assert control.view(world[LIAR].record).stated_by == HONEST

"""A host of an honest party's job that states for ever that its task runs."""

from __future__ import annotations

import pytest

from atoll.flow import control
from atoll.flow.control.facts import TaskFact
from tests.flow.control.pair import World, make_job

INITIATOR, LIAR = "bank", "shop"
SECONDS = 600.0


def world_of(parties: int = 2) -> World:
    """Return a world in which the liar's task of a step never ends, and all others' do."""
    world = World(parties).approving(9)
    usual = world[LIAR].task
    world[LIAR].task = lambda command: None if command.step == "match" else usual(command)
    world[INITIATOR].submit(make_job(parties), progress_seconds=SECONDS)
    world.rounds(14)
    assert not world[INITIATOR].record.running
    return world


def passed(world: World, rounds: int) -> None:
    """Let time pass; the liar's own clock never ends its task."""
    for _ in range(rounds):
        liar = world[LIAR]
        liar.happen(liar.record.id, control.Progressed(liar.now))
        world.round(10.0)


@pytest.mark.parametrize("parties", [2, 3])
def test_a_task_that_is_stated_to_run_for_ever(parties: int) -> None:
    """Lie: a slot of the initiator is held for good. The liar is named: ATL-FLW-009."""
    world = world_of(parties)
    bank = world[INITIATOR]
    passed(world, int(SECONDS // 10) - 3)
    assert bank.shown == ("running", None)
    passed(world, 6)
    assert bank.end == ("failed", "ATL-FLW-009", LIAR)
    assert not bank.queue.holding


def test_other_facts_that_change_all_the_while() -> None:
    """Lie: the liar sends something new each time; no commanded task of its moved on."""
    world = world_of()
    bank, liar = world[INITIATOR], world[LIAR]
    for number in range(2, int(SECONDS // 10) + 6):
        made_up = TaskFact(number, "success")
        liar.forge(tasks={**liar.record.own.tasks, "count": made_up})
        passed(world, 1)
        if bank.record.end is not None:
            break
    assert bank.end == ("failed", "ATL-FLW-009", LIAR)


def test_an_honest_host_whose_steps_follow_one_another() -> None:
    """No lie: each of its steps takes most of the time allowed, while none runs here."""
    world = World().approving(9)
    bank, shop = world[INITIATOR], world[LIAR]
    shop.task = lambda command: None
    bank.submit(make_job(), progress_seconds=SECONDS)
    world.rounds(8)
    for step in ("coin toss", "read", "match", "count"):
        world.rounds(int(SECONDS // 10) - 6, 10.0)
        shop.report(step, "success")
        world.rounds(4)
    assert world.ends() == {("success", None)}


def test_a_step_that_runs_here_is_timed_by_its_progress() -> None:
    """No lie: an own task goes on and reports it, and so the others wait with it."""
    world = World().approving(9)
    bank = world[INITIATOR]
    for node in world.nodes.values():
        node.task = lambda command: None
    bank.submit(make_job(), progress_seconds=SECONDS)
    world.rounds(8)
    for _ in range(3):
        bank.happen(bank.record.id, control.Progressed(bank.now))
        passed(world, int(SECONDS // 10) - 6)
    assert bank.shown == ("running", None)


def test_an_honest_host_whose_steps_run_side_by_side() -> None:
    """No lie: one step takes longer than allowed, and another ends in the meantime."""
    world = World().approving(9)
    bank, shop = world[INITIATOR], world[LIAR]
    usual = shop.task
    shop.task = lambda command: usual(command) if command.step not in ("one", "two") else None
    graph: dict[str, list[str]] = {"read": [], "one": ["read"], "two": ["read"]}
    bank.submit(make_job(steps=graph), progress_seconds=SECONDS)
    world.rounds(12)
    assert set(shop.record.running) == {"one", "two"}
    for step in ("two", "one"):
        passed(world, int(SECONDS // 10) - 6)
        shop.report(step, "success")
        world.rounds(4)
    assert world.ends() == {("success", None)}

"""An initiator that starts runs and commands nothing, so that other partners get no slot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atoll.flow import control
from atoll.flow.control import scheduling
from atoll.flow.control.facts import StepCommand, TaskFact
from atoll.flow.control.transition import Transition
from tests.dishonest.initiating import HONEST, LIAR
from tests.flow.control.pair import Node, World, make_job

HOST_SECONDS = control.Times().host
STEPS: dict[str, list[str]] = {"read": [], "count": ["read"]}
Say = Callable[[World], None]


class Silence:
    """Lets initiators command no step beyond some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *allowed: str) -> None:
        usual = scheduling.schedule

        def schedule(transition: Transition) -> None:
            if transition.record.own.commands.keys() < set(allowed):
                usual(transition)

        monkeypatch.setattr(scheduling, "schedule", schedule)


def started(peer_seconds: float) -> World:
    """Return a world in which a run has started and goes on as far as it is commanded."""
    world = World().approving(9)
    world[LIAR].submit(make_job(steps=STEPS), peer_seconds=peer_seconds)
    world.rounds(10)
    assert world[LIAR].record.own.slot.started == 1
    assert world[HONEST].queue.holding
    return world


def passed(world: World, seconds: float) -> Node:
    """Let time pass; the liar's node is there all the while. Return the honest one."""
    world.rounds(int(seconds // 10), 10.0)
    return world[HONEST]


@pytest.mark.parametrize("peer_seconds", [60.0, 3600.0])
def test_a_run_that_is_started_and_never_commanded(
    monkeypatch: pytest.MonkeyPatch, peer_seconds: float
) -> None:
    """Lie: the slot is held for good, and nothing is charged. It is given back: ATL-FLW-020."""
    Silence(monkeypatch)
    world = started(peer_seconds)
    honest = passed(world, HOST_SECONDS - 20)
    assert honest.shown[0] == "running"
    honest = passed(world, 60)
    assert honest.end == ("failed", "ATL-FLW-020", LIAR)
    assert not honest.queue.holding
    assert not honest.started()


def test_a_run_in_which_the_coins_are_tossed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lie: one step is commanded, which is charged as a run, and no other."""
    Silence(monkeypatch, "coin toss")
    world = started(600.0)
    honest = passed(world, 560)
    assert honest.shown[0] == "running"
    honest = passed(world, 80)
    assert honest.end == ("failed", "ATL-FLW-020", LIAR)


def test_tasks_that_run_at_the_liar_before_any_toss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lie: a step that is the liar's alone is stated to run, without the toss before it."""
    Silence(monkeypatch)
    world = started(3600.0)
    liar = world[LIAR]
    tasks = {"count": TaskFact(1, "running")}
    liar.forge(commands={"count": StepCommand(1)}, tasks=tasks)
    honest = passed(world, HOST_SECONDS + 40)
    assert honest.end[1:] == ("ATL-FLW-020", LIAR)


def test_an_honest_run_whose_long_step_runs_elsewhere() -> None:
    """No lie: a step is done here and still runs at the initiator, for hours."""
    world = World().approving(9)
    bank, shop = world[LIAR], world[HONEST]
    bank.task = lambda command: None if command.step == "read" else bank.succeed(command)
    bank.submit(make_job(steps=STEPS), progress_seconds=86400.0, peer_seconds=60.0)
    world.rounds(12)
    assert not shop.record.running
    passed(world, 7200)
    assert shop.shown[0] == bank.shown[0] == "running"
    bank.report("read", "success")
    world.rounds(6)
    assert world.ends() == {("success", None)}


def test_an_honest_partition_between_two_steps() -> None:
    """No lie: nothing is commanded, as no message comes through for less than `peer_seconds`."""
    world = World().approving(9)
    bank, shop = world[LIAR], world[HONEST]
    bank.task = lambda command: None if command.step == "read" else bank.succeed(command)
    bank.submit(make_job(steps=STEPS), peer_seconds=600.0)
    world.rounds(12)
    world.cut.add(frozenset({LIAR, HONEST}))
    bank.report("read", "success")
    passed(world, 500)
    world.cut.clear()
    world.rounds(8)
    assert world.ends() == {("success", None)}
    assert shop.started()[-1] == ("count", 1)

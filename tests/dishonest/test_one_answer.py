"""An initiator that asks a question with each step, and goes on whatever the answer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from atoll.flow import control
from atoll.flow.control.facts import StepCommand
from atoll.flow.control.rules import STEPS_AT_ONCE
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan
from tests.dishonest.initiating import HONEST, LIAR, mute
from tests.flow.control.pair import JOB_ID, Node, World, build, make_job

DATA = "ATL-CMP-040"
ASKED = tuple(f"q{at}" for at in range(8))


def asking() -> World:
    """Let an initiator command all of its questions at once; each runs until a test reports it."""
    world = World()
    liar, honest = world[LIAR], world[HONEST]
    honest.task = lambda c: None if c.step in ASKED else honest.succeed(c)
    liar.task = lambda c: None if c.step in ASKED else liar.succeed(c)
    graph = {"read": [], **{step: ["read"] for step in ASKED}}
    liar.submit(make_job(steps=graph))
    while "q0" not in honest.record.running if honest.records else True:
        world.round()
    mute(liar)
    everything = {step: StepCommand(1) for step in ASKED}
    liar.forge(commands={**liar.record.own.commands, **everything})
    world.rounds(3)
    return world


def seen(world: World) -> dict[str, str]:
    """Return what the liar is sent of how its questions ended."""
    tasks = world[HONEST].record.own.tasks
    return {step: tasks[step].state for step in ASKED if step in tasks}


def test_steps_that_are_commanded_after_one_has_failed() -> None:
    """Lie: each of 8 steps fails or not by one label, and failed ones are left aside.

    The first failure is the last answer: 4 run at once, what ends later is stated as cancelled.
    """
    world = asking()
    honest = world[HONEST]
    usual = honest.carry_out
    assert len(honest.record.running) == STEPS_AT_ONCE
    honest.report("q0", "success")
    assert len(honest.record.running) == STEPS_AT_ONCE

    def deaf(job: str, command: control.Command) -> None:
        if not isinstance(command, control.KillTask):
            usual(job, command)

    honest.carry_out = deaf  # type: ignore[method-assign]
    honest.report("q1", "failed", DATA)
    assert honest.record.killing == {"q2", "q3", "q4"}
    honest.report("q2", "failed", DATA)
    honest.report("q3", "success")
    expected = {"q0": "success", "q1": "failed"}
    assert seen(world) == {**expected, "q2": "running", "q3": "running", "q4": "running"}
    honest.report("q4", "cancelled")
    world.rounds(8, honest.record.options.peer_seconds / 3)
    assert seen(world) == {**expected, "q2": "cancelled", "q3": "cancelled", "q4": "cancelled"}
    assert honest.end == ("failed", DATA, HONEST)
    assert not honest.record.faults


def test_an_honest_initiator_sees_the_step_that_failed() -> None:
    """While other steps run: the verdict is the initiator's, and no attempt is made in vain."""
    world = World()
    bank, shop = world[LIAR], world[HONEST]
    shop.task = lambda c: None if c.step in ASKED else shop.succeed(c)
    bank.task = lambda c: None if c.step in ASKED else bank.succeed(c)
    bank.submit(make_job(steps={"read": [], "q0": ["read"], "q1": ["read"]}))
    world.rounds(12)
    shop.report("q1", "failed", DATA)
    world.rounds(4)
    for node in (bank, shop):
        found = control.view(node.record)
        assert (found.state, found.code, found.party) == ("failed", DATA, HONEST)
        assert (found.phase, found.spent) == ("q1", 0)
        assert [a for s, a in node.started() if s == "q0"] == [1]
    assert bank.record.own.tasks["q0"].state == shop.record.own.tasks["q0"].state == "cancelled"
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    world.rounds(8)
    assert bank.record.run == shop.record.run == 2


def _unasked(node: Node, command: control.StartTask) -> control.TaskReported | None:
    return None if command.step in ASKED else node.succeed(command)


def _let_off(job: Job, tables: Any, keys: Any) -> Plan:
    """Return a plan whose questions one of the two hosts may leave."""
    seats = ("bank:guest", "post:host", "shop:host")
    changes = {
        "quorum": {step: {"host": 1} for step in ASKED},
        "seats": dict.fromkeys(("read", *ASKED), seats),
    }
    return build(job, tables, keys).model_copy(update=changes)


def let_off() -> World:
    """Let three nodes run steps that one of the two hosts may leave."""
    world = World(parties=3)
    for node in world.nodes.values():
        node.rules = replace(node.rules, build=_let_off)
        # Each question runs until the test reports it.
        node.task = partial(_unasked, node)
    world[LIAR].submit(make_job(parties=3, steps={"read": [], **{s: ["read"] for s in ASKED}}))
    while "q0" not in world[HONEST].record.running if world[HONEST].records else True:
        world.round()
    return world


def test_steps_that_go_on_without_who_failed() -> None:
    """Lie: each of 8 steps fails or not by one label of a client that the quorum lets off.

    The first failure is the last answer in the run: what runs is stated as cancelled at once, what
    is commanded later as left, and the others go on.
    """
    world = let_off()
    honest, others = world[HONEST], [world[name] for name in ("bank", "post")]
    ends = {step: "failed" if at % 2 else "success" for at, step in enumerate(ASKED)}
    for _ in range(60):
        world.round()
        for node in (*others, honest):
            for step in ASKED:
                if step not in node.record.running:
                    continue
                if node is honest and ends[step] == "failed":
                    node.report(step, "failed", DATA)
                else:
                    node.report(step, "success")
    stated = {step: honest.record.own.tasks[step] for step in ASKED}
    assert [stated[step].state for step in ASKED[:2]] == ["success", "failed"]
    assert {stated[step].code for step in ASKED[2:]} <= {None, "ATL-FLW-022"}
    assert {step for step, _ in honest.started()} <= {"coin toss", "read", *ASKED[:4]}
    assert "success" not in {stated[step].state for step in ASKED[2:]}
    assert world[LIAR].end[0] == world["post"].end[0] == "success"
    assert honest.end == ("failed", DATA, HONEST)

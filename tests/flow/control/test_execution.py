"""Steps at all parties: rules, retries, kills, and an initiator that commands what it may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from atoll.flow import control
from atoll.flow.control.facts import StepCommand, TaskFact
from atoll.flow.control.rules import LOST_LIMIT, may_retry
from tests.flow.control.pair import JOB_ID, Node, World, make_job

DIAMOND: dict[str, list[str]] = {
    "read": [],
    "left": ["read"],
    "right": ["read"],
    "join": ["left", "right"],
}
NETWORK = "ATL-NET-001"
Outcome = tuple[control.facts.TaskState, str | None]


def wait(command: control.StartTask) -> None:
    return None


def scripted(node: Node, outcomes: dict[tuple[str, int], Outcome]) -> None:
    """Let the tasks of a node end as scripted, all others well."""

    def task(command: control.StartTask) -> control.TaskReported:
        state, code = outcomes.get((command.step, command.attempt), ("success", None))
        return control.TaskReported(
            command.step, command.attempt, state, node.now, code, "phase", revealed=False
        )

    node.task = task


def start_running(world: World, steps: dict[str, list[str]] | None = None, **options: Any) -> None:
    """Submit at bank and let tasks stay running."""
    for node in world.nodes.values():
        node.task = wait
    world["bank"].submit(make_job(len(world.nodes), steps), **options)
    world.rounds(6)


def finish(world: World, step: str) -> None:
    for node in world.nodes.values():
        node.report(step, "success")
    world.rounds(3)


def running(world: World) -> list[str]:
    return sorted(world["bank"].record.running)


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        ("parallel", [["left", "right"], ["join"]]),
        ("serial", [["left"], ["right"], ["join"]]),
    ],
)
def test_step_rules(rule: str, order: list[list[str]]) -> None:
    world = World()
    start_running(world, DIAMOND, step_rule=rule)
    assert running(world) == ["coin toss"]
    finish(world, "coin toss")
    assert running(world) == ["read"]
    finish(world, "read")
    for steps in order:
        assert running(world) == steps == sorted(world["shop"].record.running)
        for step in steps:
            finish(world, step)
    assert world.ends() == {("success", None)}


def test_the_costly_step_goes_first_and_only_a_few_run_at_once() -> None:
    many: dict[str, list[str]] = {f"s{at}": [] for at in range(6)}
    world = World()
    start_running(world, many, step_rule="cost_first")
    finish(world, "coin toss")
    assert running(world) == ["s2", "s3", "s4", "s5"]
    finish(world, "s3")
    assert running(world) == ["s1", "s2", "s4", "s5"]


@pytest.mark.parametrize("failing", ["bank", "shop"])
def test_network_trouble_is_tried_again_as_often_as_allowed(failing: str) -> None:
    world = World().approving(9)
    bad: Outcome = ("failed", NETWORK)
    scripted(world[failing], {("match", 1): bad, ("match", 2): bad})
    world["bank"].submit(make_job(), retries=2)
    world.rounds(20)
    assert world.ends() == {("success", None)}
    assert [a for s, a in world[failing].started() if s == "match"] == [1, 2, 3]
    for node in world.nodes.values():
        assert node.started()[-2:] == [("match", 3), ("count", 1)]
        assert [a for s, a in node.started() if s == "read"] == [1]


def test_the_last_retry_ends_the_job_with_the_code() -> None:
    world = World().approving(9)
    scripted(world["shop"], {("match", at): ("failed", NETWORK) for at in range(9)})
    world["bank"].submit(make_job(), retries=1)
    world.rounds(20)
    found = control.view(world["bank"].record)
    assert (found.code, found.party, found.phase) == (NETWORK, "shop", "match: phase")
    assert world["shop"].started()[-1] == ("match", 2)


def test_an_error_of_the_data_is_final_and_outweighs_what_the_others_saw_of_it() -> None:
    world = World()
    start_running(world, retries=5)
    finish(world, "coin toss")
    world["bank"].report("read", "failed", "ATL-NET-004")
    world.round()
    assert world["bank"].record.end is None
    assert world["shop"].record.own.tasks["read"].state == "cancelled"
    world = World()
    start_running(world, retries=5)
    finish(world, "coin toss")
    world["bank"].report("read", "failed", "ATL-NET-004")
    world["shop"].report("read", "failed", "ATL-TAB-003")
    world.rounds(3)
    assert world["bank"].end == ("failed", "ATL-TAB-003", "shop")


def test_the_tasks_of_a_broken_attempt_are_ended_before_the_next_one() -> None:
    world = World(3)
    start_running(world, retries=1)
    world["post"].report("coin toss", "failed", NETWORK)
    world.rounds(4)
    for node in world.nodes.values():
        assert node.started() == [("coin toss", 1), ("coin toss", 2)]
        assert node.record.running == {"coin toss": 2}
    assert control.KillTask("coin toss", 1) in world["bank"].done
    assert control.KillTask("coin toss", 1) not in world["post"].done


def test_lost_tasks_cost_no_retry_but_have_a_limit() -> None:
    world = World().approving(9)
    lost: Outcome = ("lost", None)
    scripted(world["shop"], {("match", at): lost for at in range(1, LOST_LIMIT + 1)})
    world["bank"].submit(make_job(), retries=0)
    world.rounds(30)
    assert world.ends() == {("success", None)}
    world = World().approving(9)
    scripted(world["shop"], {("match", at): lost for at in range(1, 99)})
    world["bank"].submit(make_job(), retries=0)
    world.rounds(30)
    assert world["bank"].end == ("failed", "ATL-FLW-010", "shop")
    assert world["shop"].started()[-1] == ("match", LOST_LIMIT + 1)


def test_success_needs_the_same_attempt_at_all_parties() -> None:
    world = World().approving(9)
    start_running(world, {"read": []}, retries=3)
    finish(world, "coin toss")
    world["bank"].report("read", "success")
    world["shop"].report("read", "failed", NETWORK)
    world.rounds(3)
    assert world["bank"].record.running == world["shop"].record.running == {"read": 2}
    world["shop"].report("read", "success")
    world.rounds(3)
    assert world["bank"].record.end is None
    world["bank"].report("read", "success")
    world.rounds(3)
    assert world.ends() == {("success", None)}


def test_reports_of_other_attempts_change_nothing() -> None:
    world = World()
    start_running(world, retries=3)
    bank = world["bank"]
    before = bank.record
    for attempt in (0, 2):
        event = control.TaskReported("coin toss", attempt, "success", bank.now)
        assert bank.happen(JOB_ID, event) == ()
    bank.happen(JOB_ID, control.TaskReported("match", 1, "success", bank.now))
    bank.happen(JOB_ID, control.TaskReported("coin toss", 1, "running", bank.now))
    assert bank.record == before


@pytest.mark.parametrize(
    ("code", "again"),
    [
        (NETWORK, True),
        ("ATL-NET-046", True),
        ("ATL-WRK-001", True),
        ("ATL-FLW-011", True),
        ("ATL-NET-013", False),
        ("ATL-TAB-001", False),
        ("ATL-PSI-004", False),
        ("ATL-INT-001", False),
        ("ATL-FLW-009", False),
        (None, False),
    ],
)
def test_what_may_be_tried_again(code: str | None, again: bool) -> None:
    assert may_retry(code) is again


# A dishonest initiator: shop must ignore what bank may not command, and note it.


def command(world: World, step: str, attempt: int = 1, origin: str | None = None) -> None:
    bank = world["bank"]
    made = StepCommand(attempt, "reuse" if origin else "start", origin)
    bank.forge(commands={**bank.record.own.commands, step: made})
    world.rounds(2)


def blame(world: World, party: str = "shop") -> list[str]:
    return [fault.place for fault in world[party].record.faults if fault.code == "ATL-FLW-005"]


def test_a_command_before_the_approvals_is_ignored_and_noted() -> None:
    world = World()
    world["shop"].policy = lambda c: control.Decided("queue", world["shop"].now)
    world["bank"].submit(make_job())
    world.rounds(3)
    slot = replace(world["bank"].record.own.slot, offer=1, started=1)
    world["bank"].forge(slot=slot)
    command(world, "coin toss")
    assert blame(world) == ["commands.coin toss: before this party's approval"]
    assert not world["shop"].started()


def test_a_command_before_the_admission_is_ignored_and_noted() -> None:
    world = World()
    world["shop"].queue = control.Queue(control.QueueLimits(as_host=0))
    world["bank"].submit(make_job())
    world.rounds(4)
    world["bank"].forge(slot=replace(world["bank"].record.own.slot, started=1))
    command(world, "coin toss")
    assert blame(world) == ["commands.coin toss: before this party's admission"]
    assert not world["shop"].started()


def test_a_command_before_its_inputs_is_ignored_and_noted() -> None:
    world = World()
    start_running(world)
    finish(world, "coin toss")
    command(world, "match")
    assert blame(world) == ["commands.match: before its inputs"]
    assert "match" not in world["shop"].record.running


def test_a_command_of_an_unknown_step_or_beyond_the_retries_is_ignored_and_noted() -> None:
    world = World()
    start_running(world, retries=0)
    command(world, "evil")
    command(world, "coin toss", attempt=2 + LOST_LIMIT)
    assert blame(world) == [
        "commands.evil: no such step",
        "commands.coin toss: an attempt beyond the allowed ones",
    ]
    assert world["shop"].started() == [("coin toss", 1)]


def test_another_attempt_of_what_is_done_is_ignored_and_noted() -> None:
    world = World()
    start_running(world, retries=9)
    finish(world, "coin toss")
    command(world, "coin toss", attempt=2)
    assert blame(world) == ["commands.coin toss: done in this run"]
    assert "coin toss" not in world["shop"].record.running


def test_what_a_task_tells_is_brought_into_form_before_peers_read_it() -> None:
    world = World()
    start_running(world)
    shop = world["shop"]
    text = "x" * 1000
    event = control.TaskReported("coin toss", 1, "failed", shop.now, "KeyError: 'id'", text)
    shop.happen(JOB_ID, event)
    world.rounds(3)
    found = control.view(world["bank"].record)
    assert (found.state, found.code) == ("failed", "ATL-INT-001")
    assert found.phase is not None
    assert len(found.phase) == 128


def test_a_lower_attempt_ends_the_job() -> None:
    world = World()
    start_running(world, retries=3)
    world["shop"].report("coin toss", "failed", NETWORK)
    world.rounds(4)
    assert world["shop"].record.running == {"coin toss": 2}
    command(world, "coin toss", attempt=1)
    assert world["shop"].end == ("failed", "ATL-FLW-002", "bank")


def test_reuse_of_what_a_party_does_not_hold_is_ignored_and_noted() -> None:
    world = World()
    start_running(world)
    finish(world, "coin toss")
    bank = world["bank"]
    commands = {s: c for s, c in bank.record.own.commands.items() if s != "read"}
    world = World()
    start_running(world)
    for node in world.nodes.values():
        node.report("coin toss", "success")
    made = StepCommand(1, "reuse", "20300102030405-ffffffff/read/1")
    world["bank"].forge(commands={**commands, "read": made})
    world.rounds(2)
    assert blame(world) == ["commands.read: outputs that this party does not hold"]
    assert not [c for c in world["shop"].done if isinstance(c, control.ReuseTask)]


def test_a_command_waits_for_the_facts_of_the_third_party() -> None:
    world = World(3)
    start_running(world)
    world.cut.add(frozenset({"shop", "post"}))
    finish(world, "coin toss")
    assert world["bank"].record.running == {"read": 1}
    assert not world["shop"].record.running
    assert blame(world) == []
    world.cut.clear()
    world.rounds(2)
    assert world["shop"].record.running == {"read": 1}


def test_a_host_does_not_start_before_it_has_seen_all_approvals_and_admissions() -> None:
    world = World(3)
    for node in world.nodes.values():
        node.task = wait
    world.cut.add(frozenset({"shop", "post"}))
    world["bank"].submit(make_job(3))
    world.rounds(8)
    assert not any(node.started() for node in world.nodes.values())
    world.cut.clear()
    world.rounds(6)
    assert all(node.started() == [("coin toss", 1)] for node in world.nodes.values())


def test_an_attempt_that_broke_elsewhere_is_not_started() -> None:
    world = World(3)
    for node in world.nodes.values():
        node.task = wait
    scripted(world["bank"], {("coin toss", 1): ("failed", NETWORK)})
    world["bank"].submit(make_job(3))
    world.rounds(12)
    started = [node.started() for node in world.nodes.values()]
    assert ("coin toss", 2) in started[1]
    assert ("coin toss", 1) not in started[1]
    assert control.Complain not in {type(c) for node in world.nodes.values() for c in node.done}


def test_a_host_that_commands_ends_the_job() -> None:
    world = World()
    start_running(world)
    world["shop"].forge(commands={"read": StepCommand(1)})
    world.rounds(2)
    assert world["bank"].end == ("failed", "ATL-FLW-005", "shop")


def test_a_task_that_comes_back_to_life_ends_the_job() -> None:
    world = World()
    start_running(world)
    finish(world, "coin toss")
    tasks = {**world["shop"].record.own.tasks, "coin toss": TaskFact(1, "running")}
    world["shop"].forge(tasks=tasks)
    world.rounds(2)
    assert world["bank"].end == ("failed", "ATL-FLW-002", "shop")

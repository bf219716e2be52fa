"""How often a step is tried: the table of docs/reference/jobs.md against the machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from atoll.flow import control
from atoll.flow.control.codes import LOST_TOO_OFTEN
from tests.flow.control.pair import JOB_ID, Node, World, make_job

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "jobs.md"
STEP = "match"
Outcome = tuple[control.facts.TaskState, str]
LOST: Outcome = ("lost", "ATL-WRK-001")
TROUBLE: Outcome = ("failed", "ATL-NET-001")
FULL: Outcome = ("failed", "ATL-WRK-002")
WRONG: Outcome = ("failed", "ATL-TAB-003")

Way = Callable[[Node, int], Outcome | None]

# By the first words of a row: how the attempt of a number ends; None if its node restarts.
WAYS: dict[str, Way] = {
    "a worker process is killed": lambda node, attempt: LOST,
    "a node is restarted": lambda node, attempt: None,
    "network trouble": lambda node, attempt: TROUBLE,
    "no worker came free": lambda node, attempt: FULL,
    "any other error": lambda node, attempt: WRONG,
    "the first four by turns": lambda node, attempt: (
        (TROUBLE, FULL)[attempt % 2] if attempt <= node.record.options.retries else LOST
    ),
}
RETRIES = (0, 1, 4)
MANY = 100
MOST_TRIES = 12


def table() -> dict[str, tuple[list[int], str]]:
    """Return the page's rows: what each says for ``RETRIES``, and the job's code."""
    section = PAGE.read_text(encoding="utf-8").partition("## How often a step is tried")[2]
    form = r"^\| (.*?) \| (\d+) \| (\d+) \| (?:(n) \+ )?(\d+) \| (.*?) \|$"
    return {
        how: ([int(none), int(one), int(rest) + (RETRIES[2] if n else 0)], code)
        for how, none, one, n, rest, code in re.findall(form, section, re.MULTILINE)
    }


def tried(way: Way, retries: int, failing: str = "shop") -> tuple[World, list[int]]:
    """Let all attempts of a step end in a way at one party; return them when the job is over."""
    world = World()
    node = world[failing]
    succeed = node.task

    def task(command: control.StartTask) -> control.TaskReported | None:
        if command.step != STEP:
            return succeed(command)
        ended = way(node, command.attempt)
        return ended and control.TaskReported(
            STEP, command.attempt, ended[0], node.now, ended[1], revealed=False
        )

    node.task = task
    world.approving(2 * MOST_TRIES)
    world["bank"].submit(make_job(), retries=retries)
    finish(world, node)
    return world, attempts(node)


def finish(world: World, node: Node) -> None:
    """Let the job go on to its end; a step that is left running meets a restart of its node."""
    for _ in range(MANY):
        world.rounds(2)
        if world["bank"].record.end is not None:
            return
        if STEP in node.record.running:
            node.restart()
    pytest.fail("the job does not end")


def attempts(node: Node) -> list[int]:
    return [attempt for step, attempt in node.started() if step == STEP]


def test_the_page_has_a_row_for_each_way() -> None:
    rows = table()
    assert len(rows) == len(WAYS)
    assert all(row.startswith(way) for row, way in zip(rows, WAYS, strict=True))


@pytest.mark.parametrize("failing", ["bank", "shop"])
@pytest.mark.parametrize("at", range(len(RETRIES)), ids=[f"retries {n}" for n in RETRIES])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_is_tried_as_often_as_the_page_says(way: str, at: int, failing: str) -> None:
    allowed, code = next(entry for row, entry in table().items() if row.startswith(way))
    world, made = tried(WAYS[way], RETRIES[at], failing)
    assert made == list(range(1, allowed[at] + 1))
    state, ended, party = world["bank"].end
    assert (state, party) == ("failed", failing)
    assert ended is not None
    if code.startswith("ATL-"):
        assert ended == code


def test_a_killed_worker_is_tried_again_without_retries_and_up_to_six_times_with_one() -> None:
    for retries in (0, 1):
        world, made = tried(WAYS["a worker process is killed"], retries)
        assert made == [1, 2, 3, 4, 5, 6]
        assert world["bank"].end[:2] == ("failed", LOST_TOO_OFTEN)


def hold(node: Node) -> None:
    """Leave the tasks of the step running."""
    usual = node.task

    def task(command: control.StartTask) -> control.TaskReported | None:
        return None if command.step == STEP else usual(command)

    node.task = task


def no_kills(node: Node) -> None:
    """Let the node's tasks end only when they are reported to."""
    usual = node.carry_out

    def carry_out(job: str, command: control.Command) -> None:
        if not isinstance(command, control.KillTask):
            usual(job, command)

    node.carry_out = carry_out  # type: ignore[method-assign]


def at_work(retries: int) -> World:
    """Return two nodes whose tasks of the step both run."""
    world = World()
    for node in world.nodes.values():
        hold(node)
    world["bank"].submit(make_job(), retries=retries)
    world.rounds(12)
    assert all(node.record.running == {STEP: 1} for node in world.nodes.values())
    return world


def test_trouble_that_the_others_saw_of_a_loss_costs_no_retry() -> None:
    world = at_work(0)
    world["bank"].report(STEP, *TROUBLE)
    world["shop"].report(STEP, *LOST)
    world.rounds(4)
    assert world["bank"].record.running == world["shop"].record.running == {STEP: 2}


def test_a_loss_that_is_noticed_after_the_others_trouble_costs_a_retry() -> None:
    for retries, ended in ((1, False), (0, True)):
        world = at_work(retries)
        slow = world["shop"]
        no_kills(slow)
        world["bank"].report(STEP, *TROUBLE)
        world.rounds(2)
        slow.report(STEP, *LOST)
        world.rounds(4)
        assert (world["bank"].end[1] == TROUBLE[1]) is ended
        assert (slow.record.running == {STEP: 2}) is not ended


def test_the_next_run_counts_from_zero_again() -> None:
    world, _ = tried(WAYS["network trouble"], 1)
    bank = world["bank"]
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    finish(world, world["shop"])
    assert attempts(world["shop"]) == [1, 2, 3, 4]

"""Steps at some parties alone, and steps that hold without all of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from atoll.flow import control
from atoll.flow.control import Rules
from atoll.flow.control.facts import TaskState
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan, TableFacts
from tests.flow.control.pair import Node, World, build, check_key, make_job

ALL = ("bank:guest", "post:host", "shop:host")
TWO = ("bank:guest", "shop:host")


def world_of(seats: Mapping[str, tuple[str, ...]], quorum: Mapping[str, dict[str, int]]) -> World:
    """Return three nodes whose plans have these seats and quorums."""

    def seated(
        job: Job, tables: Mapping[str, Mapping[str, TableFacts]], keys: Mapping[str, str]
    ) -> Plan:
        # Nobody talks in the step "last", as its quorum of none says where it has one.
        silent = {"last": ()} if "last" in quorum else {}
        changes = {"seats": dict(seats), "quorum": dict(quorum), "edges": silent}
        return build(job, tables, keys).model_copy(update=changes)

    world = World(3)
    for name, node in world.nodes.items():
        node.rules = Rules(name, check_key, seated)
    return world


def submitted(world: World, graph: Mapping[str, list[str]], **options: Any) -> World:
    world["bank"].submit(make_job(3, graph), **options)
    world.rounds(25)
    return world


def faults(world: World) -> list[Any]:
    return [fault for node in world.nodes.values() for fault in node.record.faults]


def mean(node: Node, state: TaskState | None, code: str | None = None, step: str = "mean") -> None:
    """Have a node's task of the step end so (None: go on running); all others end well."""

    def task(command: control.StartTask) -> control.TaskReported | None:
        if command.step != step:
            return control.TaskReported(command.step, command.attempt, "success", node.now)
        if state is None:
            return None
        return control.TaskReported(command.step, command.attempt, state, node.now, code, "mean")

    node.task = task


GRAPH = {"read": [], "mean": ["read"]}


@pytest.mark.parametrize("party", ["bank", "shop"])
def test_a_party_that_takes_no_part_starts_no_task(party: str) -> None:
    world = submitted(world_of({"read": ALL, "mean": TWO}, {}), GRAPH)
    assert world.ends() == {("success", None)}
    assert "mean" not in [step for step, _ in world["post"].started()]
    assert "mean" in [step for step, _ in world[party].started()]
    seen = control.view(world["post"].record).steps["mean"]
    assert (seen.state, seen.own, dict(seen.peers)) == (
        "success",
        "",
        {"bank": "success", "shop": "success"},
    )
    assert "post" not in control.view(world["bank"].record).steps["mean"].peers
    assert not faults(world)


def test_a_step_at_one_party_alone_is_done_when_that_party_is() -> None:
    world = submitted(world_of({"read": ALL, "mean": ("post:host",)}, {}), GRAPH)
    assert world.ends() == {("success", None)}
    assert [step for step, _ in world["bank"].started()] == ["coin toss", "read"]


def test_a_step_holds_without_a_party_that_failed() -> None:
    world = world_of({"read": ALL, "mean": ALL}, {"mean": {"host": 1}})
    mean(world["post"], "failed", "ATL-TAB-002")
    submitted(world, GRAPH)
    assert world["bank"].end[:2] == world["shop"].end[:2] == ("success", None)
    assert world["post"].end == ("failed", "ATL-TAB-002", "post")
    assert not faults(world)
    # One attempt served: nobody was asked again.
    assert world["shop"].started().count(("mean", 1)) == 1
    assert ("mean", 2) not in world["shop"].started()


def test_a_step_fails_when_fewer_stay_than_must() -> None:
    world = world_of({"read": ALL, "mean": ALL}, {"mean": {"host": 2}})
    mean(world["post"], "failed", "ATL-TAB-002")
    submitted(world, GRAPH)
    assert world.ends() == {("failed", "ATL-TAB-002")}


def test_whose_role_has_no_quorum_must_stay() -> None:
    world = world_of({"read": ALL, "mean": ALL}, {"mean": {"host": 1}})
    mean(world["bank"], "failed", "ATL-TAB-002")
    submitted(world, GRAPH)
    assert world.ends() == {("failed", "ATL-TAB-002")}


def test_a_step_holds_without_a_party_that_fell_silent() -> None:
    world = world_of({"read": ALL, "mean": ALL}, {"mean": {"host": 1}})
    mean(world["post"], None)
    world["bank"].submit(make_job(3, GRAPH), peer_seconds=30.0)
    until_running(world["post"], world)
    world.cut = {frozenset({"post", other}) for other in ("bank", "shop")}
    world.rounds(10, seconds=5.0)
    assert world["bank"].end[:2] == world["shop"].end[:2] == ("success", None)
    assert world["bank"].record.gone == {"post"}
    world.rounds(8, seconds=5.0)
    assert world["post"].end[:2] == ("failed", "ATL-FLW-008")


def until_running(node: Node, world: World) -> None:
    for _ in range(25):
        world.round()
        if "mean" in node.record.running:
            return
    raise AssertionError("the task did not start")


def test_a_silent_party_that_is_needed_later_ends_the_job() -> None:
    graph = {**GRAPH, "last": ["mean"]}
    world = world_of({"read": ALL, "mean": ALL, "last": ALL}, {"mean": {"host": 1}})
    mean(world["post"], None)
    world["bank"].submit(make_job(3, graph), peer_seconds=30.0)
    until_running(world["post"], world)
    world.cut = {frozenset({"post", other}) for other in ("bank", "shop")}
    world.rounds(10, seconds=5.0)
    assert {world[name].end for name in ("bank", "shop")} == {("failed", "ATL-FLW-008", "post")}


def test_a_party_that_dropped_out_is_not_waited_for_where_nobody_needs_it() -> None:
    graph = {**GRAPH, "last": ["mean"]}
    quorum = {"mean": {"host": 1}, "last": {"guest": 0, "host": 0}}
    world = world_of({"read": ALL, "mean": ALL, "last": ALL}, quorum)
    mean(world["post"], "failed", "ATL-TAB-002")
    submitted(world, graph)
    assert world["bank"].end[:2] == world["shop"].end[:2] == ("success", None)
    assert world["post"].end == ("failed", "ATL-TAB-002", "post")
    assert "last" not in [step for step, _ in world["post"].started()]
    assert not faults(world)


@pytest.mark.parametrize("party", ["bank", "shop"])
def test_whoever_stayed_and_then_fails_alone_has_failed(party: str) -> None:
    """That nobody waits for those left behind lets off nobody else."""
    graph = {**GRAPH, "last": ["mean"]}
    quorum = {"mean": {"host": 1}, "last": {"guest": 0, "host": 0}}
    world = world_of({"read": ALL, "mean": ALL, "last": ALL}, quorum)
    mean(world["post"], "failed", "ATL-TAB-002")
    mean(world[party], "failed", "ATL-WRK-005", step="last")
    submitted(world, graph)
    assert world["bank"].end == world["shop"].end == ("failed", "ATL-WRK-005", party)


def test_a_party_that_dropped_out_and_is_needed_ends_the_job() -> None:
    graph = {**GRAPH, "last": ["mean"]}
    world = world_of({"read": ALL, "mean": ALL, "last": ALL}, {"mean": {"host": 1}})
    mean(world["post"], "failed", "ATL-TAB-002")
    submitted(world, graph)
    assert world.ends() == {("failed", "ATL-FLW-022")}
    assert world["bank"].end[2] == "post"


def test_the_node_that_lost_a_party_remembers_it_over_a_restart() -> None:
    world = world_of({"read": ALL, "mean": ALL}, {"mean": {"host": 1}})
    for name in ("bank", "post", "shop"):
        mean(world[name], None)
    world["bank"].submit(make_job(3, GRAPH), peer_seconds=30.0)
    until_running(world["bank"], world)
    world.cut = {frozenset({"post", other}) for other in ("bank", "shop")}
    world.rounds(8, seconds=5.0)
    assert world["bank"].record.gone == {"post"}
    plain = world["bank"].record.to_plain()
    assert control.JobRecord.from_plain(plain).gone == {"post"}
    for name in ("bank", "shop"):
        world[name].report("mean", "success")
    world.rounds(4)
    assert world["bank"].end[:2] == world["shop"].end[:2] == ("success", None)

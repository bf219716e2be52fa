"""How jobs end: stops, verdicts, lost parties, restarts, and the runs after an end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from atoll.flow import control
from atoll.flow.control.facts import End
from atoll.jobs.errors import ConflictError
from tests.flow.control.pair import JOB_ID, Node, World, make_job
from tests.flow.control.test_execution import (
    NETWORK,
    finish,
    running,
    scripted,
    start_running,
    wait,
)


def stop(node: Node) -> None:
    node.happen(JOB_ID, control.StopAsked("cancel", "ann", node.now))


@pytest.mark.parametrize("party", ["bank", "shop", "post"])
@pytest.mark.parametrize("rounds", range(0, 9, 2))
def test_any_party_stops_a_job_at_any_time(party: str, rounds: int) -> None:
    world = World(3)
    for node in world.nodes.values():
        node.task = wait
    world["bank"].submit(make_job(3))
    world.round()
    world.rounds(rounds)
    stop(world[party])
    world.rounds(4)
    assert {node.end for node in world.nodes.values()} == {("cancelled", "ATL-FLW-007", party)}
    for node in world.nodes.values():
        assert not node.record.running
        assert not node.queue.holding
        assert not node.queue.waiting
        assert [c.state for c in node.done if isinstance(c, control.Ended)] == ["cancelled"]


def test_a_stop_after_the_end_changes_nothing() -> None:
    world = World()
    world["bank"].submit(make_job())
    world.rounds(12)
    before = world["shop"].record
    stop(world["shop"])
    # But a person is asked before anything of it runs again.
    assert world["shop"].record == replace(before, ask_person=True)
    assert world.ends() == {("success", None)}


def test_a_restart_tells_no_end_again() -> None:
    world = World()
    world["bank"].submit(make_job())
    world.rounds(12)
    for node in world.nodes.values():
        before = [*node.done]
        node.restart()
        assert any(isinstance(command, control.Ended) for command in before)
        assert node.done == before
        assert node.end == ("success", None, None)


def cut_off(world: World, seconds: float, step: float = 1.0) -> None:
    pair = frozenset({"bank", "shop"})
    world.cut.add(pair)
    world.rounds(int(seconds / step), step)
    world.cut.discard(pair)


def test_a_partition_of_ten_seconds_is_not_noticed() -> None:
    world = World()
    start_running(world)
    cut_off(world, 10.0)
    world.rounds(3)
    assert world["bank"].shown == world["shop"].shown == ("running", None)
    for step in ("coin toss", "read", "match", "count"):
        finish(world, step)
    assert world.ends() == {("success", None)}


def test_a_partition_for_good_ends_the_job_on_both_sides() -> None:
    world = World()
    start_running(world, peer_seconds=30.0)
    world.cut.add(frozenset({"bank", "shop"}))
    world.rounds(29, 1.0)
    assert running(world) == ["coin toss"]
    world.rounds(2, 1.0)
    assert world["bank"].end == ("failed", "ATL-FLW-008", "shop")
    world.rounds(31, 1.0)
    assert world["shop"].end == ("failed", "ATL-FLW-008", "bank")
    assert not world["shop"].queue.holding


def test_a_host_that_stops_alone_does_not_wait_for_ever() -> None:
    world = World()
    start_running(world, peer_seconds=30.0)
    world.cut.add(frozenset({"bank", "shop"}))
    stop(world["shop"])
    assert not world["shop"].record.running
    assert world["shop"].shown == ("running", "stopping")
    world.rounds(31, 1.0)
    assert world["shop"].end == ("cancelled", "ATL-FLW-007", "shop")


def test_a_host_whose_tasks_are_all_done_says_that_the_initiator_is_lost() -> None:
    world = World()
    start_running(world, {"read": []}, peer_seconds=30.0)
    finish(world, "coin toss")
    world["shop"].report("read", "success")
    world.round()
    world.cut.add(frozenset({"bank", "shop"}))
    world["bank"].report("read", "success")
    world.rounds(1)
    stop(world["shop"])
    world.rounds(62, 1.0)
    assert world["bank"].end[0] == "success"
    assert world["shop"].end == ("failed", "ATL-FLW-008", "bank")


def test_two_hosts_that_cannot_reach_each_other_end_the_job_through_the_initiator() -> None:
    world = World(3)
    start_running(world, peer_seconds=20.0)
    world.cut.add(frozenset({"shop", "post"}))
    world.rounds(25, 1.0)
    assert world.ends() == {("failed", "ATL-FLW-008")}


def test_a_waiting_job_survives_any_partition() -> None:
    world = World()
    world["shop"].policy = lambda c: control.Decided("queue", world["shop"].now)
    world["bank"].submit(make_job(), peer_seconds=30.0)
    world.rounds(3)
    cut_off(world, 1000.0, 10.0)
    assert world["shop"].shown[0] == "awaiting approval"
    assert world["bank"].record.end is None


def test_a_false_verdict_of_success_is_a_failure_here() -> None:
    world = World()
    start_running(world)
    world["bank"].forge(end=End("success"))
    world.rounds(2)
    assert world["shop"].end == ("failed", "ATL-FLW-006", "bank")


def test_a_task_without_progress_is_ended() -> None:
    world = World()
    start_running(world, progress_seconds=50.0)
    world.rounds(4, 10.0)
    world["shop"].happen(JOB_ID, control.Progressed(world["shop"].now))
    world.rounds(2, 10.0)
    assert world["bank"].end[1] == "ATL-FLW-009"
    assert control.KillTask("coin toss", 1) in world["bank"].done


def test_a_party_that_does_not_take_up_a_command_ends_the_job() -> None:
    world = World()
    start_running(world, progress_seconds=50.0)
    shop = world["shop"]
    finish(world, "coin toss")
    assert running(world) == ["read"]
    silent = shop.record
    own = {step: task for step, task in silent.own.tasks.items() if step != "read"}
    bank = world["bank"]
    bank.report("read", "success")
    facts = {**bank.record.facts}
    facts["shop"] = replace(facts["shop"], tasks=own)
    bank.records[JOB_ID] = replace(bank.record, facts=facts)
    world.cut.add(frozenset({"bank", "shop"}))
    for _ in range(6):
        bank.last_contact["shop"] = bank.now.monotonic + 10.0
        world.round(10.0)
    assert bank.end[1:] == ("ATL-FLW-020", "shop")


def test_a_kill_that_is_not_confirmed_is_repeated() -> None:
    world = World()
    start_running(world)
    bank = world["bank"]
    honest = bank.carry_out
    bank.carry_out = lambda job, command: (  # type: ignore[method-assign]
        None if isinstance(command, control.KillTask) else honest(job, command)
    )
    stop(bank)
    kill = control.KillTask("coin toss", 1)
    assert bank.done.count(kill) == 1
    world.rounds(4, 1.0)
    assert bank.done.count(kill) == 1
    world.rounds(3, 1.0)
    assert bank.done.count(kill) == 2
    assert bank.record.end is None
    assert bank.queue.holding
    bank.report("coin toss", "cancelled")
    assert bank.end[0] == "cancelled"
    assert not bank.queue.holding


@pytest.mark.parametrize("party", ["bank", "shop"])
def test_a_restarted_node_loses_its_tasks_and_the_job_goes_on(party: str) -> None:
    world = World().approving(2)
    start_running(world, retries=0)
    finish(world, "coin toss")
    world[party].restart()
    assert party in {e.who for e in world[party].queue.holding.values()} or party == "shop"
    assert world[party].queue.holding
    world.rounds(4)
    assert world["bank"].record.running == world["shop"].record.running == {"read": 2}
    for step in ("read", "match", "count"):
        finish(world, step)
    assert world.ends() == {("success", None)}


def test_a_restart_asks_again_whatever_was_not_answered() -> None:
    world = World()
    bank = world["bank"]
    bank.carry_out = lambda job, command: None  # type: ignore[method-assign]
    bank.submit(make_job())
    assert [type(c) for c in bank.done] == [control.Declare, control.Publish]
    bank.done.clear()
    bank.restart()
    assert [type(c) for c in bank.done] == [control.Declare]


def test_a_record_from_a_backup_stops_the_job_instead_of_contradicting_itself() -> None:
    world = World()
    start_running(world)
    saved = world["shop"].record
    finish(world, "coin toss")
    world["shop"].records[JOB_ID] = saved
    world["shop"].restart()
    world.rounds(4)
    assert world.ends() == {("failed", "ATL-FLW-012")}


def test_a_peer_that_claims_to_hold_what_was_never_published_is_not_believed() -> None:
    world = World()
    start_running(world)
    bank = world["bank"]
    before = bank.record
    bank.happen(JOB_ID, control.StaleRecord("shop", 1 << 50, bank.now))
    assert bank.record.own == before.own
    assert [fault.code for fault in bank.record.faults] == ["ATL-FLW-002"]
    bank.happen(JOB_ID, control.StaleRecord("shop", bank.record.version, bank.now))
    assert bank.record.own == before.own


def test_facts_that_a_restored_peer_lost_are_sent_again() -> None:
    world = World()
    world["shop"].policy = lambda c: control.Decided("queue", world["shop"].now)
    world["bank"].submit(make_job())
    world.rounds(4)
    assert world["bank"].exchanges["shop"].known(JOB_ID) == world["bank"].record.version
    del world["shop"].records[JOB_ID]
    stop(world["bank"])
    world.rounds(4)
    assert world["shop"].end[0] == "cancelled"


# Runs after the first.


def ended(world: World, approved_runs: int = 1, **options: Any) -> None:
    """Let a job fail in its second step at shop."""
    for node in world.nodes.values():
        node.runs = approved_runs
    scripted(world["shop"], {("match", 1): ("failed", "ATL-TAB-001")})
    world["bank"].submit(make_job(len(world.nodes)), **options)
    world.rounds(12)
    assert world.ends() == {("failed", "ATL-TAB-001")}


@pytest.mark.parametrize("runs", [1, 2])
def test_a_retry_keeps_what_is_done_and_asks_for_approval_if_the_runs_are_used_up(
    runs: int,
) -> None:
    world = World(3)
    ended(world, runs)
    asked = sum(isinstance(c, control.Decide) for c in world["shop"].done)
    bank = world["bank"]
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    world.rounds(12)
    assert world.ends() == {("success", None)}
    for node in world.nodes.values():
        assert [s for s, _ in node.started()].count("read") == 1
        assert node.started()[-2:] == [("match", 2), ("count", 1)]
        assert control.view(node.record).run == 2
    assert sum(isinstance(c, control.Decide) for c in world["shop"].done) == asked + 2 - runs


def test_a_rerun_makes_a_step_and_all_below_it_anew() -> None:
    world = World()
    for node in world.nodes.values():
        node.runs = 9
    world["bank"].submit(make_job())
    world.rounds(12)
    bank = world["bank"]
    bank.happen(JOB_ID, control.RerunAsked("match", bank.now))
    assert bank.shown[0] == "waiting"
    world.rounds(12)
    again = [("match", 2), ("count", 2)]
    assert world["shop"].started()[4:] == again == bank.started()[4:]
    bank.happen(JOB_ID, control.RerunAsked(None, bank.now))
    world.rounds(12)
    whole = [("coin toss", 2), ("read", 2), ("match", 3), ("count", 3)]
    assert world["shop"].started()[6:] == whole == bank.started()[6:]
    assert world.ends() == {("success", None)}


def test_a_hosts_stop_is_for_the_run_in_which_it_was_said() -> None:
    world = World(3)
    for node in world.nodes.values():
        node.runs = 2
    start_running(world)
    stop(world["shop"])
    world.rounds(4)
    assert {node.end[0] for node in world.nodes.values()} == {"cancelled"}
    for node in world.nodes.values():
        node.task = node.succeed
    bank = world["bank"]
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    assert bank.record.end is None
    world.rounds(12)
    assert world.ends() == {("success", None)}


def test_a_next_run_may_be_refused() -> None:
    world = World()
    ended(world)
    now = world["shop"].now
    world["shop"].policy = lambda c: control.Decided("refuse", now, code="ATL-POL-001")
    bank = world["bank"]
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    world.rounds(6)
    assert {node.end for node in world.nodes.values()} == {("refused", "ATL-POL-001", "shop")}
    with pytest.raises(ConflictError, match="ATL-FLW-013"):
        bank.happen(JOB_ID, control.RetryAsked(bank.now))


def test_who_may_run_a_job_again_and_when() -> None:
    world = World()
    start_running(world)
    bank, shop = world["bank"], world["shop"]
    for event in (control.RetryAsked(bank.now), control.RerunAsked(None, bank.now)):
        with pytest.raises(ConflictError, match="ATL-FLW-013"):
            bank.happen(JOB_ID, event)
    stop(bank)
    world.rounds(4)
    with pytest.raises(ConflictError, match="only the party that submitted"):
        shop.happen(JOB_ID, control.RetryAsked(shop.now))
    with pytest.raises(ConflictError, match="did you mean match"):
        bank.happen(JOB_ID, control.RerunAsked("macht", bank.now))
    for node in world.nodes.values():
        node.task = node.succeed
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    world.rounds(14)
    assert world.ends() == {("success", None)}
    with pytest.raises(ConflictError, match="every step is done"):
        bank.happen(JOB_ID, control.RetryAsked(bank.now))


def test_the_next_run_begins_at_a_host_once_the_last_one_has_ended_there() -> None:
    world = World()
    for node in world.nodes.values():
        node.runs = 2
    start_running(world)
    bank, shop = world["bank"], world["shop"]
    honest = shop.carry_out
    shop.carry_out = lambda job, command: (  # type: ignore[method-assign]
        None if isinstance(command, control.KillTask) else honest(job, command)
    )
    stop(bank)
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    world.rounds(6)
    assert (bank.record.run, shop.record.run) == (2, 1)
    assert shop.record.running == {"coin toss": 1}
    assert not bank.record.running
    shop.report("coin toss", "cancelled")
    assert shop.record.run == 2
    world.rounds(4)
    assert bank.record.running == shop.record.running == {"coin toss": 2}


def test_retries_start_anew_with_each_run() -> None:
    world = World()
    world["bank"].runs = world["shop"].runs = 2
    scripted(world["shop"], {("match", at): ("failed", NETWORK) for at in range(1, 4)})
    world["bank"].submit(make_job(), retries=1)
    world.rounds(14)
    assert world["bank"].end[1] == NETWORK
    bank = world["bank"]
    bank.happen(JOB_ID, control.RetryAsked(bank.now))
    world.rounds(14)
    assert world.ends() == {("success", None)}
    assert world["shop"].started()[-2:] == [("match", 4), ("count", 1)]

"""Slots: offers, withdrawals, and several jobs that want the same ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from atoll.flow import control
from atoll.flow.control.facts import StepCommand
from tests.flow.control.pair import JOB_ID, World, make_job
from tests.flow.control.test_ending import stop
from tests.flow.control.test_execution import finish, running, start_running, wait

ONE = control.QueueLimits(as_initiator=1, as_host=1)
OTHER = "20300102030406-00000002"


def blocked(world: World, party: str) -> None:
    """Leave a party no slot as host."""
    node = world[party]
    node.queue = replace(node.queue, limits=replace(node.queue.limits, as_host=0))


def freed(world: World, party: str) -> None:
    node = world[party]
    node.queue = replace(node.queue, limits=ONE)


def test_no_task_starts_before_all_parties_are_admitted() -> None:
    world = World(3)
    blocked(world, "post")
    world["bank"].submit(make_job(3))
    world.rounds(8)
    assert world["bank"].shown == ("waiting", "slot at post")
    assert world["shop"].shown == ("waiting", "slot at post")
    assert world["post"].shown == ("waiting", "slot here")
    assert not any(node.started() for node in world.nodes.values())
    freed(world, "post")
    world.rounds(12)
    assert world.ends() == {("success", None)}


def test_a_host_does_not_start_on_the_initiators_word_that_all_are_admitted() -> None:
    world = World(3)
    blocked(world, "post")
    world["bank"].submit(make_job(3))
    world.rounds(8)
    assert world["shop"].queue.holding
    bank = world["bank"]
    bank.forge(
        slot=replace(bank.record.own.slot, started=1), commands={"coin toss": StepCommand(1)}
    )
    world.rounds(2)
    assert not world["shop"].started()
    freed(world, "post")
    world.rounds(3)
    assert world["shop"].started()


def test_an_offer_that_is_not_taken_up_gives_all_slots_back_and_comes_again() -> None:
    world = World(3)
    blocked(world, "post")
    world["bank"].submit(make_job(3))
    world.rounds(6)
    assert world["shop"].queue.holding
    world.rounds(11, 1.0)
    assert world["bank"].record.own.slot.withdrawn >= 1
    offers = set()
    free = 0
    for _ in range(120):
        world.round(1.0)
        offers.add(world["bank"].record.own.slot.offer)
        free += not world["shop"].queue.holding
    assert len(offers) > 3
    assert free > 10
    freed(world, "post")
    world.rounds(40, 1.0)
    assert world.ends() == {("success", None)}


def test_a_slot_that_came_too_late_goes_straight_back() -> None:
    world = World()
    world["bank"].queue = control.Queue(replace(ONE, as_initiator=0))
    world["bank"].submit(make_job())
    world.rounds(4)
    stop(world["bank"])
    commands = world["bank"].happen(JOB_ID, control.Admitted(1, world["bank"].now))
    assert commands == (control.Release(1),)


def test_a_host_leaves_an_offer_that_the_initiator_never_follows_up() -> None:
    world = World()
    blocked(world, "shop")
    world["bank"].submit(make_job(), peer_seconds=30.0)
    world.rounds(4)
    world.cut.add(frozenset({"bank", "shop"}))
    freed(world, "shop")
    world.round()
    assert world["shop"].queue.holding
    world.rounds(31, 1.0)
    assert not world["shop"].queue.holding
    assert world["shop"].record.own.slot.released == 1
    world.cut.clear()
    world.rounds(30, 1.0)
    assert world.ends() == {("success", None)}


def test_a_host_does_not_hold_a_slot_for_ever_for_an_initiator_that_only_talks() -> None:
    world = World()
    world["bank"].submit(make_job())
    blocked(world, "shop")
    world.rounds(4)
    freed(world, "shop")
    world["shop"].admit()
    assert world["shop"].queue.holding
    for _ in range(15):
        shop = world["shop"]
        shop.now = control.Moment(shop.now.monotonic + 10.0, shop.now.wall)
        shop.last_contact["bank"] = shop.now.monotonic
        shop.tick()
    assert not world["shop"].queue.holding


def test_a_start_under_an_offer_that_the_host_left_ends_the_job() -> None:
    world = World()
    blocked(world, "shop")
    world["bank"].submit(make_job(), peer_seconds=5.0)
    world.rounds(4)
    world.cut.add(frozenset({"bank", "shop"}))
    freed(world, "shop")
    world.round()
    world.rounds(6, 1.0)
    assert world["shop"].record.own.slot.released == 1
    slot = replace(world["bank"].record.own.slot, started=1)
    world["bank"].forge(slot=slot)
    world.cut.clear()
    world.rounds(3)
    assert world["shop"].end[0] == "failed"
    assert not world["shop"].started()


def test_jobs_with_opposite_initiators_and_one_slot_each_all_end() -> None:
    world = World(3, ONE)
    ids = {}
    for at, party in enumerate(("bank", "shop", "post", "bank", "shop", "post")):
        job_id = f"20300102030405-{at:08x}"
        ids[job_id] = party
        world[party].submit(make_job(3), job_id)
    for _ in range(400):
        world.round(1.0)
        if all(len(node.records) == 6 for node in world.nodes.values()) and all(
            record.end for node in world.nodes.values() for record in node.records.values()
        ):
            break
    for node in world.nodes.values():
        assert set(node.states().values()) == {"success"}
        assert node.states().keys() == ids.keys()


def test_the_limits_bind_at_every_moment() -> None:
    world = World(2, ONE)
    for at in range(4):
        world["bank" if at % 2 else "shop"].submit(make_job(), f"20300102030405-{at:08x}")
    for _ in range(80):
        world.round(0.5)
        for node in world.nodes.values():
            alive = [r for r in node.records.values() if r.holding]
            assert sum(r.drives for r in alive) <= 1
            assert sum(not r.drives for r in alive) <= 1
    assert set(world["bank"].states().values()) == {"success"}


@pytest.mark.parametrize("party", ["bank", "shop"])
def test_a_restarted_node_counts_the_slots_that_it_gave(party: str) -> None:
    world = World(2, ONE).approving(2)
    start_running(world)
    world[party].restart()
    assert JOB_ID in world[party].queue.holding
    world.rounds(4)
    assert running(world) == ["coin toss"]
    for step in ("coin toss", "read", "match", "count"):
        finish(world, step)
    assert not world[party].queue.holding


def test_a_restarted_node_gets_in_line_again() -> None:
    world = World(2, replace(ONE, as_initiator=0))
    world["bank"].submit(make_job())
    world.rounds(4)
    world["bank"].restart()
    assert JOB_ID in world["bank"].queue.waiting
    freed(world, "bank")
    world.rounds(12)
    assert world.ends() == {("success", None)}


def test_a_thousand_waiting_jobs_cost_no_ticks() -> None:
    world = World(2, replace(ONE, as_initiator=0))
    world["bank"].submit(make_job())
    world.rounds(4)
    bank = world["bank"]
    tick = control.Tick(control.Moment(1e6, 1e6), {})
    record, commands = control.step(bank.record, tick, bank.rules)
    assert record is bank.record
    assert commands == ()


def test_a_second_job_waits_while_the_first_holds_the_slot() -> None:
    world = World(2, ONE)
    for node in world.nodes.values():
        node.task = wait
    world["bank"].submit(make_job())
    world["bank"].submit(make_job(), OTHER)
    world.rounds(6)
    second = control.view(world["bank"].records[OTHER])
    assert (second.state, second.reason) == ("waiting", "slot here")

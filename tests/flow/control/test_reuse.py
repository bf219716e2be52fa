"""Unchanged steps are not run again: same key, and outputs of one origin at all parties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from atoll.flow import control
from tests.flow.control.pair import JOB_ID, World, make_job

Task = control.StartTask | control.ReuseTask
SECOND = "20300102030406-00000002"


def twice(world: World, **options: Any) -> World:
    """Run the same job two times."""
    parties = len(world.nodes)
    world["bank"].submit(make_job(parties))
    world.rounds(12)
    assert world.ends() == {("success", None)}
    world["bank"].submit(make_job(parties), SECOND, **options)
    world.rounds(16, 1.0)
    return world


def did(world: World, party: str, kind: type[Task]) -> list[str]:
    """Return the steps of the second job that a party started or reused."""
    node = world[party]
    since = next(at for at, c in enumerate(node.done) if isinstance(c, control.Ended))
    return [c.step for c in node.done[since:] if isinstance(c, kind)]


@pytest.mark.parametrize("parties", [2, 3])
def test_an_unchanged_job_reuses_every_step(parties: int) -> None:
    world = twice(World(parties))
    for party in world.nodes:
        assert did(world, party, control.StartTask) == ["coin toss"]
        assert did(world, party, control.ReuseTask) == ["read", "match", "count"]
        shown = control.view(world[party].records[SECOND])
        assert (shown.state, shown.steps["match"].state) == ("success", "reused")
    found = [c for c in world["shop"].done if isinstance(c, control.ReuseTask)]
    assert {c.origin for c in found} == {f"{JOB_ID}/{s}/1" for s in ("read", "match", "count")}


def test_nothing_is_reused_if_the_job_says_so() -> None:
    world = twice(World(), reuse=False)
    assert did(world, "bank", control.ReuseTask) == []
    assert not [
        c for c in world["bank"].done[-40:] if isinstance(c, control.FindReusable) and not c.keys
    ]


@pytest.mark.parametrize("party", ["bank", "shop"])
def test_another_table_at_any_party_means_another_key(party: str) -> None:
    world = World()
    world["bank"].submit(make_job())
    world.rounds(12)
    world[party].table_digest = "9" * 64
    world["bank"].submit(make_job(), SECOND)
    world.rounds(16, 1.0)
    assert did(world, "bank", control.ReuseTask) == []
    assert control.view(world["bank"].records[SECOND]).state == "success"


def test_outputs_that_one_party_pruned_are_made_anew_with_all_below_them() -> None:
    world = World()
    world["bank"].submit(make_job())
    world.rounds(12)
    shop = world["shop"]
    kept = {k: v for k, v in shop.store.items() if f"{JOB_ID}/match/1" not in v}
    shop.store = kept
    world["bank"].submit(make_job(), SECOND)
    world.rounds(16, 1.0)
    assert (
        did(world, "bank", control.ReuseTask) == ["read"] == did(world, "shop", control.ReuseTask)
    )
    assert did(world, "shop", control.StartTask) == ["coin toss", "match", "count"]


def test_outputs_of_different_runs_are_not_mixed() -> None:
    world = World()
    world["bank"].submit(make_job())
    world.rounds(12)
    shop = world["shop"]
    shop.store = {key: ["20200102030405-00000009/read/1"] for key in shop.store}
    world["bank"].submit(make_job(), SECOND)
    world.rounds(16, 1.0)
    assert did(world, "bank", control.ReuseTask) == []


def test_a_party_that_does_not_answer_delays_only_a_little() -> None:
    world = World()
    shop = world["shop"]
    honest = shop.carry_out
    shop.carry_out = lambda job, command: (  # type: ignore[method-assign]
        None if isinstance(command, control.FindReusable) else honest(job, command)
    )
    world["bank"].submit(make_job())
    world.rounds(5)
    assert control.view(world["bank"].record).steps["read"].state == "waiting"
    world.rounds(6, 1.0)
    world.rounds(6)
    assert world.ends() == {("success", None)}


def test_a_reuse_that_fails_becomes_a_run() -> None:
    world = World()
    world["bank"].submit(make_job())
    world.rounds(12)
    shop = world["shop"]
    honest = shop.carry_out

    def gone(job: str, command: control.Command) -> None:
        if isinstance(command, control.ReuseTask):
            event = control.TaskReported(
                command.step, command.attempt, "failed", shop.now, "ATL-FLW-017", revealed=False
            )
            shop.inbox.append((job, event))
        else:
            honest(job, command)

    shop.carry_out = gone  # type: ignore[method-assign]
    world["bank"].submit(make_job(), SECOND)
    world.rounds(16, 1.0)
    assert did(world, "shop", control.ReuseTask) == ["read"]
    assert did(world, "shop", control.StartTask) == ["coin toss", "read", "match", "count"]
    assert control.view(shop.records[SECOND]).state == "success"


def test_a_rerun_step_is_never_reused() -> None:
    world = World()
    world["bank"].runs = world["shop"].runs = 3
    world["bank"].submit(make_job())
    world.rounds(12)
    bank = world["bank"]
    bank.happen(JOB_ID, control.RerunAsked("read", bank.now))
    world.rounds(12)
    assert did(world, "bank", control.ReuseTask) == []
    assert did(world, "bank", control.StartTask) == ["read", "match", "count"]


def test_a_rerun_step_that_was_reused_before_is_run() -> None:
    world = World()
    world["bank"].runs = world["shop"].runs = 3
    twice(world)
    bank = world["bank"]
    assert did(world, "shop", control.ReuseTask) == ["read", "match", "count"]
    bank.happen(SECOND, control.RerunAsked("read", bank.now))
    world.rounds(12)
    assert did(world, "shop", control.StartTask)[1:] == ["read", "match", "count"]
    assert control.view(bank.records[SECOND]).state == "success"


@pytest.mark.parametrize(
    ("first", "second", "reused"), [(7, 7, True), (7, 8, False), (7, None, False), (None, 7, False)]
)
def test_what_another_seed_drew_is_not_reused(
    first: int | None, second: int | None, reused: bool
) -> None:
    world = World()
    world["bank"].submit(make_job().model_copy(update={"seed": first}))
    world.rounds(12)
    world["bank"].submit(make_job().model_copy(update={"seed": second}), SECOND)
    world.rounds(16, 1.0)
    assert did(world, "bank", control.ReuseTask) == (["read", "match", "count"] if reused else [])
    assert control.view(world["bank"].records[SECOND]).state == "success"


def test_the_key_tells_steps_of_other_names_apart() -> None:
    keys = {}
    for seed in (None, 7):
        world = World()
        job = make_job(steps={"one": [], "two": []}).model_copy(update={"seed": seed})
        world["bank"].submit(job)
        world.rounds(12)
        record = world["bank"].record
        keys[seed] = {control.reuse.reuse_key(record, step) for step in ("one", "two")}
    # What is drawn follows from the step's name, too.
    assert (len(keys[None]), len(keys[7])) == (2, 2)


def test_the_key_depends_on_code_parameters_and_roles() -> None:
    world = World()
    world["bank"].submit(make_job())
    world.rounds(12)
    record = world["bank"].record
    plan = record.plan
    assert plan is not None
    key = control.reuse.reuse_key(record, "read")
    code = {"synthetic": plan.components["synthetic"].model_copy(update={"code": "4" * 64})}
    for change in (
        {"components": code},
        {"parameters": {"read": {"a": 1}}},
        {"implementations": {"read": "other"}},
    ):
        other = replace(record, plan=plan.model_copy(update=change))
        assert control.reuse.reuse_key(other, "read") != key
    assert control.reuse.reuse_key(record, "read") == key

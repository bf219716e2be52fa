"""An initiator that runs a job again which a person of the honest party has stopped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.flow import control
from atoll.flow.control import Decide, Decided
from atoll.flow.node.jobs.deciding import Decider
from atoll.flow.node.jobs.endings import end_jobs_of
from atoll.flow.policy.service import Policies
from tests.dishonest.initiating import HONEST, LIAR
from tests.flow.control.pair import JOB_ID, Node, World, make_job
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, only_psi

__all__ = ["house"]

PSI = only_psi()


def cancel(node: Node) -> None:
    node.happen(JOB_ID, control.StopAsked("cancel", "pia", node.now))


def again(world: World) -> None:
    liar = world[LIAR]
    liar.happen(JOB_ID, control.RetryAsked(liar.now))


def approved(begun: bool = False) -> World:
    """Return a world whose honest party approved nine runs, none of which has begun a step."""
    world = World().approving(9)
    world[LIAR].task = lambda command: None
    if not begun:
        world[HONEST].queue = control.Queue(control.QueueLimits(as_host=0))
    world[LIAR].submit(make_job())
    world.rounds(6)
    assert world[HONEST].record.covered
    return world


def waiting(node: Node) -> None:
    """Let a node's next decisions be a person's, as those on a stopped job are."""
    node.policy = lambda command: Decided("queue", node.now, run=command.run)


def let_run(world: World) -> None:
    world[HONEST].queue = control.Queue()
    for node in world.nodes.values():
        node.task = node.succeed
    world.rounds(60, 5.0)


@pytest.mark.parametrize("begun", [False, True])
def test_a_stopped_job_that_is_run_again(begun: bool) -> None:
    """Lie: the run that was stopped is followed by one that the same approval covers."""
    world = approved(begun)
    honest = world[HONEST]
    waiting(honest)
    cancel(honest)
    world.rounds(6)
    assert honest.end[0] == "cancelled"
    before = honest.started()
    again(world)
    let_run(world)
    assert honest.record.ask_person
    assert honest.shown[0] == "awaiting approval"
    assert honest.started() == before


@pytest.mark.parametrize("stop", ["cancel", "revoked"])
def test_a_stop_after_the_end_holds_for_later_runs(stop: str) -> None:
    """Lie: the person stops what the liar has just ended itself; the same when trust is revoked."""
    world = approved()
    honest = world[HONEST]
    cancel(world[LIAR])
    world.rounds(4)
    waiting(honest)
    if stop == "cancel":
        cancel(honest)
    else:
        moving = SimpleNamespace(records=honest.records, now=honest.now)
        moving.record = honest.records.get
        moving.move = lambda job, event, batch: honest.happen(job, event)
        end_jobs_of(cast(Any, moving), cast(Any, None), peer=LIAR)
    again(world)
    let_run(world)
    assert honest.shown[0] == "awaiting approval"
    assert honest.started() == []


def test_a_person_may_approve_the_run_after_a_stop() -> None:
    """No lie: the two settled what was wrong. The initiator waits for the new approval."""
    world = approved()
    honest, bank = world[HONEST], world[LIAR]
    waiting(honest)
    cancel(honest)
    world.rounds(4)
    again(world)
    world.rounds(4, 30.0)
    assert bank.shown == ("waiting", f"approval of {HONEST}")
    honest.policy = None
    command = control.open_decision(honest.record)
    assert command is not None
    honest.happen(JOB_ID, honest.decide(command))
    assert not honest.record.ask_person
    let_run(world)
    assert world.ends() == {("success", None)}


def test_an_own_job_runs_again_after_an_own_stop() -> None:
    """No lie: who stops a job of its own and runs it again is not asked twice."""
    world = approved()
    cancel(world[LIAR])
    world.rounds(4)
    again(world)
    let_run(world)
    assert world.ends() == {("success", None)}
    assert len([c for c in world[LIAR].done if isinstance(c, Decide)]) == 1


def test_a_grant_does_not_decide_on_a_job_that_a_person_stopped(house: House) -> None:
    """Lie: an automatic grant covers the plan, so the next run would be approved by itself."""
    house.grant()
    policies: Policies = house.policies
    assert policies.consider("job-1", PSI, GUEST).kind == "approve"
    assert policies.consider("job-1", PSI, GUEST, run=2, stopped=True).kind == "queue"
    assert policies.consider("job-1", PSI, GUEST, run=2, stopped=True).kind == "queue"


def test_an_ended_job_can_be_refused() -> None:
    """A person refuses what may come; nothing of it is asked, or runs, again."""
    world = approved()
    honest = world[HONEST]
    cancel(world[LIAR])
    world.rounds(4)
    refused: list[Any] = []
    policies = SimpleNamespace(refuse=lambda *args, **more: refused.append((args, more)))
    decider = Decider(cast(Any, policies), cast(Any, None), lambda: 0.0)
    made = decider.refuse(honest.record, "no", cast(Any, SimpleNamespace(user="pia")))
    honest.happen(JOB_ID, made(honest.record, honest.now))
    assert [more for _, more in refused] == [{"run": 1}]
    assert not honest.record.approved[HONEST].covers(2)

"""Records the histories anew: ``python -m tests.flow.control.record_histories [NAME…]``.

Only where the machine's behaviour was changed on purpose; the difference of the files is what
changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from atoll.flow import control
from tests.flow.control import apart
from tests.flow.control.histories import FORMAT, Recorder
from tests.flow.control.pair import JOB_ID, World, make_job
from tests.flow.control.test_execution import scripted
from tests.flow.control.test_seats import ALL, GRAPH, mean, world_of
from tests.vectors import files

_MODULE = "python -m tests.flow.control.record_histories"
MOST_ROUNDS = 40


def _until_ended(world: World) -> None:
    for _ in range(MOST_ROUNDS):
        world.round(1.0)
        if all(node.records and node.record.end for node in world.nodes.values()):
            return
    raise AssertionError("the job does not end")


def plain() -> Recorder:
    """Three steps at two parties, from submit to success."""
    world = World()
    recorder = Recorder(world)
    world["bank"].submit(make_job())
    _until_ended(world)
    return recorder


def lost_worker() -> Recorder:
    """A worker is lost in the second step and the network breaks once; both are tried again."""
    world = World().approving(3)
    recorder = Recorder(world)
    outcomes = {("match", 1): ("lost", None), ("count", 1): ("failed", "ATL-NET-001")}
    scripted(world["shop"], outcomes)  # type: ignore[arg-type]
    world["bank"].submit(make_job(), retries=1)
    _until_ended(world)
    return recorder


def refused() -> Recorder:
    """One of three parties refuses the plan."""
    world = World(3)
    recorder = Recorder(world)
    post = world["post"]
    post.policy = lambda command: control.Decided("refuse", post.now, code="ATL-FLW-018")
    world["bank"].submit(make_job(3))
    _until_ended(world)
    return recorder


def cancelled() -> Recorder:
    """A host's person stops the job while tasks run."""
    world = World()
    recorder = Recorder(world)
    for node in world.nodes.values():
        node.task = lambda command: None
    world["bank"].submit(make_job())
    for _ in range(MOST_ROUNDS):
        world.round(1.0)
        if world["shop"].records and world["shop"].record.running:
            break
    world["shop"].happen(JOB_ID, control.StopAsked("cancel", "ann", world["shop"].now))
    _until_ended(world)
    return recorder


def left_behind() -> Recorder:
    """A step with a quorum holds without a party whose task failed."""
    world = world_of({"read": ALL, "mean": ALL}, {"mean": {"host": 1}})
    recorder = Recorder(world)
    mean(world["post"], "failed", "ATL-TAB-002")
    world["bank"].submit(make_job(3, GRAPH))
    _until_ended(world)
    return recorder


def hidden_steps() -> Recorder:
    """One of three parties shares no step with the others and is told of none of their tables."""
    world = apart.ApartWorld()
    recorder = Recorder(world)
    world["bank"].submit(apart.make_job())
    _until_ended(world)
    return recorder


def restarted() -> Recorder:
    """A node is killed while a task runs, and comes up again with what it saved."""
    world = World().approving(3)
    recorder = Recorder(world)
    shop = world["shop"]
    shop.task = lambda command: None if command.step == "match" else shop.succeed(command)
    world["bank"].submit(make_job())
    for _ in range(MOST_ROUNDS):
        world.round(1.0)
        if shop.records and "match" in shop.record.running:
            break
    shop.task = shop.succeed
    shop.restart()
    _until_ended(world)
    return recorder


def rerun() -> Recorder:
    """A job that has ended is run again from one of its steps on; the others are not."""
    world = World()
    recorder = Recorder(world)
    for node in world.nodes.values():
        node.runs = 2
    world["bank"].submit(make_job())
    _until_ended(world)
    world["bank"].happen(JOB_ID, control.RerunAsked("match", world["bank"].now))
    _until_ended(world)
    return recorder


SCENARIOS: dict[str, Callable[[], Recorder]] = {
    "plain": plain,
    "lost_worker": lost_worker,
    "refused": refused,
    "cancelled": cancelled,
    "left_behind": left_behind,
    "hidden_steps": hidden_steps,
    "restarted": restarted,
    "rerun": rerun,
}
# How the job ends at each node.
ENDS: dict[str, set[str]] = {
    "plain": {"success"},
    "lost_worker": {"success"},
    "refused": {"refused"},
    "cancelled": {"cancelled"},
    "left_behind": {"success", "failed"},
    "hidden_steps": {"success"},
    "restarted": {"success"},
    "rerun": {"success"},
}


def main(chosen: list[str]) -> None:
    """Write the files of the scenarios that are named, or of all."""
    for name in chosen or SCENARIOS:
        scenario = SCENARIOS[name]
        head = {
            "format": FORMAT,
            "about": (scenario.__doc__ or name).strip(),
            "made_by": f"{_MODULE} {name}",
            "commit": files.commit(),
        }
        files.write(files.FOLDER / "histories" / f"{name}.json", head, scenario().rows())


if __name__ == "__main__":
    main(sys.argv[1:])

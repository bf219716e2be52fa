"""Initiators that lie about their own tasks and commands, beside nodes that run what is shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from atoll.flow import control
from atoll.flow.control.facts import TaskState
from tests.flow.control.pair import JOB_ID, Node, World, make_job

NETWORK = "ATL-NET-001"
LIAR, HONEST = "bank", "shop"
# As many as the options take: what an honest party must not be made to pay for.
RETRIES = 10
Claim = tuple[TaskState, str | None]
FAILED: Claim = ("failed", NETWORK)
LOST: Claim = ("lost", None)


def claim(world: World, step: str, claims: Callable[[int], Claim]) -> None:
    """Let the liar say what it likes of its attempt, once the honest party has sent its share."""
    liar, honest = world[LIAR], world[HONEST]
    attempt = liar.record.running.get(step)
    mine = honest.record.own.tasks.get(step) if honest.records else None
    if attempt is not None and mine is not None and mine.attempt == attempt:
        state, code = claims(attempt)
        event = control.TaskReported(step, attempt, state, liar.now, code, revealed=False)
        liar.happen(JOB_ID, event)


def at_work(node: Node, step: str, state: TaskState | None = None) -> None:
    """Let a node's task of a step send what it has, and end like this or be cut off by the peer."""
    usual = node.task

    def task(command: control.StartTask) -> control.TaskReported | None:
        if command.step != step:
            return usual(command)
        if state is None:
            return None
        return control.TaskReported(command.step, command.attempt, state, node.now)

    node.task = task
    node.reveals = True


def attempts(node: Node, step: str) -> list[int]:
    """Return the attempts of a step that a node took part in."""
    return [attempt for name, attempt in node.started() if name == step]


def against(
    step: str,
    claims: Callable[[int], Claim],
    *,
    runs: int = 3,
    state: TaskState | None = None,
    rounds: int = 80,
) -> World:
    """Play a job whose initiator makes claims about a step that it has got the messages of."""
    world = World()
    at_work(world[LIAR], step)
    at_work(world[HONEST], step, state)
    world[LIAR].runs, world[HONEST].runs = 99, runs
    world[LIAR].submit(make_job(), retries=RETRIES)
    lie(world, step, claims, rounds)
    return world


def lie(world: World, step: str, claims: Callable[[int], Claim], rounds: int = 80) -> None:
    """Let the nodes go on, and the liar make its claims."""
    for _ in range(rounds):
        world.round()
        claim(world, step, claims)
        if world[LIAR].record.end is not None:
            world.rounds(2)
            return


def mute(node: Node) -> None:
    """Let a node forge all that it says: it hears what is held of its facts and does no more."""

    def receive(peer: str, data: bytes) -> None:
        node.exchanges[peer].received(control.parse_sync(data), node.records)

    node.receive = receive  # type: ignore[method-assign]
    node.tick = node.admit = lambda: None  # type: ignore[method-assign]


def blamed(node: Node) -> Sequence[str]:
    """Return what a node noted against the rules."""
    return [fault.place for fault in node.record.faults if fault.code == "ATL-FLW-005"]


def ask_again(
    world: World, event: Callable[[Any], control.Event], step: str, claims: Callable[[int], Claim]
) -> None:
    """Let the initiator begin the next run, and lie on."""
    world[LIAR].happen(JOB_ID, event(world[LIAR].now))
    lie(world, step, claims)

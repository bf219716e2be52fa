"""An initiator that begins the next run while the present one goes on, or when nothing began."""

from __future__ import annotations

from atoll.flow import control
from atoll.flow.control.facts import StepCommand
from atoll.flow.control.plan_approval import IDLE_RUNS
from tests.dishonest.initiating import HONEST, LIAR, mute
from tests.dishonest.test_one_answer import ASKED, DATA, asking, seen
from tests.flow.control.pair import Node, World, make_job


def slow_kills(node: Node) -> None:
    """Let the node's tasks end only when they are reported to."""
    usual = node.carry_out

    def carry_out(job: str, command: control.Command) -> None:
        if not isinstance(command, control.KillTask):
            usual(job, command)

    node.carry_out = carry_out  # type: ignore[method-assign]


def questions(node: Node) -> int:
    return sum(isinstance(command, control.Decide) for command in node.done)


def test_a_next_run_while_tasks_of_this_one_run() -> None:
    """Lie: the run is raised while steps run, so that they are forgotten, and go on.

    They are ended first; the account is asked again once none of them is alive.
    """
    world = asking()
    liar, honest = world[LIAR], world[HONEST]
    slow_kills(honest)
    running = dict(honest.record.running)
    before = questions(honest)
    liar.forge(run=4)
    world.rounds(3)
    assert honest.record.run == 1
    assert honest.record.running == running
    assert honest.record.killing == running.keys()
    assert honest.queue.holding
    assert questions(honest) == before
    for step in running:
        honest.report(step, "cancelled")
    world.rounds(2)
    assert honest.record.run == 4
    assert questions(honest) == before + 1
    assert not honest.queue.holding


def test_the_same_commands_in_a_next_run_keep_no_task_alive() -> None:
    """Lie: the run is raised and the commands are repeated. What ran is killed all the same."""
    world = asking()
    world[HONEST].runs = 9
    liar, honest = world[LIAR], world[HONEST]
    commands = dict(liar.record.own.commands)
    liar.forge(run=2, commands=commands)
    world.rounds(3)
    assert honest.record.run == 2
    assert not honest.record.running
    assert set(seen(world).values()) == {"cancelled"}


def test_how_steps_ended_in_the_run_before() -> None:
    """Lie: a step has failed for good, so no other end is stated; the next run would begin afresh.

    The ends that came after the last answer are stated as cancelled, whatever they were.
    """
    world = asking()
    liar, honest = world[LIAR], world[HONEST]
    slow_kills(honest)
    honest.report("q0", "failed", DATA)
    liar.forge(run=2)
    world.rounds(2)
    honest.report("q1", "failed", DATA)
    honest.report("q2", "success")
    honest.report("q3", "cancelled")
    world.rounds(2)
    assert honest.record.run == 2
    expected = {"q0": "failed", "q1": "cancelled", "q2": "cancelled", "q3": "cancelled"}
    assert seen(world) == expected


def test_decisions_on_runs_in_which_nothing_begins() -> None:
    """Lie: the run is raised again and again, each time beyond what was approved: ATL-POL-014.

    Each decision is lines in the ledger; some are had in vain, as honest partners cancel and retry.
    """
    world = World().approving(3)
    liar, honest = world[LIAR], world[HONEST]
    honest.queue = control.Queue(control.QueueLimits(as_host=0))
    liar.submit(make_job())
    world.rounds(6)
    mute(liar)
    for run in range(4, 200, 3):
        liar.forge(run=run)
        world.rounds(2)
    assert questions(honest) <= 1 + IDLE_RUNS // 3
    assert honest.record.own.stop is not None
    assert honest.record.own.stop.code == "ATL-POL-014"
    assert len(honest.record.asked) <= 1


def test_a_run_far_ahead_is_not_decided_on() -> None:
    """Lie: the run is raised by thousands, for attempts of as many: nothing is decided."""
    world = asking()
    liar, honest = world[LIAR], world[HONEST]
    before = questions(honest)
    liar.forge(run=60_000, commands={**liar.record.own.commands, ASKED[0]: StepCommand(90_000)})
    world.rounds(3)
    assert questions(honest) == before
    assert honest.record.own.stop is not None


def test_an_honest_initiator_that_cancels_and_retries_before_the_start() -> None:
    """No lie: each run was ended before anything began, and the next is decided on."""
    world = World().approving(1)
    bank, shop = world[LIAR], world[HONEST]
    shop.policy = lambda command: control.Decided("queue", shop.now, run=command.run)
    bank.submit(make_job())
    world.rounds(4)
    for _ in range(5):
        bank.happen(bank.record.id, control.StopAsked("cancel", "ann", bank.now))
        world.rounds(3)
        bank.happen(bank.record.id, control.RetryAsked(bank.now))
        world.rounds(3)
    assert shop.shown[0] == "awaiting approval"
    assert questions(shop) == 6


def test_an_honest_initiator_whose_host_missed_runs() -> None:
    """No lie: while the host was away runs were ended and begun. It follows to the present one."""
    world = World().approving(9)
    bank, shop = world[LIAR], world[HONEST]
    for node in world.nodes.values():
        node.task = lambda command: None
    bank.submit(make_job())
    world.rounds(8)
    assert shop.record.running == {"coin toss": 1}
    world.cut.add(frozenset({LIAR, HONEST}))
    for _ in range(2):
        bank.happen(bank.record.id, control.StopAsked("cancel", "ann", bank.now))
        bank.happen(bank.record.id, control.RetryAsked(bank.now))
        world.rounds(2)
    world.cut.clear()
    for node in world.nodes.values():
        node.task = node.succeed
    world.rounds(16)
    assert world.ends() == {("success", None)}
    assert shop.record.run == bank.record.run == 3

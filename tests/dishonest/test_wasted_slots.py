"""An initiator whose offers hold the slots of a host, and in which nothing begins."""

from __future__ import annotations

import pytest

from atoll.flow import control
from atoll.flow.control import Entry, Queue, QueueLimits
from atoll.flow.control.queue import QUEUE_RULES, QueueRule
from tests.dishonest.initiating import HONEST
from tests.flow.control.pair import World, make_job

LIAR, OTHER = "bank", "post"
RULES: tuple[QueueRule, ...] = ("first_come", "fair_share", "priority")


def line(who: str, jobs: int, queue: Queue) -> Queue:
    for at in range(jobs):
        queue = control.enqueue(queue, Entry(f"{who} {at}", 1, "host", who))
    return queue


def wasting(queue: Queue) -> Queue:
    """Let the liar give back all that it holds, and ask for the same again."""
    for entry in [e for e in queue.holding.values() if e.who == LIAR]:
        queue = control.release(queue, entry.job, entry.offer, used=False)
        again = Entry(entry.job, entry.offer + 1, "host", LIAR)
        queue = control.enqueue(queue, again)
    return queue


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("rule", RULES)
def test_offers_that_are_never_started(rule: QueueRule, slots: int) -> None:
    """Lie: hundreds of jobs are offered again and again. Others wait for one offer each time."""
    assert set(RULES) == set(QUEUE_RULES)
    queue = line(LIAR, 300, Queue(QueueLimits(as_host=slots), rule))
    queue, granted = control.admit(queue)
    assert len(granted) == slots
    queue = line(OTHER, 6, queue)
    had = 0
    for _ in range(12):
        queue, granted = control.admit(wasting(queue))
        for entry in [e for e in granted if e.who == OTHER]:
            had += 1
            queue = control.release(queue, entry.job, 1, used=True)
    assert had == 6


def test_who_waits_alone_is_served() -> None:
    """No lie: another host was full, so nothing began; no one else waits here."""
    queue = line(LIAR, 3, Queue(QueueLimits(as_host=2)))
    for _ in range(5):
        queue, _ = control.admit(wasting(queue))
        assert len(queue.holding) == 2
    assert LIAR in queue.wasted


def test_a_slot_that_is_used_makes_up_for_it() -> None:
    """No lie any more: what began here counts, and the order of arrival is the rule again."""
    queue, _ = control.admit(line(LIAR, 1, Queue(QueueLimits(as_host=1))))
    queue, _ = control.admit(wasting(queue))
    queue = control.release(queue, f"{LIAR} 0", 2, used=True)
    assert not queue.wasted
    queue = line(OTHER, 1, line(LIAR, 2, queue))
    _, granted = control.admit(queue)
    assert [entry.who for entry in granted] == [LIAR]


def test_two_that_waste_slots_take_turns() -> None:
    """None of those who share a busy host with a liar waits for ever."""
    queue = line(OTHER, 4, line(LIAR, 4, Queue(QueueLimits(as_host=1))))
    had: list[str] = []
    for _ in range(6):
        queue, granted = control.admit(queue)
        had += [entry.who for entry in granted]
        for entry in granted:
            queue = control.release(queue, entry.job, entry.offer, used=False)
            queue = control.enqueue(queue, Entry(entry.job, entry.offer + 1, "host", entry.who))
    assert had == [LIAR, OTHER] * 3


def test_a_host_knows_which_slots_were_used() -> None:
    """The machine states with each slot that it gives back whether anything began in it."""
    world = World(3).approving(9)
    honest = world[HONEST]
    world[OTHER].queue = Queue(QueueLimits(as_host=0))
    world[LIAR].submit(make_job(3))
    world.rounds(12, 5.0)
    assert {c.used for c in honest.done if isinstance(c, control.Release)} == {False}
    world[OTHER].queue = Queue()
    world.rounds(30, 5.0)
    assert world.ends() == {("success", None)}
    assert [c.used for c in honest.done if isinstance(c, control.Release)][-1]

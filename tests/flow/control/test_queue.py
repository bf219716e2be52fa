"""Who gets a slot: the three rules, limits by role, and offers that replace each other."""

from __future__ import annotations

import pytest

from atoll.core.errors import PeerError
from atoll.flow.control import Entry, Queue, QueueLimits, admit, check_open, enqueue, release


def line(*entries: Entry, rule: str = "first_come", own: int = 2, host: int = 2) -> Queue:
    queue = Queue(QueueLimits(own, host), rule)  # type: ignore[arg-type]
    for entry in entries:
        queue = enqueue(queue, entry)
    return queue


def own(job: str, who: str = "ann", priority: int = 0, offer: int = 1) -> Entry:
    return Entry(job, offer, "initiator", who, priority)


def foreign(job: str, who: str = "shop", priority: int = 0, offer: int = 1) -> Entry:
    return Entry(job, offer, "host", who, priority)


def served(queue: Queue) -> list[str]:
    """Give one slot after the other away and return the order."""
    order: list[str] = []
    while True:
        queue, granted = admit(queue)
        if not granted:
            return order
        order += [entry.job for entry in granted]
        for entry in granted:
            queue = release(queue, entry.job, entry.offer)


def test_first_come_first_served_within_the_limits() -> None:
    queue, granted = admit(line(own("a"), own("b"), own("c"), foreign("d")))
    assert [entry.job for entry in granted] == ["a", "b", "d"]
    assert admit(queue) == (queue, ())
    queue, granted = admit(release(queue, "a", 1))
    assert [entry.job for entry in granted] == ["c"]


def test_limits_are_by_role() -> None:
    queue, granted = admit(line(own("a"), foreign("b"), own=0, host=1))
    assert [entry.job for entry in granted] == ["b"]
    assert list(queue.waiting) == ["a"]


def test_fair_share_lets_owners_and_partners_take_turns() -> None:
    entries = [own(f"ann{at}", "ann") for at in range(4)] + [
        own(f"bob{at}", "bob") for at in (1, 2)
    ]
    queue, granted = admit(line(*entries, rule="fair_share", own=4))
    assert [entry.job for entry in granted] == ["ann0", "bob1", "ann1", "bob2"]
    queue, granted = admit(release(queue, "bob1", 1))
    assert [entry.job for entry in granted] == ["ann2"]
    busy = line(own("old", "ann"), rule="fair_share", own=2)
    busy, _ = admit(busy)
    busy = enqueue(enqueue(busy, own("next", "ann")), own("bobs", "bob"))
    assert [entry.job for entry in admit(busy)[1]] == ["bobs"]


def test_priority_goes_first_for_own_jobs() -> None:
    entries = [own("low", priority=0), own("high", priority=5), own("late", priority=5)]
    assert served(line(*entries, rule="priority", own=1)) == ["high", "late", "low"]


def test_no_partner_gets_ahead_of_the_others_by_its_priorities() -> None:
    entries = [foreign("s1", "shop"), foreign("s2", "shop", 9)]
    entries += [foreign("p1", "post", 100), foreign("p2", "post", 100)]
    _, granted = admit(line(*entries, rule="priority", host=2))
    assert sorted(entry.job for entry in granted) == ["p1", "s2"]


def test_repeated_older_and_newer_offers() -> None:
    queue = line(own("a"), own("b"), own=1)
    assert enqueue(queue, own("a")) == queue
    queue, granted = admit(queue)
    assert [entry.job for entry in granted] == ["a"]
    assert enqueue(queue, own("a")) == queue
    newer = enqueue(queue, own("a", offer=2))
    assert list(newer.waiting) == ["b", "a"]
    assert release(newer, "a", 1) == newer
    assert list(release(newer, "a", 2).waiting) == ["b"]
    assert release(queue, "unknown", 1) == queue


def test_a_slot_held_before_a_restart_is_held_again() -> None:
    queue = enqueue(Queue(QueueLimits(1, 1)), own("a"), held=True)
    queue = enqueue(queue, own("b"))
    assert admit(queue)[1] == ()
    assert list(queue.holding) == ["a"]


def test_a_partner_cannot_fill_the_node() -> None:
    limits = QueueLimits(open_per_partner=3)
    check_open(limits, "shop", 2)
    with pytest.raises(PeerError, match="ATL-FLW-016"):
        check_open(limits, "shop", 3)

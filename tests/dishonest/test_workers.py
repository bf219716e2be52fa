"""A partner whose jobs let this node's tasks wait, beside own jobs and those of others."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from atoll.flow.control import KillTask, Moment, StartTask
from atoll.flow.node.jobs.effects import NodeEffects
from atoll.flow.node.jobs.worker_shares import OWN as WORKS_FOR_OWN
from atoll.flow.node.jobs.worker_shares import Holder, WorkerLimits, WorkerShares
from atoll.flow.node.settings import WorkersSection
from atoll.flow.work.task_events import TaskEvent
from atoll.flow.work.threads import Threads
from atoll.jobs.errors import EnvironmentFault

LIAR, OTHER, OWN = "bank", "post", "shop"
SECONDS = 60.0
any_of: Any = SimpleNamespace
Key = tuple[str, str, int]


class Node:
    """Effects of a node of ``most`` workers, whose tasks hold theirs until ``end``."""

    def __init__(self, most: int) -> None:
        self.time = 0.0
        self.started: SimpleQueue[Key] = SimpleQueue()
        self.ended: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self.phases: list[str] = []
        self.workers = Threads(dict, most=most)
        limits = WorkerLimits.of(WorkersSection(maximum=most))
        self.shares = WorkerShares(limits, now=lambda: self.time)
        decider = any_of(
            begin=lambda *about, spends: None,
            charge=lambda *about: None,
            revealed=bool,
            needs_no_approval=lambda record: record.made_up,
        )
        database = any_of(submit=lambda work, patient: any_of(add_done_callback=lambda f: None))
        self.effects = NodeEffects(
            database, any_of(), any_of(), any_of(), decider, any_of(), wake=lambda peers: None
        )
        tasks = any_of(
            start=self._begin,
            own_key=lambda record, step, key: key,
            adopt=lambda event: None,
            kill=lambda *key: False,
            shares=self.shares,
        )
        self.effects.attach(any_of(event=self._moved, peek=lambda job: None), tasks)
        self._held: dict[Key, Any] = {}

    def _begin(self, record: Any, step: str, attempt: int) -> None:
        key = (record.id, step, attempt)
        self._held[key] = self.workers.lease(record.id)
        self.started.put(key)

    def _moved(self, job: str, make: Any, write: object = None) -> None:
        event = make(Moment(0.0, 0.0))
        if hasattr(event, "state"):
            self.ended.put((job, event))

    def start(self, job: str, initiator: str, *steps: str, made_up: bool = False) -> Any:
        drives = initiator == OWN
        record = any_of(id=job, party=OWN, initiator=initiator, drives=drives, made_up=made_up)
        for step in steps:
            self.effects.carry_out(record, StartTask(step, 1, "key"))
        return record

    def end(self, job: str, step: str) -> None:
        self._held.pop((job, step, 1)).release()
        self.effects.on_event(TaskEvent("done", job, step, 1))

    def begun(self, count: int) -> list[str]:
        return sorted("/".join(self.started.get(timeout=SECONDS)[:2]) for _ in range(count))

    def outcome(self) -> tuple[str, str, str | None]:
        job, event = self.ended.get(timeout=SECONDS)
        return f"{job}/{event.step}", event.state, event.code


@pytest.fixture
def make() -> Iterator[Any]:
    made: list[Node] = []

    def one(most: int) -> Node:
        made.append(Node(most))
        return made[-1]

    yield one
    for node in made:
        node.shares.close()
        node.effects.close()


def test_a_job_that_lets_all_its_steps_wait_leaves_workers_to_own_jobs(make: Any) -> None:
    """Lie: four steps that begin, and whose peer sends nothing. Gain before: all four workers for
    ``workers.receive_seconds`` an attempt; own jobs failed by ATL-WRK-002 at each try.
    """
    node = make(4)
    node.start("lie", LIAR, "m0", "m1", "m2", "m3")
    assert node.begun(2) == ["lie/m0", "lie/m1"]
    node.start("own", OWN, "read", "match")
    assert node.begun(2) == ["own/match", "own/read"]
    assert node.started.empty()
    assert node.ended.empty()


def test_several_partners_together_leave_workers_to_own_jobs(make: Any) -> None:
    """Rule: a quarter is kept, however many partners hold theirs; what waits begins as one ends."""
    node = make(4)
    node.start("lie", LIAR, "m0", "m1")
    node.start("other", OTHER, "m0", "m1")
    assert node.begun(3) == ["lie/m0", "lie/m1", "other/m0"]
    node.start("own", OWN, "read")
    assert node.begun(1) == ["own/read"]
    node.end("own", "read")
    node.end("lie", "m0")
    assert node.begun(1) == ["other/m1"]


def test_jobs_that_no_one_approved_hold_few_workers(make: Any) -> None:
    """Lie: made-up jobs, which need no approval, let all their steps wait. Gain before: eight of
    eight workers by two of them.
    """
    node = make(8)
    for job in ("lie", "lie2"):
        node.start(job, LIAR, "m0", "m1", "m2", "m3", made_up=True)
    assert node.begun(1) == ["lie/m0"]
    node.start("other", OTHER, "m0", "m1", made_up=True)
    assert node.begun(1) == ["other/m0"]
    node.start("third", "telco", "m0", made_up=True)
    node.start("real", LIAR, "m0")
    assert node.begun(1) == ["real/m0"]
    assert node.started.empty()


def test_sessions_of_partners_leave_the_kept_workers_too() -> None:
    """Rule: what partners' sessions and tasks hold together is bounded; own ones are not."""
    shares = WorkerShares(WorkerLimits.of(WorkersSection(maximum=4)), now=lambda: 0.0)
    for number in range(3):
        shares.take(("agreed", "score", number), Holder(LIAR, session=True))
    with pytest.raises(EnvironmentFault, match=r"ATL-WRK-002.*kept for jobs of this node"):
        shares.take(("agreed", "score", 3), Holder(OTHER, session=True))
    shares.take(("own", "score", 1), WORKS_FOR_OWN)
    with pytest.raises(EnvironmentFault, match=r"ATL-WRK-002.*all workers are at work"):
        shares.take(("own", "score", 2), WORKS_FOR_OWN)
    shares.release(("agreed", "score", 0))
    shares.release(("agreed", "score", 0))
    shares.take(("own", "score", 2), WORKS_FOR_OWN)


@pytest.mark.parametrize(
    ("most", "expected"), [(1, (0, 1, 1)), (2, (0, 1, 1)), (4, (1, 2, 1)), (16, (4, 8, 4))]
)
def test_the_shares_of_the_defaults(most: int, expected: tuple[int, int, int]) -> None:
    """As the page says; a partner may have one worker at least, whatever is kept."""
    limits = WorkerLimits.of(WorkersSection(maximum=most))
    assert (limits.own, limits.partner, limits.made_up) == expected
    greedy = WorkerLimits.of(WorkersSection(maximum=most, own_percent=100))
    assert greedy.own == most - 1


def test_a_task_that_finds_no_worker_waits_and_fails_only_after_that(make: Any) -> None:
    """Gain before: it failed at once, was tried again without a pause, and then the job failed."""
    node = make(2)
    node.start("lie", LIAR, "m0", "m1")
    assert node.begun(1) == ["lie/m0"]
    node.time = node.shares.limits.wait_seconds - 1.0
    node.shares.expire()
    assert node.ended.empty()
    node.time += 1.0
    node.shares.expire()
    assert node.outcome() == ("lie/m1", "failed", "ATL-WRK-002")
    node.end("lie", "m0")
    assert node.outcome() == ("lie/m0", "success", None)
    assert node.started.empty()


def test_a_task_that_waits_is_ended_at_once_and_never_begins(make: Any) -> None:
    node = make(2)
    record = node.start("lie", LIAR, "m0", "m1")
    assert node.begun(1) == ["lie/m0"]
    node.effects.carry_out(record, KillTask("m1", 1))
    assert node.outcome() == ("lie/m1", "cancelled", "ATL-JOB-001")
    node.end("lie", "m0")
    assert node.outcome()[0] == "lie/m0"
    assert node.started.empty()
    assert not node.shares._held

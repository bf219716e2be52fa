"""A partner whose proposals take long to look at, beside own jobs and those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from atoll.flow.control import Decide, Declare, DeclareFailed, Ended, Moment
from atoll.flow.node.data import inspection
from atoll.flow.node.data.inspection import InspectLimits, looking_for_partner
from atoll.flow.node.jobs.effects import NodeEffects
from atoll.flow.node.jobs.partner_lines import THREADS, PartnerLines

LIAR, OTHER, THIRD, OWN = "bank", "post", "telco", "shop"
MOST = 40
SECONDS = 60.0
any_of: Any = SimpleNamespace


@dataclass
class Node:
    """Effects of a node whose looks at tables, for the liar, last until ``go``."""

    go: Event = field(default_factory=Event)
    begun: SimpleQueue[str] = field(default_factory=SimpleQueue)
    done: SimpleQueue[tuple[str, Any]] = field(default_factory=SimpleQueue)
    effects: NodeEffects = field(init=False)

    def __post_init__(self) -> None:
        self.effects = NodeEffects(
            any_of(),
            any_of(explain=lambda job, error: None),
            any_of(),
            any_of(declare=self._declare),
            any_of(
                declared=lambda *about: None,
                decide=lambda record, command: lambda now: "decided",
                settle=lambda job: None,
                settle_ended=lambda record: None,
                needs_no_approval=lambda record: False,
            ),
            any_of(),
            wake=lambda peers: None,
            proposals=MOST,
        )
        control = any_of(
            event=lambda job, make: self.done.put((job, make(Moment(0.0, 0.0)))),
            stop=lambda job, party, code: self.done.put((job, code)),
            peek=lambda job: None,
        )
        self.effects.attach(control, any_of(release=lambda job: None, outputs=lambda job: "none"))

    def _declare(self, job: Any, partner: str | None, *, proposed: bool) -> Any:
        self.begun.put(job)
        if partner in (LIAR, OTHER):
            assert self.go.wait(SECONDS)
        return any_of(
            tables={}, components={}, certificate=b"", audience={}, parts={}, opening=None
        )

    def propose(self, job: str, initiator: str) -> Any:
        record = any_of(id=job, party=OWN, initiator=initiator, drives=initiator == OWN)
        self.effects.carry_out(record, any_of_declare(job))
        return record

    def answered(self) -> tuple[str, Any]:
        return self.done.get(timeout=SECONDS)


def any_of_declare(job: str) -> Declare:
    made: Any = object.__new__(Declare)
    object.__setattr__(made, "job", job)
    return made  # type: ignore[no-any-return]


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.go.set()
    made.effects.close()


def test_own_jobs_decisions_and_other_partners_do_not_wait(node: Node) -> None:
    """Lie: a hundred proposals took all threads, and no job began or was decided on."""
    for number in range(MOST):
        node.propose(f"lie-{number}", LIAR)
    assert node.begun.get(timeout=SECONDS) == "lie-0"
    node.propose("own", OWN)
    assert node.answered()[0] == "own"
    decision: Any = object.__new__(Decide)
    node.effects.carry_out(any_of(id="decided", party=OWN, initiator=LIAR), decision)
    assert node.answered() == ("decided", "decided")
    node.propose("third", THIRD)
    assert node.answered()[0] == "third"
    assert node.done.empty()


def test_one_proposal_more_than_may_be_open_is_refused(node: Node) -> None:
    """Rule: the line of a partner is bounded (ATL-FLW-016); others have their own."""
    node.propose("lie", LIAR)
    assert node.begun.get(timeout=SECONDS) == "lie"
    for number in range(MOST + 1):
        node.propose(f"lie-{number}", LIAR)
    job, event = node.answered()
    assert (job, type(event), event.code) == (f"lie-{MOST}", DeclareFailed, "ATL-FLW-016")
    node.propose("third", THIRD)
    assert node.answered()[0] == "third"


def test_what_has_ended_is_not_looked_at(node: Node) -> None:
    """Lie: proposals are withdrawn at once, so that they wait without being open."""
    node.propose("lie", LIAR)
    assert node.begun.get(timeout=SECONDS) == "lie"
    for number in range(5 * MOST):
        record = node.propose(f"lie-{number}", LIAR)
        node.effects.carry_out(record, any_of_ended())
    node.go.set()
    assert node.answered()[0] == "lie"
    node.propose("last", LIAR)
    assert node.answered()[0] == "last"
    assert [node.begun.get(timeout=SECONDS), node.begun.empty()] == ["last", True]


def any_of_ended() -> Ended:
    made: Any = object.__new__(Ended)
    return made  # type: ignore[no-any-return]


def test_partners_take_turns_on_two_threads() -> None:
    """One of each partner at once, and the next of the one that waits longest."""
    go, begun = Event(), SimpleQueue[str]()
    lines = PartnerLines(MOST)

    def work(name: str) -> Callable[[], None]:
        def wait() -> None:
            begun.put(name)
            assert go.wait(SECONDS)

        return wait

    for at in range(3):
        assert lines.put(LIAR, f"{LIAR}{at}", work(f"{LIAR}{at}"))
    assert begun.get(timeout=SECONDS) == f"{LIAR}0"
    for partner in (OTHER, THIRD):
        assert lines.put(partner, partner, work(partner))
    assert begun.get(timeout=SECONDS) == OTHER
    assert THREADS == 2
    assert begun.empty()
    lines.drop(LIAR, f"{LIAR}1")
    go.set()
    last = [begun.get(timeout=SECONDS) for _ in range(2)]
    lines.close()
    assert sorted(last) == sorted([THIRD, f"{LIAR}2"])
    assert begun.empty()


def test_looks_for_partners_leave_own_people_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lie: proposals kept both places for looks at files, where an upload waits, too."""
    go, at_work = Event(), SimpleQueue[str]()

    def asked(question: Any, limits: InspectLimits) -> bytes:
        at_work.put(question["do"])
        if question["do"] == "theirs":
            assert go.wait(SECONDS)
        return b"{}\n"

    def look(name: str) -> None:
        with looking_for_partner() if name == "theirs" else nullcontext():
            inspection.ask({"do": name}, InspectLimits())

    monkeypatch.setattr(inspection, "_asked", asked)
    with ThreadPoolExecutor(8) as pool:
        try:
            theirs = [pool.submit(look, "theirs") for _ in range(6)]
            assert at_work.get(timeout=SECONDS) == "theirs"
            pool.submit(look, "own").result(SECONDS)
            assert at_work.get(timeout=SECONDS) == "own"
            assert at_work.empty()
        finally:
            go.set()
        for one in theirs:
            one.result(SECONDS)

"""Asynchronous training over real TLS: a slow client counts, one that is too slow does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from atoll.cli.client.session import MemberSession
from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.flow.populations import folder as folders
from atoll.flow.populations.folder import Population
from atoll.flow.populations.running import Running, ServeOptions
from atoll.learning.horizontal.asynchronous import STALE, FedBuff
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.work import PopulationWork
from atoll.learning.horizontal.rounds import LATE
from tests.flow.populations.helpers import Serving, enrolled, member_of, population, serving
from tests.learning.horizontal.population.helpers import rows

PLAN = FedBuff(concurrency=4, buffer=2, most_stale=2)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def until(found: Callable[[], bool]) -> None:
    for _ in range(3000):
        if found():
            return
        threading.Event().wait(0.02)
    raise AssertionError


class Fast:
    """A client that does a task when it is asked to here."""

    def __init__(self, root: Path, serving: Serving, number: int, opened: ExitStack) -> None:
        self.folder = enrolled(root / f"c{number}", serving.code())
        self.session = opened.enter_context(closing(MemberSession(self.folder)))
        self.member = member_of(self.folder, number, self.session)

    def work(self) -> None:
        wanted = self.member.book.counts().answered + 1

        def done() -> bool:
            self.member.visit()
            return self.member.book.counts().answered == wanted

        until(done)


class Slow:
    """A client that trains now, and sends its update when it is asked to."""

    def __init__(self, root: Path, serving: Serving, opened: ExitStack) -> None:
        self.folder = enrolled(root / "slow", serving.code())
        self.session = opened.enter_context(closing(MemberSession(self.folder)))
        self.work = PopulationWork(self.folder.terms())
        self.task = messages.Task(0, bytes(16), 0)

    def fetch(self) -> int:
        """Get a task and train; return the step that it is of."""
        ask = messages.CheckIn.of(self.work.terms.digest, Condition(), frozenset())

        def there() -> bool:
            answer = self.session("check-in", ask, messages.Task, messages.Stay)
            if isinstance(answer, messages.Task):
                self.task = answer
            return isinstance(answer, messages.Task)

        until(there)
        model = self.session("fetch", messages.Fetch(self.task.token, 0), messages.Weights)
        sent = self.work.unpack(model.values)
        self.values, self.numbers = self.work.perform(rows(9), sent, SecretRandom())
        return self.task.round

    def send(self) -> tuple[str, str]:
        piece = messages.Piece(self.task.token, 0, self.values)
        taken = self.session("piece", piece, messages.Receipt).code
        last = messages.Finish(self.task.token, self.numbers)
        return taken, self.session("finish", last, messages.Receipt).code


def made(root: Path, rounds: int) -> Population:
    return population(root / "p", {"rounds": rounds, "minimum_clients": 2}, tasks_per_day=1000)


def test_a_slow_client_counts_by_its_staleness(tmp_path: Path, opened: ExitStack) -> None:
    found = opened.enter_context(serving(made(tmp_path, 6), buffer=PLAN))
    slow = Slow(tmp_path, found, opened)
    one, two = (Fast(tmp_path, found, number, opened) for number in range(2))

    def step(version: int, *clients: Fast) -> None:
        for client in clients:
            client.work()
        until(lambda: any(f"round {version}/6" in line for line in found.lines))

    assert slow.fetch() == 0
    for version in (1, 2):
        step(version, one, two)
    assert slow.send() == ("", "")
    # It comes again: the same answer is in no second step.
    assert slow.send() == ("ATL-HOR-035", "ATL-HOR-035")
    step(3, one)
    for version in (4, 5, 6):
        step(version, one, two)
    result = found.wait()
    assert (result.finished, result.rounds, result.figures.answered) == (True, 6, 12)
    assert one.member.book.counts().tasks == 6
    assert two.member.book.counts().tasks == 5
    assert np.isfinite(result.part.weights).all()


def test_an_answer_that_is_too_old_is_dropped_by_a_code(tmp_path: Path, opened: ExitStack) -> None:
    found = opened.enter_context(serving(made(tmp_path, 4), buffer=PLAN))
    slow = Slow(tmp_path, found, opened)
    one, two = (Fast(tmp_path, found, number, opened) for number in range(2))
    assert slow.fetch() == 0
    for version in (1, 2, 3):
        one.work()
        two.work()
        until(lambda at=version: any(f"round {at}/4" in line for line in found.lines))  # type: ignore[misc]
    # The step after the third may not have begun yet, and then it would be one step younger.
    ask = messages.CheckIn.of(slow.work.terms.digest, Condition(), frozenset())

    def over() -> bool:
        answer = slow.session("check-in", ask, messages.Task, messages.Stay)
        return not isinstance(answer, messages.Task) or answer.token != slow.task.token

    until(over)
    assert slow.send() == (STALE, STALE)
    one.work()
    two.work()
    result = found.wait()
    assert result.figures.answered == 8
    assert result.figures.failures[STALE] == 1


def test_a_restarted_server_takes_no_answer_of_before(tmp_path: Path, opened: ExitStack) -> None:
    of = made(tmp_path, 3)
    first = opened.enter_context(serving(of, buffer=PLAN))
    slow = Slow(tmp_path, first, opened)
    one, two = (Fast(tmp_path, first, number, opened) for number in range(2))
    slow.fetch()
    one.work()
    two.work()
    until(lambda: any("round 1/3" in line for line in first.lines))
    # It was taken, but no step was done with it.
    one.work()
    before = first.stop()
    assert (before.rounds, before.finished) == (1, False)
    again = folders.load(of.root)
    second = opened.enter_context(serving(again, port=first.port, buffer=PLAN))
    assert slow.send() == (LATE, LATE)
    for _ in range(2):
        one.work()
        two.work()
    after = second.wait()
    assert any("resumes after round 1" in line for line in second.lines)
    assert (after.finished, after.figures.rounds, after.figures.answered) == (True, 2, 4)
    assert one.member.book.counts().tasks == 4


@pytest.mark.parametrize("method", ["power-of-choice", "oort", "poisson", "all"])
def test_draws_that_a_population_cannot_keep_to_are_refused(tmp_path: Path, method: str) -> None:
    of = made(tmp_path, 3)
    with pytest.raises(UserError) as caught:
        Running(of, ServeOptions(draw=method), lambda _: None)  # type: ignore[arg-type]
    assert caught.value.code == "ATL-POP-036"
    assert method in str(caught.value)


@pytest.mark.parametrize("what", ["equal", "clip", "algorithm", "buffer"])
def test_a_draw_by_rows_needs_rows(tmp_path: Path, what: str) -> None:
    training: dict[str, dict[str, object]] = {
        "equal": {"weighting": "equal"},
        "clip": {"clip": 1.0},
        "algorithm": {"algorithm": "fednova"},
        "buffer": {},
    }
    of = population(tmp_path / "p", training[what])
    plan = PLAN if what == "buffer" else None
    with pytest.raises(UserError) as caught:
        Running(of, ServeOptions(draw="weighted", buffer=plan), lambda _: None)
    assert caught.value.code == "ATL-POP-036"
    if what == "buffer":
        Running(of, ServeOptions(draw="weighted"), lambda _: None)


def test_a_buffer_holds_the_fewest_clients_of_the_terms(tmp_path: Path) -> None:
    of = made(tmp_path, 3)
    with pytest.raises(UserError) as caught:
        Running(of, ServeOptions(buffer=FedBuff(buffer=1)), lambda _: None)
    assert caught.value.code == "ATL-POP-037"

"""A member's own count, what it does when connections break, and what it never does twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.core.errors import AtollError, NetworkError, UserError
from atoll.core.message import Message
from atoll.core.random import SecretRandom
from atoll.core.reveal import Disclosures
from atoll.learning.horizontal.conditions import Condition, Eligibility
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.population import book, messages
from atoll.learning.horizontal.population.book import Book, Counts
from atoll.learning.horizontal.population.member import INTERRUPTED, PopulationMember
from atoll.learning.horizontal.population.work import PopulationWork
from tests.learning.horizontal.population.helpers import rows, terms_with

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
CHANGED = {"algorithm": "fedavg", "weighting": "equal", "clip": 1.0}


class Aggregator:
    """Answers a member's requests by a script: what to fail, and which task to hand out."""

    def __init__(self, work: PopulationWork) -> None:
        self.work, self.token = work, b"t" * 16
        self.sent: list[tuple[str, Message]] = []
        self.breaks: set[str] = set()
        self.stay = False
        self.code = ""

    def __call__(self, what: str, message: Message, *kinds: Any) -> Any:
        self.sent.append((what, message))
        if what in self.breaks:
            raise NetworkError("ATL-POP-017", "gone")
        match what:
            case "check-in" if self.stay:
                return messages.Stay(4000, ())
            case "check-in":
                return messages.Task(0, self.token, 60)
            case "fetch":
                model = self.work.model.initial(np.random.default_rng(0))
                return messages.Weights(0, model)
        return messages.Receipt(self.code)

    def names(self) -> list[str]:
        return [what for what, _ in self.sent]


def made(
    tmp_path: Path,
    data: ClientRows | None = None,
    wall: Callable[[], datetime] = lambda: NOON,
    **named: Any,
) -> tuple[PopulationMember, Aggregator, list[str]]:
    work = PopulationWork(terms_with(CHANGED, **named))
    aggregator, notes = Aggregator(work), list[str]()
    member = PopulationMember(
        work=work,
        data=rows(1) if data is None else data,
        ask=aggregator,
        book=Book(tmp_path / "counts.json", work.terms, wall),
        condition=Condition,
        note=notes.append,
        trace=lambda error: notes.append(error.code),
        secret=SecretRandom(),
    )
    return member, aggregator, notes


def test_a_task_is_counted_before_anything_of_its_answer_leaves(tmp_path: Path) -> None:
    member, aggregator, _ = made(tmp_path)
    aggregator.breaks = {"piece"}
    with pytest.raises(NetworkError):
        member.visit()
    assert member.book.counts().tasks == 1
    assert aggregator.names() == ["check-in", "fetch", "piece"]


def test_what_was_not_acknowledged_is_sent_again_in_the_same_bytes(tmp_path: Path) -> None:
    member, aggregator, _ = made(tmp_path, noise=2.0)
    aggregator.breaks = {"finish"}
    with pytest.raises(NetworkError):
        member.visit()
    aggregator.breaks = set()
    member.visit()
    pieces = [message.encode() for what, message in aggregator.sent if what == "piece"]
    assert len(pieces) == 2
    assert pieces[0] == pieces[1]
    assert aggregator.names()[-2:] == ["piece", "finish"]
    assert member.book.counts().tasks == 1


def test_a_killed_client_makes_no_second_answer_to_a_task(tmp_path: Path) -> None:
    member, aggregator, _ = made(tmp_path, noise=2.0)
    aggregator.breaks = {"finish"}
    with pytest.raises(NetworkError):
        member.visit()
    # A new process, with the same folder, is handed the same task.
    again, aggregator, _ = made(tmp_path, noise=2.0)
    again.visit()
    assert aggregator.names() == ["check-in", "failed"]
    assert aggregator.sent[-1][1] == messages.Failed(b"t" * 16, INTERRUPTED)
    assert again.book.counts().tasks == 1


def test_its_own_failure_leaves_as_a_code_and_is_counted(tmp_path: Path) -> None:
    data = ClientRows(np.full((5, 3), np.float32(np.inf)), np.ones(5, np.int64))
    member, aggregator, notes = made(tmp_path, data)
    with np.errstate(all="ignore"):
        member.visit()
    assert aggregator.sent[-1] == ("failed", messages.Failed(b"t" * 16, "ATL-HOR-011"))
    assert "ATL-HOR-011" in notes
    assert member.book.counts().tasks == 1


def test_the_bounds_of_the_terms_are_the_clients_own(tmp_path: Path) -> None:
    clock = [NOON]
    member, aggregator, _ = made(
        tmp_path, wall=lambda: clock[0], tasks_per_day=2, tasks=3, until=date(2027, 3, 2)
    )

    def visit(token: bytes) -> float:
        aggregator.token = token
        return member.visit()

    visit(b"a" * 16)
    visit(b"b" * 16)
    before = len(aggregator.sent)
    assert visit(b"c" * 16) == 12 * 3600
    assert len(aggregator.sent) == before
    # A clock that is set back gives no day twice.
    clock[0] = datetime(2027, 2, 28, 23, tzinfo=UTC)
    assert visit(b"c" * 16) == 3600
    clock[0] = datetime(2027, 3, 2, 1, tzinfo=UTC)
    visit(b"c" * 16)
    with pytest.raises(UserError) as caught:
        visit(b"d" * 16)
    assert caught.value.code == "ATL-POP-025"
    assert [what for what, _ in aggregator.sent].count("finish") == 3


def test_nothing_is_done_after_the_last_day(tmp_path: Path) -> None:
    member, aggregator, _ = made(tmp_path, until=date(2027, 2, 28))
    with pytest.raises(UserError) as caught:
        member.visit()
    assert caught.value.code == "ATL-POP-026"
    assert aggregator.sent == []


def test_a_damaged_count_is_no_fresh_one(tmp_path: Path) -> None:
    member, aggregator, _ = made(tmp_path)
    member.visit()
    (tmp_path / "counts.json").write_text("{}x")
    with pytest.raises(UserError) as caught:
        member.visit()
    assert caught.value.code == "ATL-POP-027"
    assert aggregator.names().count("check-in") == 1


def test_a_model_that_is_not_of_the_terms_is_not_trained_on(tmp_path: Path) -> None:
    member, aggregator, notes = made(tmp_path)
    aggregator.work = PopulationWork(terms_with(CHANGED, columns=("a", "b", "c", "d")))
    member.visit()
    assert aggregator.sent[-1] == ("failed", messages.Failed(b"t" * 16, "ATL-POP-003"))
    assert "ATL-POP-003" in notes


def test_a_client_stays_away_as_long_as_it_is_sent_away(tmp_path: Path) -> None:
    member, aggregator, _ = made(tmp_path)
    aggregator.stay = True
    assert member.visit() == 4.0
    assert not (tmp_path / "counts.json").exists()


@pytest.mark.parametrize("noise", [None, 2.0])
def test_what_leaves_is_what_is_declared(tmp_path: Path, noise: float | None) -> None:
    asked = Eligibility(battery=0.2)
    member, aggregator, _ = made(tmp_path, noise=noise, tasks=1, eligibility=asked)
    member.condition = lambda: Condition(battery=0.5, charging=False, link="wifi", cores=4)
    member.visit()
    with pytest.raises(UserError):
        member.visit()
    sent = Disclosures()
    for _, message in aggregator.sent:
        sent.add("client", "aggregator", message.kind, message.revealed())
    declared = {
        (r.sender, r.receiver, r.message, r.field): r.count({})
        for r in member.work.reveals()
        if r.sender == "client"
    }
    shown = {key[2:]: count for key, count in sent.counts.items() if count}
    check_in = {key: shown.pop(key) for key in list(shown) if key[0] == messages.CheckIn.kind}
    assert shown == {key[2:]: count for key, count in declared.items()}
    assert {field for _, field in check_in} == {"battery", "charging", "there"}
    # With noise no weight travels beside the update.
    assert ((messages.Finish.kind, "numbers") in shown) == (noise is None)


def test_an_answer_of_another_class_is_an_error(tmp_path: Path) -> None:
    member, _, _ = made(tmp_path)
    member.ask = lambda what, message, *kinds: messages.Receipt("")  # type: ignore[assignment]
    with pytest.raises(AtollError):
        member.visit()


def test_a_client_counts_what_became_of_its_tasks_and_each_set_of_rows(tmp_path: Path) -> None:
    member, aggregator, _ = made(tmp_path)
    first = member.data.digest()

    def visit(of: PopulationMember, asked: Aggregator, token: bytes) -> None:
        asked.token = token
        of.visit()

    visit(member, aggregator, b"a" * 16)
    aggregator.code = "ATL-HOR-034"
    visit(member, aggregator, b"b" * 16)
    # The file changed, and the client began again; then it changed back.
    other, aggregator, _ = made(tmp_path, rows(2))
    visit(other, aggregator, b"c" * 16)
    visit(other, aggregator, b"c" * 16)
    back, aggregator, _ = made(tmp_path)
    visit(back, aggregator, b"d" * 16)
    counts = back.book.counts()
    assert (counts.tasks, counts.answered, counts.refused, counts.failed) == (4, 3, 1, 1)
    assert list(counts.sets.items()) == [(other.data.digest(), 1), (first, 3)]


def test_sets_that_are_counted_apart_no_more_are_never_counted_too_low() -> None:
    counts = Counts()
    for at in range(book.MOST_SETS + 2):
        counts = counts.with_set(f"{at}")
    assert len(counts.sets) == book.MOST_SETS
    assert counts.others == 2
    assert counts.with_set("0").sets["0"] == 3
    assert counts.with_set("5").sets["5"] == 2


def test_rows_in_another_order_are_another_set() -> None:
    data = rows(1)
    turned = ClientRows(data.rows[::-1], data.targets[::-1])
    assert data.digest() == rows(1).digest() != turned.digest()

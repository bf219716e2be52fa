"""Aggregators and members of populations that lie: docs/security/dishonest-partner.md."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.core.errors import AtollError, UserError
from atoll.core.message import Message
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.book import Book
from atoll.learning.horizontal.population.member import PopulationMember
from atoll.learning.horizontal.population.terms import PopulationTerms, read_terms
from atoll.learning.horizontal.population.work import Numbers, PopulationWork, sentences
from atoll.learning.horizontal.sums import Update, total
from tests.learning.horizontal.population.helpers import rows, terms_with
from tests.learning.horizontal.population.test_clients import opened, task

CLIPPED = {"algorithm": "fedavg", "weighting": "equal", "clip": 1.0}
# Products of two values of a row overflow where those of a logistic model are cut.
OVERFLOWING = {**CLIPPED, "family": "linear"}
LARGEST = float(np.finfo(np.float32).max)


def code_of(act: Any) -> str:
    with pytest.raises(AtollError) as caught:
        act()
    return caught.value.code


# --- an aggregator that lies ---


class Probing:
    """Hands out task after task on weights of its choice, and keeps what comes back."""

    def __init__(self, weights: list[float]) -> None:
        self.weights = np.array(weights, np.float32)
        self.tasks = 0
        self.codes: list[str] = []
        self.updates: list[Vector] = []

    def __call__(self, what: str, message: Message, *kinds: Any) -> Any:
        match what:
            case "check-in":
                self.tasks += 1
                return messages.Task(0, self.tasks.to_bytes(16, "big"), 60)
            case "fetch":
                return messages.Weights(0, self.weights)
            case "failed":
                assert isinstance(message, messages.Failed)
                self.codes.append(message.code)
            case "piece":
                assert isinstance(message, messages.Piece)
                self.updates.append(message.values)
        return messages.Receipt("")


def member(
    root: Path, aggregator: Probing, terms: PopulationTerms, largest: float
) -> tuple[PopulationMember, list[str]]:
    """A client whose largest value of the first column is as stated."""
    data = rows(1)
    data.rows[:, 0] = np.minimum(data.rows[:, 0], 1.0)
    data.rows[0, 0] = largest
    traced: list[str] = []
    made = PopulationMember(
        work=PopulationWork(terms),
        data=data,
        ask=aggregator,
        book=Book(root / f"counts-{largest}.json", terms),
        condition=Condition,
        note=lambda _: None,
        trace=lambda error: traced.append(error.code),
        secret=SecretRandom(),
    )
    return made, traced


def visited(of: PopulationMember, times: int) -> None:
    """Let a client come so often, or until its terms allow no more."""
    with np.errstate(all="ignore"), contextlib.suppress(UserError):
        for _ in range(times):
            of.visit()


@pytest.mark.parametrize("noise", [None, 50.0])
def test_weights_that_no_model_has_are_refused_whatever_the_rows_are(
    tmp_path: Path, noise: float | None
) -> None:
    """Before, the largest value of a column was found by trying where float32 overflows."""
    terms = terms_with(OVERFLOWING, noise=noise)
    found = []
    for largest in (7.0, 8.0):
        aggregator = Probing([LARGEST / 7.5, -LARGEST, 0.0, 0.0])
        made, _ = member(tmp_path, aggregator, terms, largest)
        visited(made, 3)
        found.append((aggregator.codes, len(aggregator.updates)))
    assert found[0] == found[1] == (["ATL-POP-003"] * 3, 0)


def test_with_noise_a_failure_looks_as_any_answer_and_is_counted(tmp_path: Path) -> None:
    """Rows that overflow within the bound on weights, and others: the same tasks, no code."""
    terms = terms_with(OVERFLOWING, noise=50.0, tasks=4, tasks_per_day=4)
    lengths: dict[float, list[float]] = {}
    for largest in (7.0, 3e10):
        aggregator = Probing([9e29, 0.0, 0.0, 0.0])
        made, traced = member(tmp_path, aggregator, terms, largest)
        visited(made, 20)
        assert bool(traced) == (largest > 7.0)
        assert aggregator.codes == []
        assert made.book.counts().tasks == len(aggregator.updates) == 4
        lengths[largest] = [float(np.linalg.norm(u)) for u in aggregator.updates]
    # Each is the noise of 50 on four weights, of which one in 10^11 is below a hundredth of it.
    assert all(0.5 < length < 400 for found in lengths.values() for length in found)


def test_without_noise_a_failure_is_counted_as_an_answer_is(tmp_path: Path) -> None:
    terms = terms_with(OVERFLOWING, tasks=4, tasks_per_day=4)
    aggregator = Probing([9e29, 0.0, 0.0, 0.0])
    made, _ = member(tmp_path, aggregator, terms, 3e10)
    visited(made, 100)
    assert aggregator.codes == ["ATL-HOR-011"] * 4
    assert (made.book.counts().tasks, made.book.counts().failed) == (4, 4)


IGNORED: list[dict[str, Any]] = [
    {"privacy": {"epsilon": 1.0, "unit": "client", "noise": "local"}},
    {"rule": "krum"},
    {"rule": "median"},
    {"rule": "trimmed_mean", "poisoned": 0.1},
    {"compression": "quantised"},
    {"compression": "top_k", "compression_share": 0.5},
    {"down_bits": 8},
    {"evaluate_every": 3},
]


@pytest.mark.parametrize("more", IGNORED, ids=lambda more: "-".join(more))
def test_terms_do_not_promise_what_no_one_keeps(more: dict[str, Any]) -> None:
    """Before, such terms were signed and served, and updates left without noise."""
    signed = terms_with({**CLIPPED, **more})
    with pytest.raises(UserError, match=next(iter(more))):
        signed.require_possible()
    assert code_of(lambda: read_terms(signed.document())) == "ATL-POP-002"


def test_what_is_agreed_to_is_shown_whole(tmp_path: Path) -> None:
    columns = (*(f"c{at}" for at in range(22)), "salary")
    assert "salary" in sentences(terms_with(columns=columns), None)[1]
    with pytest.raises(ValueError, match="delta"):
        terms_with(CLIPPED, noise=20.0, delta=0.9)


# --- a member that lies ---


def answered(work: PopulationWork, number: int) -> tuple[Vector, Numbers]:
    return work.perform(rows(number), work._start, SecretRandom())


def taken(work: PopulationWork, values: Vector, numbers: Numbers) -> str:
    try:
        work.received(values, numbers)
    except AtollError as error:
        return error.code
    return ""


@pytest.mark.parametrize("value", [3e38, 1e6, 50.0])
def test_with_noise_no_update_is_longer_than_noise_is(value: float) -> None:
    """Before, any finite values were taken: one ruined the model, two ended the aggregator."""
    work = PopulationWork(terms_with(CLIPPED, noise=4.0))
    huge = np.zeros(work.form.size, np.float32)
    huge[0] = value
    assert taken(work, huge, np.empty(0)) == "ATL-POP-003"
    for _ in range(200):
        assert taken(work, *answered(work, 1)) == ""


def test_with_noise_one_liar_moves_the_mean_by_what_the_page_states() -> None:
    work = PopulationWork(terms_with(CLIPPED, noise=4.0))
    size, deviation = work.form.size, 4.0
    honest = [work.received(*answered(work, n)) for n in range(20)]
    most = 1 + deviation * (math.sqrt(size) + 12)
    worst = np.full(size, np.float32(0.999 * most / math.sqrt(size)))
    liar = work.received(worst, np.empty(0))
    before, after = (_stepped(work, found) for found in (honest, [*honest, liar]))
    assert float(np.linalg.norm(after - before * 20 / 21)) <= 1.001 * most / 21
    assert taken(work, worst * np.float32(1.01), np.empty(0)) == "ATL-POP-003"


def _stepped(work: PopulationWork, updates: list[Update]) -> Vector:
    found = total(updates)
    assert found is not None
    state = work.algorithm.start(np.zeros(work.sent.size, np.float32))
    return work.algorithm.aggregate(state, work.added(found, len(updates)).check()).weights


@pytest.mark.parametrize(
    "algorithm", ["fedavg", "fedavgm", "fedadam", "fedyogi", "fedprox", "fednova", "fedsgd"]
)
def test_without_a_clip_no_sum_ends_the_aggregator(algorithm: str) -> None:
    """As much as is taken, from all clients, over and over: what comes of it stays finite."""
    work = PopulationWork(terms_with({"algorithm": algorithm, "server_rate": 1000.0}, most_rows=9))
    values, numbers = work.perform(rows(1, 9), work._start, SecretRandom())
    units = work.algorithm.units(dict(zip(work.form.numbers, numbers, strict=True)), work._extent)
    worst = np.full_like(values, 0.99 * units * work.terms.training.bound)
    assert taken(work, worst * np.float32(1.1), numbers) == "ATL-POP-003"
    update = work.received(worst, numbers)
    state = work.algorithm.start(np.zeros(work.sent.size, np.float32))
    for _ in range(50):
        found = total([update] * 4)
        assert found is not None
        state = work.algorithm.aggregate(state, work.added(found, 4).check())
        work.unpack(work.pack(work.algorithm.message(state)))


@pytest.mark.parametrize("weight", [1e-30, 0.5, 41.0, 1e30])
def test_a_client_weighs_whole_rows_that_the_terms_count(weight: float) -> None:
    work = PopulationWork(terms_with({"algorithm": "fedavg"}, most_rows=40))
    values, _ = answered(work, 1)
    assert taken(work, values, np.array([weight])) == "ATL-POP-003"
    assert taken(work, *answered(work, 1)) == ""


@pytest.mark.parametrize("weighting", ["rows", "equal"])
def test_steps_are_those_of_the_terms(weighting: str) -> None:
    """Before, one number scaled the mean of all: one liar of 21 moved the model by 5e25."""
    training = {"algorithm": "fednova", "weighting": weighting, "momentum": 0.5, "epochs": 3}
    work = PopulationWork(terms_with(training, most_rows=100))
    values, numbers = answered(work, 1)
    assert taken(work, values, numbers) == ""
    at = list(work.form.numbers).index("steps")
    for factor in (1e30, 100.0):
        stated = numbers.copy()
        stated[at] *= factor
        assert taken(work, values, stated) == "ATL-POP-003"


def test_no_client_states_how_much_all_others_count() -> None:
    signed = terms_with({"algorithm": "qfedavg", "clip": 1.0})
    assert code_of(signed.require_possible) == "ATL-POP-002"


def test_what_a_removed_member_finished_is_left_out() -> None:
    work, clients, thread, found = opened(terms_with({"algorithm": "fedavg"}), 3)
    for number in (0, 1):
        asked = task(clients, work, number)
        values, numbers = answered(work, number)
        if number == 1:
            values = np.full_like(values, 15.9 * float(numbers[0]))
        assert clients.take(number, messages.Piece(asked.token, 0, values)) == ""
        assert clients.finish(number, messages.Finish(asked.token, numbers)) == ""
    clients.end(1)
    last = task(clients, work, 2)
    clients.failed(2, messages.Failed(last.token, "ATL-HOR-011"))
    thread.join(20)
    answers = found[0]
    assert answers.answered == 1
    assert answers.failures == {1: "ATL-POP-004", 2: "ATL-HOR-011"}
    assert float(np.abs(answers.total.vectors["change"]).max()) < 15.0


def test_rows_that_were_made_up_move_the_mean_by_what_they_weigh() -> None:
    """What is not bounded: within the clip, and its weight, an update may say anything."""
    work = PopulationWork(terms_with(CLIPPED))
    honest = [work.received(*answered(work, n)) for n in range(20)]
    made_up = ClientRows(rows(1).rows * 1e3, 1 - rows(1).targets)
    liar = work.received(*work.perform(made_up, work._start, SecretRandom()))
    before, after = (_stepped(work, found) for found in (honest, [*honest, liar]))
    moved = float(np.linalg.norm(after - before * 20 / 21))
    assert 0.9 / 21 < moved < 1.001 / 21

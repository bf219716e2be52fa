"""Asynchronous training of a population: what enters a step, with which weight, what does not."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atoll.core.clock import ManualClock
from atoll.core.errors import AtollError, CancelledError, UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.asynchronous import STALE, FedBuff
from atoll.learning.horizontal.conditions import Condition, Eligibility
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.attendance import (
    NOT_ANSWERED,
    NOT_FETCHED,
    REMOVED,
    Assignment,
    Pace,
    RoundRules,
)
from atoll.learning.horizontal.population.buffered import Buffer
from atoll.learning.horizontal.population.stepping import (
    BufferedClients,
    BufferedTraining,
    require_buffer,
)
from atoll.learning.horizontal.population.work import PopulationWork
from atoll.learning.horizontal.rounds import LATE, REPEATED, Closing
from tests.learning.horizontal.population.helpers import rows, terms_with, visit

FIT, UNFIT = Condition(battery=0.9), Condition(battery=0.1)
RULES = RoundRules(pace=Pace(least=1, most=40), closing=Closing(limit=100))
NOTHING = b"\0" * 16


def buffer(members: int, **named: Any) -> Buffer:
    plan = FedBuff(**{"concurrency": 8, "buffer": 2, "most_stale": 2, **named})
    made = Buffer(RULES, Eligibility(battery=0.5), SecretRandom(), plan)
    for number in range(members):
        made.register(number)
    made.begin(0, 0.0)
    return made


def begun(made: Buffer, number: int, now: float = 0.0) -> Assignment:
    task = made.check_in(number, FIT, now).task
    assert task is not None
    return task


def stepped(made: Buffer, version: int, now: float = 0.0) -> dict[int, float]:
    taken = made.take()
    made.begin(version, now)
    return dict(taken.weights)


def test_a_step_is_done_when_the_buffer_is_full_and_each_answer_is_in_one() -> None:
    made = buffer(4)
    tasks = {number: begun(made, number) for number in range(3)}
    assert begun(made, 0) == tasks[0]
    assert made.answer(1, tasks[1].token, 1.0) == ""
    assert made.answer(1, tasks[1].token, 1.0) == REPEATED
    assert made.answer(0, NOTHING, 1.0) == LATE
    # Whose answer waits for a step has no further task: a buffer is of distinct clients.
    assert made.check_in(1, FIT, 1.0).task is None
    assert not made.full
    assert made.answer(2, tasks[2].token, 1.0) == ""
    assert made.full
    taken = made.take()
    assert list(taken.weights.items()) == [(1, 1.0), (2, 1.0)]
    assert taken.refused == {REPEATED: 1, LATE: 1}
    made.begin(1, 2.0)
    assert begun(made, 1, 2.0).round == 1
    with pytest.raises(UserError) as caught:
        made.take()
    assert caught.value.code == "ATL-POP-008"


def test_a_late_answer_counts_with_its_staleness_and_one_that_is_too_old_not_at_all() -> None:
    made = buffer(8, exponent=0.5)
    slow, slower = begun(made, 0), begun(made, 1)
    for version in (1, 2):
        for number in (2, 3):
            made.answer(number, begun(made, number).token, 0.0)
        stepped(made, version)
    assert made.versions == {0}
    assert made.answer(0, slow.token, 0.0) == ""
    made.answer(2, begun(made, 2).token, 0.0)
    assert stepped(made, 3) == {0: 3**-0.5, 2: 1.0}
    # Three steps since the other began.
    assert not made.holds(1, slower.token)
    assert made.answer(1, slower.token, 0.0) == STALE
    assert made.refusal(1, NOTHING) == LATE
    for number in (2, 3):
        made.answer(number, begun(made, number).token, 0.0)
    taken = made.take()
    assert taken.failures == {1: STALE}
    assert taken.refused == {STALE: 1}


def test_no_more_are_at_work_than_may_be_and_each_wait_has_an_end() -> None:
    made = buffer(4, concurrency=2)
    begun(made, 0, 0.0)
    begun(made, 1, 50.0)
    assert made.check_in(2, FIT, 60.0).task is None
    assert made.next_moment(60.0) == 40.0
    assert made.seconds_left(1, 60.0) == 90.0
    task = begun(made, 2, 100.0)
    assert made.answer(2, task.token, 199.0) == ""
    late = begun(made, 3, 160.0)
    assert made.answer(3, late.token, 260.0) == LATE
    other = begun(made, 0, 260.0)
    assert made.answer(0, other.token, 261.0) == ""
    assert made.take().failures == {0: NOT_ANSWERED, 1: NOT_ANSWERED, 3: NOT_ANSWERED}


def test_updates_that_wait_for_a_step_are_bounded() -> None:
    made = buffer(10, concurrency=2)
    for number in range(4):
        made.answer(number, begun(made, number).token, 0.0)
    assert made.check_in(4, FIT, 0.0).task is None
    stepped(made, 1)
    begun(made, 4)


def test_who_is_removed_unfit_or_failed_is_not_waited_for() -> None:
    made = buffer(5)
    tasks = {number: begun(made, number) for number in range(4)}
    made.end(0)
    assert made.answer(1, tasks[1].token, 0.0) == ""
    made.end(1)
    assert made.check_in(2, UNFIT, 0.0).task is None
    assert made.check_in(4, UNFIT, 0.0).task is None
    assert made.fail(3, tasks[3].token, "ATL-HOR-011")
    assert not made.fail(3, tasks[3].token, "ATL-HOR-011")
    with pytest.raises(UserError):
        made.answer(0, tasks[0].token, 0.0)
    for number in (2, 4):
        made.answer(number, begun(made, number).token, 0.0)
    taken = made.take()
    assert set(taken.weights) == {2, 4}
    assert taken.failures == {0: REMOVED, 1: REMOVED, 2: NOT_FETCHED, 3: "ATL-HOR-011"}


class Steps(RuleBasedStateMachine):
    """Any order of visits, answers, steps and time; what is taken is looked at against a record."""

    members, most_stale = 6, 2

    def __init__(self) -> None:
        super().__init__()
        self.made = buffer(self.members, concurrency=4, most_stale=self.most_stale)
        self.now, self.version = 0.0, 0
        self.tasks: dict[bytes, tuple[int, int]] = {}
        self.accepted: set[bytes] = set()
        self.open: list[bytes] = []

    @rule(number=st.integers(0, members - 1))
    def come(self, number: int) -> None:
        task = self.made.check_in(number, FIT, self.now).task
        if task is not None:
            self.tasks.setdefault(task.token, (number, task.round))
            assert self.tasks[task.token] == (number, task.round)

    @precondition(lambda self: self.tasks)
    @rule(at=st.integers(0, 100))
    def answer(self, at: int) -> None:
        token = list(self.tasks)[at % len(self.tasks)]
        number, _ = self.tasks[token]
        if not self.made.answer(number, token, self.now):
            assert token not in self.accepted
            self.accepted.add(token)
            self.open.append(token)

    @precondition(lambda self: self.made.full)
    @rule()
    def step(self) -> None:
        taken = self.made.take()
        for number, weight in taken.weights.items():
            token = self.open.pop(0)
            member, began = self.tasks[token]
            assert member == number
            assert weight == self.made.plan.weight(self.version - began)
            assert self.version - began <= self.most_stale
        self.version += 1
        self.made.begin(self.version, self.now)
        oldest = self.version - self.most_stale
        self.open = [token for token in self.open if self.tasks[token][1] >= oldest]

    @rule(seconds=st.sampled_from([1.0, 40.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.made.expire(self.now)

    @invariant()
    def bounded(self) -> None:
        assert len(self.made.waiting) == len(self.open)
        assert all(self.version - v <= self.most_stale for v in self.made.versions)


Steps.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSteps = Steps.TestCase


CHANGED = {"algorithm": "fedavg", "weighting": "equal", "rounds": 2}


def stepping(**named: Any) -> tuple[PopulationWork, BufferedClients, threading.Thread, list[Any]]:
    """Train in a thread over four members; the state after, or an error, ends up in the list."""
    terms = terms_with({**CHANGED, **named.pop("training", {})}, noise=named.pop("noise", None))
    work = PopulationWork(terms.require_possible())
    plan = FedBuff(**{"concurrency": 4, "buffer": 2, "most_stale": 2, **named})
    buffer = Buffer(RULES, Eligibility(), SecretRandom(), plan)
    clients = BufferedClients(work, buffer, ManualClock())
    for number in range(4):
        clients.register(number)
    found: list[Any] = []

    def run() -> None:
        state = work.algorithm.start(work.model.initial(np.random.default_rng(0)))
        training = BufferedTraining(work.algorithm, work.terms.training.rounds)
        try:
            found.append(training.run(state, clients, [lambda done: found.append(done)]))
        except AtollError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return work, clients, thread, found


def drawn(clients: BufferedClients, work: PopulationWork, number: int) -> messages.Task:
    """Check in until there is a task: the training's thread may not have begun yet."""
    ask = messages.CheckIn.of(work.terms.digest, Condition(), frozenset())
    for _ in range(20_000):
        answer = clients.check_in(number, ask)
        if isinstance(answer, messages.Task):
            return answer
        threading.Event().wait(0.001)
    raise AssertionError


def answered(
    clients: BufferedClients, number: int, token: bytes, value: float, size: int
) -> tuple[str, str]:
    values = np.full(size, value, np.float32)
    taken = clients.take(number, messages.Piece(token, 0, values))
    return taken, clients.finish(number, messages.Finish(token, np.array([1.0])))


def test_late_updates_are_scaled_and_their_weight_stays_whole() -> None:
    work, clients, thread, found = stepping(exponent=1.0)
    size = work.form.size
    slow = drawn(clients, work, 0)
    for number in (1, 2):
        assert answered(clients, number, drawn(clients, work, number).token, 3.0, size) == ("", "")
    while not found:
        threading.Event().wait(0.001)
    # On the weights of when it was asked, though a step was done.
    sent = clients.fetch(0, messages.Fetch(slow.token, 0)).values
    np.testing.assert_array_equal(sent, work.pack(_start(work)))
    assert answered(clients, 0, slow.token, 3.0, size) == ("", "")
    fresh = drawn(clients, work, 1)
    while fresh.round == 0:
        clients.failed(1, messages.Failed(fresh.token, "ATL-HOR-011"))
        fresh = drawn(clients, work, 1)
    assert answered(clients, 1, fresh.token, 3.0, size) == ("", "")
    thread.join(20)
    one, two, end = found
    begin = work.model.initial(np.random.default_rng(0))
    np.testing.assert_allclose(one.state.weights, begin + 3.0, rtol=1e-6)
    # The mean of 3 and 3 · (1 + 1)^-1 over two whole weights.
    np.testing.assert_allclose(end.weights, begin + 3.0 + (3.0 + 1.5) / 2, rtol=1e-6)
    assert (two.answers.answered, two.failed) == (2, False)


def _start(work: PopulationWork) -> dict[str, Any]:
    state = work.algorithm.start(work.model.initial(np.random.default_rng(0)))
    return dict(work.algorithm.message(state))


def test_members_train_and_a_stopped_training_leaves_its_step() -> None:
    work, clients, thread, found = stepping(training={"rounds": 3, "minimum_clients": 2})
    for _ in range(3):
        done = len(found)
        for number in (0, 1):
            while visit(clients, work, number, rows(number)) == "stay":
                threading.Event().wait(0.001)
        while len(found) == done:
            threading.Event().wait(0.001)
    thread.join(20)
    assert found[-1].round == 3
    assert found[-1].weights[1] < 0 < found[-1].weights[0]
    _, clients, thread, found = stepping()
    clients.stop()
    thread.join(20)
    assert isinstance(found[0], CancelledError)


def test_each_client_adds_its_own_noise_and_weighs_alike() -> None:
    training = {"clip": 1.0, "rounds": 1, "learning_rate": 1.0}
    work, clients, thread, found = stepping(training=training, noise=1e-3)
    for number in (0, 1):
        while visit(clients, work, number, rows(number)) == "stay":
            threading.Event().wait(0.001)
    thread.join(20)
    begin = work.model.initial(np.random.default_rng(0))
    clean = PopulationWork(terms_with({**CHANGED, **training}))
    parts = [clean.perform(rows(n), _start(work), SecretRandom())[0] for n in (0, 1)]
    moved, expected = found[-1].weights - begin, sum(parts) / 2
    np.testing.assert_allclose(moved, expected, atol=0.05)
    assert not np.array_equal(moved, expected)
    assert np.abs(expected).max() > 0.1


def test_what_asynchronous_training_cannot_keep_to_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        require_buffer(FedBuff(buffer=4), terms_with({"minimum_clients": 5}))
    assert caught.value.code == "ATL-POP-037"
    require_buffer(FedBuff(buffer=5), terms_with({"minimum_clients": 5}))
    work = PopulationWork(terms_with())
    plan = FedBuff(concurrency=10, buffer=5, most_stale=3)
    made = Buffer(RULES, Eligibility(), SecretRandom(), plan)
    needed = 4 * (15 * work.form.size + 4 * work.sent.size)
    BufferedClients(work, made, ManualClock(), memory=needed)
    with pytest.raises(UserError) as caught:
        BufferedClients(work, made, ManualClock(), memory=needed - 1)
    assert caught.value.code == "ATL-POP-010"

"""The state machine of a population's rounds: what enters, what is late, and that rounds end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.conditions import Condition, Eligibility
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.population.attendance import (
    NOT_ANSWERED,
    NOT_FETCHED,
    REMOVED,
    Pace,
    RoundRules,
)
from atoll.learning.horizontal.population.coordinator import Coordinator
from atoll.learning.horizontal.rounds import LATE, REPEATED, UNASKED, Closing
from atoll.learning.horizontal.selection.pool import Pool

FIT, UNFIT = Condition(battery=0.9), Condition(battery=0.1)
RULES = RoundRules(
    pace=Pace(least=1, most=40, rate=10, grace=2), closing=Closing(limit=100), fetch=20, window=5
)
ASKS = Eligibility(battery=0.5)
NOTHING = b"\0" * 16


def coordinator(members: int, rules: RoundRules = RULES) -> Coordinator:
    made = Coordinator(rules, ASKS, SecretRandom())
    for number in range(members):
        made.register(number)
    return made


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_drawn_client_gets_one_task_and_its_answer_counts_once() -> None:
    made = coordinator(3)
    assert made.check_in(0, FIT, 0.0).task is None
    made.begin(7, numbers(0, 2), 1.0)
    task = made.check_in(0, FIT, 1.5).task
    assert task is not None
    assert task.round == 7
    assert made.check_in(0, FIT, 1.7).task == task
    assert made.check_in(1, FIT, 1.7).task is None
    assert made.answer(0, task.token, 2.0) == ""
    assert made.answer(0, task.token, 2.1) == REPEATED
    assert made.answer(1, NOTHING, 2.1) == UNASKED
    assert made.check_in(0, FIT, 2.2).task is None
    closed = made.close(3.0)
    assert closed.answered == (0,)
    assert closed.failures == {2: NOT_FETCHED}
    assert closed.refused == {REPEATED: 1, UNASKED: 1}


def test_an_answer_with_the_token_of_a_former_attempt_is_late() -> None:
    made = coordinator(1)
    made.begin(0, numbers(0), 0.0)
    old = made.check_in(0, FIT, 0.0).task
    made.close(1.0)
    made.begin(0, numbers(0), 2.0)
    new = made.check_in(0, FIT, 2.0).task
    assert old is not None
    assert new is not None
    assert old.token != new.token
    assert made.answer(0, old.token, 2.5) == LATE
    assert made.answer(0, new.token, 2.5) == ""


def test_no_answer_enters_after_the_limit_though_no_one_closed_the_round() -> None:
    made = coordinator(1)
    made.begin(0, numbers(0), 0.0)
    task = made.check_in(0, FIT, 0.0).task
    assert task is not None
    assert made.answer(0, task.token, 100.0) == LATE
    closed = made.close(100.0)
    assert closed.answered == ()
    assert closed.failures == {0: NOT_ANSWERED}


def test_who_does_not_fetch_its_task_is_not_waited_for() -> None:
    made = coordinator(2)
    made.begin(0, numbers(0, 1), 0.0)
    task = made.check_in(0, FIT, 1.0).task
    assert task is not None
    assert made.answer(0, task.token, 2.0) == ""
    assert not made.over(19.9)
    assert made.over(20.0)
    assert made.check_in(1, FIT, 20.0).task is None


def test_who_is_removed_loses_its_task_and_gets_no_other() -> None:
    made = coordinator(2)
    made.begin(0, numbers(0, 1), 0.0)
    task = made.check_in(0, FIT, 0.0).task
    assert task is not None
    made.end(0)
    for call in (
        lambda: made.check_in(0, FIT, 1.0),
        lambda: made.answer(0, task.token, 1.0),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.code == REMOVED
    assert not made.holds(0, task.token)
    assert made.close(2.0).failures == {0: REMOVED, 1: NOT_FETCHED}
    made.begin(1, numbers(0, 1), 3.0)
    assert made.close(3.0).failures[0] == REMOVED


def test_only_those_due_back_in_time_and_in_a_fit_condition_may_be_drawn() -> None:
    made = coordinator(400)  # 40 seconds away on average, and a task is to be fetched in 20
    stays = [made.check_in(number, FIT, 0.0).wait for number in range(399)]
    assert made.check_in(399, UNFIT, 0.0).lacks == ("battery",)
    assert 30 <= min(stays) < 35
    assert 45 < max(stays) <= 50
    everyone = np.arange(400)
    assert not made.present(everyone, 0.0).any()
    at = 25.0
    expected = [wait <= at + 20 for wait in stays] + [False]
    assert made.present(everyone, at).tolist() == expected
    assert made.count_present(at) == sum(expected)
    # Who did not come back is away.
    assert not made.present(everyone, 53.0).any()
    pool = Pool(400, eligible=lambda some: made.present(some, at))
    drawn = Participation(count=10).select(pool, np.random.default_rng(0))
    assert len(drawn) == 10
    assert made.present(drawn, at).all()


def test_a_machine_that_became_unfit_gives_its_task_back() -> None:
    made = coordinator(1)
    made.begin(0, numbers(0), 0.0)
    assert made.check_in(0, UNFIT, 1.0).task is None
    assert made.over(1.0)
    assert made.close(1.0).failures == {0: NOT_FETCHED}


def test_rounds_need_a_limit() -> None:
    with pytest.raises(UserError) as caught:
        coordinator(1, RoundRules(closing=Closing()))
    assert caught.value.code == "ATL-POP-007"


class Rounds(RuleBasedStateMachine):
    """Members that come, answer, fail, repeat and vanish in any order, and rounds over them."""

    def __init__(self) -> None:
        super().__init__()
        self.made = coordinator(6)
        self.now, self.round, self.began = 0.0, 0, 0.0
        self.entered: list[tuple[int, bytes]] = []
        self.here: dict[int, bytes] = {}
        self.tokens: list[tuple[int, bytes, int]] = []
        self.ended: set[int] = set()
        self.chosen: set[int] = set()

    @rule(seconds=st.floats(0, 60))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(member=st.integers(0, 5), fit=st.booleans())
    def check_in(self, member: int, fit: bool) -> None:
        if member in self.ended:
            return
        visit = self.made.check_in(member, FIT if fit else UNFIT, self.now)
        if visit.task is not None:
            assert fit
            assert member in self.chosen
            assert visit.task.round == self.round
            assert member not in self.here
            self.tokens.append((member, visit.task.token, self.round))

    @precondition(lambda self: not self.made.busy)
    @rule(chosen=st.sets(st.integers(0, 5)))
    def begin(self, chosen: set[int]) -> None:
        self.round += 1
        self.made.begin(self.round, numbers(*sorted(chosen)), self.now)
        self.chosen, self.began, self.here = chosen, self.now, {}

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), other=st.none() | st.integers(0, 5))
    def answer(self, data: st.DataObject, other: int | None) -> None:
        member, token, round_ = data.draw(st.sampled_from(self.tokens))
        if other is not None:
            member = other
        if member in self.ended:
            return
        code = self.made.answer(member, token, self.now)
        if code:
            return
        assert (member, token, round_) in self.tokens
        assert self.made.busy
        assert round_ == self.round
        assert member in self.chosen
        assert self.now - self.began < 100
        assert (member, token) not in self.entered
        assert member not in self.here
        self.entered.append((member, token))
        self.here[member] = token

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        member, token, round_ = data.draw(st.sampled_from(self.tokens))
        if self.made.fail(member, token, "ATL-HOR-011"):
            assert round_ == self.round
            assert member not in self.here

    @rule(member=st.integers(0, 5))
    def end(self, member: int) -> None:
        if len(self.ended) < 2:
            self.made.end(member)
            self.ended.add(member)

    @precondition(lambda self: self.made.busy)
    @rule()
    def close_if_over(self) -> None:
        if not self.made.over(self.now):
            assert self.now - self.began < 100
            wait = self.made.next_moment(self.now)
            assert 0 < wait <= 100
            return
        closed = self.made.close(self.now)
        assert set(closed.answered) == set(self.here)
        assert set(closed.answered) | closed.failures.keys() == self.chosen
        assert not set(closed.answered) & closed.failures.keys()
        assert closed.asked == len(self.chosen)

    @invariant()
    def the_removed_may_not_be_drawn(self) -> None:
        for member in self.ended:
            assert not self.made.present(numbers(member), self.now)[0]


TestRounds = Rounds.TestCase
TestRounds.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

"""Membership shows in a model trained without privacy, and not in one with it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atoll.audit.membership import Task, attack, guesses, most_advantage

TASK = Task()


@pytest.fixture(scope="module")
def open_() -> float:
    return attack(TASK, None).advantage


@pytest.mark.drill
def test_the_attack_wins_without_privacy(open_: float) -> None:
    # By chance 0 ± 0.09.
    assert open_ > 0.4


@pytest.mark.drill
def test_it_fails_with_privacy(open_: float) -> None:
    found = attack(TASK, 2.0)
    assert found.epsilon <= 2.0
    assert found.advantage < 0.3
    assert found.advantage < open_ - 0.2


def test_a_guess_without_members_finds_none() -> None:
    """Losses that do not depend on membership give no advantage."""
    generator = np.random.default_rng(0)
    member = generator.random((8, 4000)).argsort(axis=0) < 4
    guessed = guesses(
        generator.exponential(size=(8, 4000)), member, generator.exponential(size=4000)
    )
    inside = generator.random(4000) < 0.5
    assert abs(guessed[inside].mean() - guessed[~inside].mean()) < 0.08


def test_the_bound_on_the_advantage() -> None:
    assert most_advantage(0.0, 0.0) == 0
    assert most_advantage(1.0, 0.0) == pytest.approx((math.e - 1) / (math.e + 1))
    assert most_advantage(math.inf) == 1

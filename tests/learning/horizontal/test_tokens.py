"""The model of the next token: its slopes, and what it learns of a text with an order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.tokens import NextToken
from tests.learning.horizontal.tasks import mean_loss, trained


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32))
def test_a_gradient_is_the_derivative_of_the_loss(
    vocabulary: int, context: int, width: int, seed: int
) -> None:
    model = NextToken(vocabulary, context, width, (4,))
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=model.layout.size)
    rows = generator.integers(0, vocabulary, (6, context)).astype(float)
    targets = generator.integers(0, vocabulary, 6)
    gradient, slope = model.gradient_of(weights), np.full(len(weights), np.nan)
    gradient(rows, targets, slope)
    for at in range(len(weights)):
        kept, step = weights[at], 1e-7
        weights[at] = kept + step
        above = gradient.loss(rows, targets)
        weights[at] = kept - step
        below = gradient.loss(rows, targets)
        weights[at] = kept
        assert slope[at] == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-5)


def test_a_step_keeps_no_slope_of_the_one_before() -> None:
    model = NextToken(5, 2, 2, ())
    weights = np.random.default_rng(0).normal(size=model.layout.size)
    gradient, slope = model.gradient_of(weights), np.empty_like(weights)
    gradient(np.array([[4.0, 4.0]]), np.array([0]), slope)
    gradient(np.array([[0.0, 1.0]]), np.array([0]), slope)
    table = model.embedding(slope)
    assert (table[2:] == 0).all()
    assert (table[:2] != 0).all()


def test_clients_learn_an_order_that_single_counts_do_not_show() -> None:
    generator = np.random.default_rng(4)
    after = generator.permutation(10)
    data = []
    for _ in range(4):
        tokens = generator.integers(0, 10, (200, 2))
        data.append(ClientRows(tokens.astype(np.float32), after[(tokens.sum(axis=1)) % 10]))
    model = NextToken(10, 2, 8, (32,))
    local = LocalTraining(epochs=4, batch_size=20, learning_rate=0.1)
    state = trained(FedAvg(local=local), model, data, 15)
    assert mean_loss(model, state, data) < 0.5 < np.log(10)


@pytest.mark.parametrize("row", [[0, 5], [-1, 0], [0, 0.5]])
def test_a_number_that_is_no_token_is_refused(row: list[float]) -> None:
    model = NextToken(5, 2, 2, ())
    with pytest.raises(AtollError, match="ATL-HOR-202"):
        model.predict(np.zeros(model.layout.size), np.array([row], dtype=float))


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1 << 25, 1, 1)])
def test_sizes_that_hold_no_token_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-201"):
        NextToken(*sizes, ())

"""Rows are read off one client's gradient, and not off the sum that a secure sum opens."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.audit.inversion import UNITS, attack, candidates, digits, figures, read
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax

SOFTMAX, NET = Linear(64, Softmax(10)), MLP(64, (UNITS,), Softmax(10))


@pytest.mark.parametrize("model", [SOFTMAX, NET], ids=["softmax", "mlp"])
def test_one_row_is_read_exactly(model: Linear | MLP) -> None:
    data = digits(1)
    weights = model.initial(np.random.default_rng(1)).astype(np.float64)
    gradient = np.zeros_like(weights)
    model.gradient_of(weights)(data.rows, data.targets, gradient)
    found = candidates(model, gradient)
    assert np.abs(found - data.rows).max(axis=1).min() < 1e-9
    assert attack(data, 1, model).share == 1


def test_a_small_batch_is_read_in_part() -> None:
    assert attack(digits(4), 1, NET).read >= 2


@pytest.mark.parametrize(("model", "rows"), [(SOFTMAX, 1), (SOFTMAX, 4), (NET, 16)])
def test_the_sum_over_clients_hides_each_of_them(model: Linear | MLP, rows: int) -> None:
    data = digits(20 * rows)
    assert attack(data, 20, model).share <= 0.03


def test_a_sum_over_few_rows_hides_little_in_a_wide_layer() -> None:
    """Some of 256 units fire for one of 20 rows alone: the sum is no protection then."""
    assert attack(digits(20), 20, NET).share > 0.3


def test_an_aggregator_that_chooses_weights_reads_through_the_secure_sum() -> None:
    """So a sum is no protection from it; noise is (PROTOCOLS 10)."""
    assert attack(digits(20), 20, NET, "choosing").share > 0.3


def test_what_was_never_there_is_not_read() -> None:
    generator = np.random.default_rng(3)
    assert read(digits(20).rows, generator.random((500, 64))) == 0
    assert read(digits(20).rows, np.empty((0, 64))) == 0


def test_figures_name_what_they_measured() -> None:
    lines = figures([("softmax", 1, 1), ("mlp", 1, 2)])
    assert [line["clients"] for line in lines] == [1, 2, 2]
    assert lines[0]["read"] == 1

"""One definition of the range of updates: what honest clients cut themselves to is always taken."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest

from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import LocalWork
from atoll.learning.horizontal.parties.limits import Range, extent_of
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.sums import Extent, Update, total

SIZE = 5


def _passage() -> Passage:
    return Passage({}, np.random.default_rng(0), cut=[])


@pytest.mark.parametrize("ring", [32, 64])
@pytest.mark.parametrize("bound", [16.0, 0.1, 1 / 3, 1e-3])
@pytest.mark.parametrize("clients", [3, 40, 400])
def test_a_masked_sum_of_saturated_values_is_taken_and_little_more_is_not(
    ring: Literal[32, 64], bound: float, clients: int
) -> None:
    random = np.random.default_rng([ring, clients, int(1e6 * bound)])
    rows = {f"c{at}": int(count) for at, count in enumerate(random.integers(1, 10_000, clients))}
    mask = Mask(bound=bound * max(rows.values()), clients=clients, ring=ring)
    range_ = Range(FedAvg(), Chain((mask,)), bound, SIZE)
    parts = []
    for name, weight in rows.items():
        # A few steps of float32 around the bound, and far beyond it.
        steps = random.integers(-4, 5, SIZE) * 2.0**-24
        values = bound * weight * (1 + steps) * np.where(random.random(SIZE) < 0.2, 10, 1)
        made = Update({"change": values.astype(np.float32)}, {"weight": float(weight)})
        fitted = range_.fitted(made, extent_of(rows, [name], clients))
        inside = np.abs(values) <= bound * weight * (1 - 2.0**-24)
        same = fitted.vectors["change"] == made.vectors["change"]
        assert same[inside].all()
        assert (np.abs(fitted.vectors["change"].astype(np.float64)) <= bound * weight).all()
        parts.append(mask.client(fitted, _passage()))
    added = total(parts)
    assert added is not None
    of = extent_of(rows, rows, clients)
    assert range_.refusal(mask.aggregate(added, SIZE, _passage()), of) is None
    more = dict(added.vectors)
    beyond = math.ceil(bound * sum(rows.values()) * mask.form().scale * (1 + 2.0**-30)) + clients
    more["change"] = np.full_like(more["change"], beyond + 1)
    assert range_.refusal(mask.aggregate(Update(more, {}), SIZE, _passage()), of) is not None


def test_an_update_within_its_range_keeps_its_bits() -> None:
    range_ = Range(FedAvg(), Chain(), 0.1, 3)
    values = np.array([0.1 * 7, -0.3, 0.0], np.float32)
    values[0] = np.nextafter(values[0], np.float32(0))
    made = Update({"change": values}, {"weight": 7.0})
    assert range_.fitted(made, Extent(1, 7, 7, 3)) is made


@pytest.mark.parametrize(
    ("chosen", "rows", "steps"),
    [
        ({}, 41, 3),
        ({"epochs": 4}, 40, 8),
        ({"batch_size": None, "epochs": 4}, 40, 4),
        ({"steps": 2}, 41, 2),
        ({"steps": 5}, 41, 3),
        ({}, 0, 0),
    ],
)
def test_steps_follow_from_rows(chosen: dict[str, Any], rows: int, steps: int) -> None:
    work = LocalWork(**chosen)
    assert work.most_steps(rows) == steps
    orders = work.orders(rows, np.random.default_rng(0))
    assert sum(-(-len(order) // work.step_rows(rows)) for order in orders) == steps

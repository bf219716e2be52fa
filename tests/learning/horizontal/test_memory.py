"""How often a model is held while it is trained: peaks of allocation, in multiples of its bytes.

With processes of their own, and at 2 GB: tests/drills/test_large_model.py.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from atoll.channel.memory import MemoryNetwork
from atoll.channel.party import Party
from atoll.learning.horizontal.algorithm import WEIGHTS
from atoll.learning.horizontal.models import kernels
from atoll.learning.horizontal.parties.adding import Adding, Sum
from atoll.learning.horizontal.parties.client import Client
from atoll.learning.horizontal.parties.messages import PIECE, Change, Counts
from atoll.learning.horizontal.sums import Update
from tests.learning.horizontal import party_process
from tests.learning.horizontal.party_process import CLIENTS, ROLES, rows_of, work

# 8 MB: larger than what is held in blocks of clients, and than what a piece or block has.
VALUES = 2 << 20
# What does not grow with a model: pieces, blocks, rows, what lies between the layers.
SLACK = 0.9


@pytest.fixture(autouse=True)
def numpy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train as large models are, for what native code allocates is not traced."""
    monkeypatch.setattr(kernels, "MOST_VALUES", 0)


def peak(action: Callable[[], Any], values: int) -> float:
    """Return the peak of what an action allocates, in vectors of so many float32 values."""
    tracemalloc.start()
    try:
        held = action()
        found = tracemalloc.get_traced_memory()[1]
        del held
    finally:
        tracemalloc.stop()
    return found / (4 * values)


@pytest.mark.parametrize("sum_", ["plain", "masked"])
def test_a_simulation_holds_a_model_four_times(sum_: str) -> None:
    of = work(VALUES, sum_)
    assert peak(lambda: party_process.simulated(of), of.model.layout.size) < 4 + SLACK


@pytest.mark.parametrize("sum_", ["plain", "masked"])
def test_a_client_holds_two_vectors_beside_what_it_was_sent(sum_: str) -> None:
    of = work(VALUES, sum_)
    party = party_process.party_of("c0", MemoryNetwork(tuple(ROLES)).transport("c0"))
    client = Client(party, of, rows_of(0), rows_of(0))
    sent = {WEIGHTS: of.model.initial(np.random.default_rng(0))}
    assert peak(lambda: client.update(0, True, sent), of.model.layout.size) < 2 + SLACK


def test_the_form_of_updates_takes_no_room() -> None:
    of = work(VALUES, "plain")
    party = party_process.party_of("c0", MemoryNetwork(tuple(ROLES)).transport("c0"))
    template = of.template(party, 0, True)
    assert [len(vector) for vector in template.vectors.values()] == [of.model.layout.size]
    assert all(vector.strides == (0,) for vector in template.vectors.values())


class Sending:
    """A channel on which all clients send the same update."""

    def __init__(self) -> None:
        self._first = dict.fromkeys(CLIENTS, 0)
        self._piece = np.ones(PIECE, np.float32)

    def receive(self, client: str, tag: str, kind: type) -> Change | Counts:
        """Return the next message of a client."""
        if kind is Counts:
            return Counts(np.ones(1))
        first = self._first[client]
        self._first[client] += PIECE
        return Change(first, self._piece[: VALUES - first])


def test_the_aggregator_holds_the_sum_and_one_update() -> None:
    template = Update({"change": np.zeros(VALUES, np.float32)}, {"weight": 0.0})
    party = cast(Party, SimpleNamespace(channel=Sending()))
    found: list[Update] = []

    def take() -> None:
        total, there = Adding(None, 3).take(party, Sum("s", "s", CLIENTS, b""), template)
        assert total is not None
        assert there == set(CLIENTS)
        found.append(total)

    assert peak(take, VALUES) < 2 + SLACK
    assert found[0].numbers == {"weight": 3.0}
    assert (found[0].vectors["change"] == 3).all()


def test_a_step_of_the_aggregator_holds_one_vector_beside_state_and_sum() -> None:
    of = work(VALUES, "plain")
    size = of.model.layout.size
    state = of.algorithm.start(np.ones(size, np.float32))
    total = Update({"change": np.ones(size)}, {"weight": 2.0})
    held: list[np.ndarray] = []
    assert peak(lambda: held.append(of.algorithm.aggregate(state, total).weights), size) < 1 + SLACK
    assert (held[0] == 1.5).all()
    assert (state.weights == 1).all()


def test_huge_values_are_finite() -> None:
    huge = Update({"change": np.full(4, 3e38, np.float32)}, {})
    assert huge.check() is huge

"""Rows shared out: all of them, none twice; tasks drawn by the client's number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.learning.horizontal import partition
from atoll.learning.horizontal.synthetic import Clusters, Synthetic
from tests.learning.horizontal.tasks import PUBLIC

WAYS: dict[str, Any] = {
    "iid": lambda labels, n, g: partition.iid(len(labels), n, g),
    "dirichlet": lambda labels, n, g: partition.dirichlet(labels, n, 0.3, g),
    "shards": lambda labels, n, g: partition.shards(labels, n, 2, g),
    "quantity": lambda labels, n, g: partition.quantity(len(labels), n, 0.5, g),
    "natural": lambda labels, n, g: partition.natural(labels),
}


@pytest.mark.parametrize("way", WAYS)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 1 << 30))
@settings(max_examples=40, deadline=None)
def test_every_row_has_one_client(way: str, rows: int, clients: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 5, rows)
    parts = WAYS[way](labels, clients, generator)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))
    assert len(parts) == (len(np.unique(labels)) if way == "natural" else clients)


def test_a_small_alpha_gives_each_client_few_classes() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 5000)

    def greatest(alpha: float) -> float:
        parts = partition.dirichlet(labels, 20, alpha, np.random.default_rng(1))
        shares = [np.bincount(labels[p], minlength=10).max() / len(p) for p in parts if len(p)]
        return float(np.mean(shares))

    assert greatest(0.05) > 0.6 > 0.2 > greatest(100)


@pytest.mark.parametrize("kind", ["synthetic", "clusters"])
def test_a_task_gives_each_number_its_own_rows(kind: str) -> None:
    task = Synthetic(0.5, 0.5, PUBLIC) if kind == "synthetic" else Clusters(PUBLIC)
    one, again, other = task(10), task(10), task(999_999)
    assert np.array_equal(one.rows, again.rows)
    assert np.array_equal(one.targets, again.targets)
    assert not np.array_equal(one.rows[:20], other.rows[:20])
    assert np.isfinite(one.rows).all()
    assert 0 <= one.targets.min() <= one.targets.max() < 10


def test_synthetic_sizes_are_known_without_the_rows() -> None:
    task = Synthetic(1, 1, PUBLIC, most_rows=500)
    numbers = np.arange(40)
    rows = task.rows(numbers)
    assert rows.tolist() == [len(task(n)) for n in range(40)]
    assert rows.min() >= 50
    assert rows.max() == 500
    assert 80 < np.median(rows) < 200


def test_beta_sets_inputs_apart_and_alpha_changes_no_label() -> None:
    def between(task: Synthetic) -> tuple[float, float]:
        """Return how far clients' inputs lie apart, and how unlike their classes are."""
        clients = [task(n) for n in range(60)]
        centres = np.array([c.rows.mean(axis=0).mean() for c in clients])
        classes = np.array([np.bincount(c.targets, minlength=10) / len(c) for c in clients])
        return float(centres.std()), float(classes.std(axis=0).mean())

    alike = between(Synthetic(0, 0, PUBLIC, alike=True))
    none, inputs = between(Synthetic(0, 0, PUBLIC)), between(Synthetic(0, 3, PUBLIC))
    assert alike[1] < 0.5 * none[1]
    assert alike[0] < none[0] < 0.3 * inputs[0]
    # The mean of a client's W shifts all of its classes alike, so no label changes with alpha.
    with_alpha, without = Synthetic(2, 0, PUBLIC)(1), Synthetic(0, 0, PUBLIC)(1)
    assert (with_alpha.targets == without.targets).mean() > 0.99


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(AtollError, match="ATL-HOR-048"):
        Synthetic(-1, 0, PUBLIC)
    with pytest.raises(AtollError, match="ATL-HOR-048"):
        Synthetic(0, 0, PUBLIC, classes=1)
    with pytest.raises(AtollError, match="ATL-HOR-040"):
        Clusters(PUBLIC, alpha=0)

"""K-means by sums is Lloyd's algorithm on the pooled rows, and finds as good a start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans as Pooled

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.clustering import CENTRES, Clusters, KMeans
from atoll.learning.horizontal.features.api import TableColumns, run_step
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Round
from tests.learning.horizontal.tasks import PUBLIC

Floats = np.ndarray[Any, np.dtype[np.float64]]


def clouds(seed: int, clusters: int = 8, rows: int = 900, columns: int = 4) -> Floats:
    generator = np.random.default_rng(seed)
    centres = generator.uniform(-10, 10, (clusters, columns))
    return centres[generator.integers(0, clusters, rows)] + generator.normal(size=(rows, columns))


def simulated(step: KMeans, rows: Floats, clients: int = 5, **more: Any) -> SimulatedClients:
    """Clients of which the first has no row, and the others very different numbers."""
    order = np.argsort(rows[:, 0])
    ends = (len(rows) * np.linspace(0, 1, clients) ** 2).astype(int)[:-1]
    data = [ClientRows(part, np.zeros(len(part))) for part in np.split(rows[order], ends)]
    columns = TableColumns(rows.shape[1])
    return SimulatedClients(step, columns, len(data), data.__getitem__, PUBLIC, **more)


def found(step: KMeans, rows: Floats, centres: Floats | None = None, **more: Any) -> Clusters:
    state = step.begin(rows.shape[1], centres)
    clients = simulated(step, rows, **more)
    return step.result(run_step(step, clients, rows.shape[1], PUBLIC, state))


def lloyd(rows: Floats, centres: Floats, rounds: int) -> tuple[Floats, Any]:
    """Return the centres after so many rounds on the pooled rows, and the rows of each."""
    for _ in range(rounds):
        own = np.square(rows[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
        centres = np.array([rows[own == at].mean(axis=0) for at in range(len(centres))])
    return centres, np.bincount(own, minlength=len(centres))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_it_is_lloyds_algorithm_on_the_pooled_rows(seed: int, offset: float) -> None:
    rows = clouds(seed) + offset
    start = rows[np.random.default_rng(seed).choice(len(rows), 8, replace=False)]
    for rounds in (1, 2, 12):
        step = KMeans(clusters=8, rounds=rounds, tolerance=0)
        clusters = found(step, rows, start)
        centres, counts = lloyd(rows, start, rounds)
        # 1e-9 of the data's width; far from 0 a double has no more digits than 1e-10.
        assert np.abs(clusters.centres - centres).max() < 1e-9 + 1e-14 * offset
        assert np.array_equal(clusters.counts, counts)
        within = np.square(rows - centres[_own(rows, start, rounds)]).sum()
        assert clusters.inertia == pytest.approx(within, rel=1e-9)


def _own(rows: Floats, start: Floats, rounds: int) -> Any:
    """Return the assignment that the last of so many rounds made."""
    before = lloyd(rows, start, rounds - 1)[0] if rounds > 1 else start
    return np.square(rows[:, None] - before[None]).sum(axis=2).argmin(axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_its_own_start_is_as_good_as_kmeans_plus_plus(seed: int) -> None:
    rows = clouds(seed, clusters=12, rows=1500)
    best = Pooled(12, n_init=20, random_state=0).fit(rows).inertia_
    clusters = found(KMeans(clusters=12, seed=seed), rows)
    assert len(clusters.centres) == 12
    assert clusters.counts.sum() == len(rows)
    assert clusters.inertia < 1.1 * best
    moved = lloyd(rows, clusters.centres, 1)[0]
    assert np.abs(moved - clusters.centres).max() < 1e-2


def test_a_cluster_without_rows_is_filled() -> None:
    rows = clouds(7, clusters=4)
    start = np.concatenate([rows[:2], np.full((2, 4), 1e4)])
    seen: list[int] = []

    def watch(done: Round) -> None:
        seen.append(done.state.vectors[CENTRES].size // 4)

    step = KMeans(clusters=4, rounds=50)
    clients = simulated(step, rows)
    state = run_step(step, clients, 4, PUBLIC, step.begin(4, start), [watch])
    clusters = step.result(state)
    assert state.round < 50
    assert set(seen) == {4}
    assert clusters.counts.min() > 0
    best = Pooled(4, n_init=10, random_state=0).fit(rows).inertia_
    assert clusters.inertia < 1.01 * best


@pytest.mark.parametrize("value", [0.0, 5.0, 1e6 + 0.1])
def test_fewer_distinct_rows_than_clusters_give_fewer_clusters(value: float) -> None:
    distinct = np.array([[value, 1.0], [value, 2.0], [-3.0, value]])
    rows = distinct[np.random.default_rng(0).integers(0, 3, 200)]
    step = KMeans(clusters=6)
    clusters = found(step, rows)
    assert len(clusters.centres) == 3
    assert np.allclose(np.sort(clusters.centres, axis=0), np.sort(distinct, axis=0), atol=1e-9)
    assert clusters.inertia < 1e-9
    alone = found(KMeans(clusters=3), np.full((40, 2), value))
    assert np.allclose(alone.centres, value)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_spread_far_from_zero_is_seen(seed: int) -> None:
    rows = clouds(seed, clusters=12, rows=1000) * 1e-3 + 1e6
    best = Pooled(12, n_init=20, random_state=0).fit(rows - 1e6).inertia_
    assert found(KMeans(clusters=12), rows).inertia < 1.1 * best


def test_the_last_round_splits_no_more() -> None:
    rows = clouds(7, clusters=4)
    start = np.concatenate([rows[:2], np.full((2, 4), 1e4)])
    clusters = found(KMeans(clusters=4, rounds=1), rows, start)
    assert len(clusters.centres) == 2
    assert np.abs(clusters.centres - lloyd(rows, start[:2], 1)[0]).max() < 1e-9


def test_masked_sums_give_the_same_clusters() -> None:
    rows = clouds(3)
    step = KMeans(clusters=8)
    mask = Mask(bound=1e5, clients=5, ring=64)
    plain, masked = found(step, rows), found(step, rows, chain=Chain((mask,)))
    assert np.abs(plain.centres - masked.centres).max() < 1e-8
    assert np.array_equal(plain.counts, masked.counts)


def test_any_number_of_threads_and_a_resumed_run_give_the_same_bits() -> None:
    rows, step = clouds(4), KMeans(clusters=8)
    one, two = (found(step, rows, threads=threads) for threads in (1, 3))
    assert one.centres.tobytes() == two.centres.tobytes()
    kept: list[State] = []
    clients = simulated(step, rows)
    run_step(step, clients, 4, PUBLIC, callbacks=[lambda done: kept.append(done.state)])
    for state in kept[:-1:2]:
        resumed = run_step(step, clients, 4, PUBLIC, state)
        assert step.result(resumed).centres.tobytes() == one.centres.tobytes()


def test_rows_are_assigned_to_the_nearest() -> None:
    rows = clouds(5)
    clusters = found(KMeans(clusters=8), rows)
    away = np.square(rows[:, None] - clusters.centres[None]).sum(axis=2)
    assert np.array_equal(clusters.assign(rows), away.argmin(axis=1))
    assert len(clusters.assign(rows[:0])) == 0


def test_what_cannot_be_clustered_is_refused() -> None:
    rows = clouds(6)
    with pytest.raises(AtollError, match="ATL-HOR-113"):
        KMeans(clusters=8).begin(4, rows[:7])
    with pytest.raises(AtollError, match="ATL-HOR-113"):
        KMeans(clusters=1).begin(4, np.full((1, 4), np.nan))
    rows[3, 1] = np.nan
    clients = simulated(KMeans(), rows)
    seen: list[Round] = []
    run_step(KMeans(), clients, 4, PUBLIC, callbacks=[seen.append])
    assert set(seen[0].answers.failures.values()) == {"ATL-HOR-112"}
    with pytest.raises(AtollError, match="ATL-HOR-112"):
        found(KMeans(), clouds(6)).assign(rows)
    with pytest.raises(AtollError, match="ATL-HOR-102"):
        found(KMeans(rounds=2), clouds(6))

"""Choices: fair, flat in their cost, and by remembered losses only where that is asked for."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import ClientReport, Participation, Pool
from atoll.learning.horizontal.postprocess.api import Passage, Postprocessor, Stage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.selection.losses import Oort
from atoll.learning.horizontal.selection.pool import LAST, LOSS, PACE, PREFIX, SEEN, remembered
from atoll.learning.horizontal.simulation import MOST_TRACEBACKS, SimulatedClients
from atoll.learning.horizontal.sums import Update
from atoll.learning.horizontal.synthetic import Clusters
from atoll.learning.horizontal.training import Round, Training
from tests.learning.horizontal.tasks import PUBLIC, blobs, simulated, trained

MODEL = Linear(12, Softmax(5), l2=1e-3)
FEDAVG = FedAvg(local=LocalTraining(learning_rate=0.05, batch_size=10))
METHODS: dict[str, dict[str, Any]] = {
    "uniform": {"method": "uniform"},
    "poisson": {"method": "poisson"},
    "weighted": {"method": "weighted", "most_rows": 60},
    "power-of-choice": {"method": "power-of-choice"},
    "oort": {"method": "oort"},
}
every = pytest.mark.parametrize("method", METHODS)


def _rows(numbers: np.ndarray) -> np.ndarray:
    return 10.0 + numbers % 50


def _odd(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(numbers % 2 == 1)


def _reports(numbers: list[int], loss: Callable[[int], float]) -> dict[int, ClientReport]:
    return {n: ClientReport(loss(n), 10, 1.0) for n in numbers}


@every
@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 1 << 30))
@settings(max_examples=40, deadline=None)
def test_a_choice_is_distinct_eligible_and_no_larger_than_asked(
    method: str, registered: int, count: int, seed: int
) -> None:
    participation = Participation(count=count, **METHODS[method])
    memory = remembered({}, 0, _reports(list(range(0, registered, 7)), float))
    pool = Pool(registered, 3, memory, eligible=_odd, rows=_rows)
    chosen = participation.select(pool, np.random.default_rng(seed))
    assert chosen.dtype == np.int64
    assert (np.diff(chosen) > 0).all()
    assert (chosen % 2 == 1).all()
    assert not len(chosen) or 0 <= chosen[0] <= chosen[-1] < registered
    if method != "poisson":
        assert len(chosen) <= count
        # Few registered: all are looked at, so that none who is eligible is missed.
        if registered <= count:
            assert len(chosen) == registered // 2


def _cost(work: Callable[[], Any]) -> tuple[int, int]:
    """Return how many functions were called, and the most bytes that were held at once."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return calls, peak


@every
def test_a_round_costs_the_same_with_a_thousand_times_the_clients(method: str) -> None:
    data = Clusters(PUBLIC, classes=5, columns=12, size=20)
    asked: Counter[int] = Counter()

    def eligible(numbers: np.ndarray) -> np.ndarray:
        asked[registered] += len(numbers)
        return numbers % 4 > 0

    costs, state = {}, FEDAVG.start(np.zeros(MODEL.layout.size))
    for registered in (10_000, 10_000_000):
        clients = SimulatedClients(FEDAVG, MODEL, registered, data, PUBLIC, reporting=True)
        participation = Participation(count=20, **METHODS[method])

        def rounds(participation: Any = participation, clients: Any = clients) -> None:
            # The first round imports and fills caches; the others are looked at.
            training = Training(FEDAVG, participation, 4, eligible=eligible, rows=_rows)
            training.run(state, clients, PUBLIC)

        rounds()
        costs[registered] = _cost(rounds)
    few, many = costs.values()
    # Poisson rounds differ in size; all others by draws that were repeated.
    assert many[0] < (2 if method == "poisson" else 1.25) * few[0]
    assert many[1] < 2 * few[1] + 50_000
    assert asked[10_000_000] < 2 * asked[10_000] + 1000


@pytest.mark.parametrize("registered", [40, 400])
def test_weighted_draws_clients_by_their_rows(registered: int) -> None:
    """40 are all looked at, 400 are drawn until accepted."""
    participation = Participation(method="weighted", count=1, most_rows=59)
    generator, turns = np.random.default_rng(5), 6000
    pool = Pool(registered, rows=_rows)
    drawn = np.concatenate([participation.select(pool, generator) for _ in range(turns)])
    rows = _rows(np.arange(registered))
    heavy = rows > 30
    share, expected = heavy[drawn].mean(), rows[heavy].sum() / rows.sum()
    # Six standard deviations: a false alarm in about 10^9 runs.
    assert abs(share - expected) < 6 * (expected * (1 - expected) / len(drawn)) ** 0.5
    assert len(drawn) > 0.95 * turns


def test_a_draw_by_rows_needs_the_rows() -> None:
    with pytest.raises(AtollError, match="ATL-HOR-043"):
        Participation(method="weighted").choose(500, np.random.default_rng(0))


def test_power_of_choice_takes_the_highest_losses_of_its_candidates() -> None:
    everyone = list(range(30))
    pool = Pool(30, 1, remembered({}, 0, _reports(everyone, float)))
    participation = Participation(method="power-of-choice", count=3, candidates=30)
    assert participation.select(pool, np.random.default_rng(0)).tolist() == [27, 28, 29]
    # Those never asked come before any known loss.
    pool = Pool(30, 1, remembered({}, 0, _reports(everyone[2:], float)))
    assert participation.select(pool, np.random.default_rng(0)).tolist() == [0, 1, 29]


def test_the_memory_holds_those_seen_and_their_last_report() -> None:
    memory = remembered({}, 0, _reports([5, 900_000], lambda n: 1.0))
    memory = remembered(memory, 1, _reports([3, 5], lambda n: 2.0))
    assert memory[SEEN].tolist() == [3, 5, 900_000]
    assert memory[LOSS].tolist() == [2, 2, 1]
    assert memory[LAST].tolist() == [1, 1, 0]
    pool = Pool(1_000_000, 2, memory)
    assert pool.recall(LOSS, np.array([900_000, 4, 3]), np.inf).tolist() == [1, np.inf, 2]


@pytest.mark.parametrize(
    "report",
    [
        ClientReport(float("nan"), 10),
        ClientReport(float("inf"), 10),
        ClientReport(1.0, -1),
        ClientReport(1.0, 1 << 2000),
        ClientReport(1.0, 10, float("nan")),
        ClientReport(1.0, 10, -1.0),
    ],
)
@pytest.mark.parametrize("method", ["power-of-choice", "oort"])
def test_a_report_without_usable_figures_is_left_out(method: str, report: ClientReport) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-046"):
        report.check()
    participation = Participation.model_validate({"method": method, "count": 3})
    memory = participation.remember({}, 0, {4: report, 5: ClientReport(2.0, 10)})
    assert memory[SEEN].tolist() == [5]
    assert all(np.isfinite(vector).all() for vector in memory.values())


def test_a_client_whose_loss_is_not_finite_has_failed() -> None:
    data = blobs(5, 200, 2.0)
    data[2].rows[0, 0] = np.nan
    clients, seen = simulated(FEDAVG, MODEL, data), list[Round]()
    clients.reporting = True
    participation = Participation(method="power-of-choice", count=5)
    trained(
        FEDAVG,
        MODEL,
        data,
        1,
        clients=clients,
        participation=participation,
        callbacks=(seen.append,),
    )
    assert seen[0].answers.failures == {2: "ATL-HOR-046"}
    assert seen[0].answers.answered == 4


def test_oort_explores_less_each_round_and_uses_the_lossy_and_fast() -> None:
    reports = {
        n: ClientReport(5.0 if n < 10 else 0.1, 10, 1000.0 if n < 5 else 1.0) for n in range(100)
    }
    oort, generator = Oort(exploration=0.5, decay=0.9, least=0.1), np.random.default_rng(0)
    memory = remembered({}, 0, reports)
    first, late = (oort.choose(Pool(10_000, r, memory), 10, generator) for r in (0, 40))
    assert first[first < 100].tolist() == [5, 6, 7, 8, 9]
    assert len(first) == len(late) == 10
    assert (late >= 100).sum() == 1


def test_oort_slows_its_pace_when_the_use_of_its_clients_falls() -> None:
    oort, memory = Oort(window=2, pace=10), dict[str, np.ndarray]()
    for round_, loss in enumerate([5.0, 5.0, 1.0, 1.0]):
        memory = dict(oort.remembered(memory, round_, {1: ClientReport(loss, 10)}))
    assert memory[PACE][0] == 20


@pytest.mark.parametrize("method", ["power-of-choice", "oort"])
def test_what_a_choice_remembers_resumes_to_the_same_bits(method: str) -> None:
    data = blobs(30, 600, 0.3)
    participation = Participation.model_validate({"method": method, "count": 5})
    states = []
    for stop in (None, 3):
        clients = simulated(FEDAVG, MODEL, data)
        clients.reporting = True
        state = None
        if stop:
            state = trained(FEDAVG, MODEL, data, stop, clients=clients, participation=participation)
        state = trained(
            FEDAVG, MODEL, data, 8, clients=clients, state=state, participation=participation
        )
        states.append(state)
    whole, resumed = states
    assert {n for n in whole.vectors if n.startswith(PREFIX)} >= {SEEN, LOSS}
    assert whole.vectors.keys() == resumed.vectors.keys()
    assert all(np.array_equal(whole.vectors[k], resumed.vectors[k]) for k in whole.vectors)


def test_a_choice_by_losses_needs_reports_and_no_mask() -> None:
    data = blobs(6, 100, 1.0)
    participation = Participation(method="oort", count=3)
    with pytest.raises(AtollError, match="ATL-HOR-033"):
        trained(FEDAVG, MODEL, data, 2, participation=participation)
    clients = simulated(FEDAVG, MODEL, data)
    clients.reporting, clients.chain = True, Chain((_Mask(),))
    with pytest.raises(AtollError, match="ATL-HOR-044"):
        trained(FEDAVG, MODEL, data, 2, clients=clients, participation=participation)


class _Mask(Postprocessor):
    stage = Stage.MASK

    def client(self, update: Update, passage: Passage) -> Update:
        return update


def _breaking(algorithm: Algorithm, rounds: set[int], count: int = 6) -> SimulatedClients:
    """Return clients of whom all but two fail in ``rounds``."""
    data = blobs(count, 300, 1.0)
    clients = simulated(algorithm, MODEL, data)
    asked = clients.ask

    def ask(round_: int, message: Any, chosen: Any) -> Any:
        def rows(number: int) -> Any:
            if round_ in rounds and number > 1:
                raise ValueError("gone")
            return data[number]

        clients.data = rows
        return asked(round_, message, chosen)

    clients.ask = ask  # type: ignore[method-assign]
    return clients


@pytest.mark.parametrize(
    "algorithm", [FEDAVG, Scaffold(local=FEDAVG.local)], ids=["avg", "scaffold"]
)
def test_a_round_below_the_minimum_changes_nothing(algorithm: Algorithm) -> None:
    everyone = Participation(method="all", minimum=3)
    data, seen = blobs(6, 300, 1.0), list[Round]()
    clients = _breaking(algorithm, {1})
    state = trained(
        algorithm,
        MODEL,
        data,
        2,
        clients=clients,
        participation=everyone,
        callbacks=(seen.append,),
    )
    assert [done.failed for done in seen] == [False, True]
    assert seen[1].answers.answered == 2
    whole = _breaking(algorithm, set())
    one = trained(algorithm, MODEL, data, 1, clients=whole, participation=everyone)
    assert all(np.array_equal(state.vectors[k], one.vectors[k]) for k in one.vectors)
    assert clients.kept.keys() == whole.kept.keys()
    for number, kept in whole.kept.items():
        assert all(np.array_equal(clients.kept[number][k], kept[k]) for k in kept)


def test_a_run_with_too_few_clients_in_each_round_has_failed() -> None:
    participation = Participation(method="all", minimum=3)
    clients = _breaking(FEDAVG, {0, 1, 2})
    with pytest.raises(AtollError, match="ATL-HOR-032"):
        trained(FEDAVG, MODEL, blobs(6, 300, 1.0), 3, clients=clients, participation=participation)


def test_more_are_asked_than_are_needed() -> None:
    participation = Participation(count=100, over=1.3)
    assert participation.asked == 130
    assert len(participation.choose(10_000, np.random.default_rng(0))) == 130


def test_sampling_amplifies_only_where_no_data_and_no_speed_decide() -> None:
    amplify = [m for m in METHODS if Participation.model_validate(METHODS[m]).amplifies]
    assert amplify == ["uniform", "poisson"]
    assert not Participation(over=1.3).amplifies


def test_tracebacks_stay_few() -> None:
    def broken(number: int) -> Any:
        raise ValueError(f"client {number} " + "x" * 20_000)

    clients = SimulatedClients(FEDAVG, MODEL, 1000, broken, PUBLIC)
    for round_ in range(3):
        chosen = np.arange(round_ * 300, round_ * 300 + 300)
        clients.ask(round_, {"weights": np.zeros(MODEL.layout.size)}, chosen)
    assert list(clients.tracebacks) == list(range(900 - MOST_TRACEBACKS, 900))
    assert max(map(len, clients.tracebacks.values())) < 10_000

"""Rounds on a simulated clock: the slow, the vanished, the late and the repeated."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.algorithm import Algorithm, State
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.fednova import FedNova
from atoll.learning.horizontal.algorithms.fedsgd import FedSGD
from atoll.learning.horizontal.algorithms.personal import Ditto
from atoll.learning.horizontal.callbacks import RoundFigures
from atoll.learning.horizontal.conditions import Condition, Eligibility
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.rounds import LATE, REPEATED, UNASKED, Closing, Collector
from atoll.learning.horizontal.simulation import SimulatedClients, bounded
from atoll.learning.horizontal.synthetic import Synthetic
from atoll.learning.horizontal.timed import SLOW, VANISHED, TimedClients, planned_steps
from atoll.learning.horizontal.trace_table import profiles_of, read_traces
from atoll.learning.horizontal.traces import Profile, SeededProfiles, Traces
from atoll.learning.horizontal.training import Answers, Round, Training
from atoll.table.table import Table
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, simulated

MODEL = Linear(12, Softmax(5), l2=1e-3)
LOCAL = LocalTraining(learning_rate=0.05, batch_size=10, epochs=2)
FEDAVG = FedAvg(local=LOCAL)
ALL = Participation(method="all")
times = st.lists(st.floats(0, 100), max_size=12).map(np.array)


def _timed(
    profile: Callable[[int], Profile],
    data: list[ClientRows] | None = None,
    algorithm: Algorithm = FEDAVG,
    threads: int = 1,
    **arguments: Any,
) -> TimedClients:
    data = blobs(10, 600, 2.0) if data is None else data
    return TimedClients(
        simulated(algorithm, MODEL, data, threads),
        Traces(PUBLIC, profile, arguments.pop("repeated", 0.0)),
        steps=arguments.pop("steps", lambda number: 10),
        **arguments,
    )


def _run(
    clients: TimedClients,
    rounds: int,
    participation: Participation = ALL,
    state: State | None = None,
) -> tuple[State, list[Round]]:
    seen: list[Round] = []
    algorithm = clients.clients.algorithm
    start = state or algorithm.start(np.zeros(MODEL.layout.size))
    training = Training(algorithm, participation, rounds, eligible=clients.eligible)
    return training.run(start, clients, PUBLIC, (seen.append,)), seen


def _by_number(number: int) -> Profile:
    return Profile(seconds_per_step=1.0 + number)


closings = st.builds(
    Closing,
    first=st.none() | st.integers(1, 12),
    share=st.floats(0.01, 1),
    seconds=st.floats(0, 120),
    limit=st.none() | st.floats(0.1, 120),
)


@given(closings, times, times)
@settings(max_examples=200, deadline=None)
def test_a_round_closes_at_the_first_moment_at_which_it_is_over(
    closing: Closing, arrivals: np.ndarray, losses: np.ndarray
) -> None:
    ended = closing.closes_at(arrivals, losses)

    def closed(moment: float) -> bool:
        asked = len(arrivals) + len(losses)
        had, gone = int((arrivals <= moment).sum()), int((losses <= moment).sum())
        return closing.closed(asked, had, gone, moment)

    assert closed(ended)
    before = [t for t in (*arrivals, *losses, 0.0, closing.seconds) if t < ended]
    assert not any(closed(float(moment)) for moment in before)


def test_a_collector_takes_each_client_of_its_round_once() -> None:
    collector = Collector(7, np.array([1, 4, 9]))
    assert collector.admit(7, 4)
    assert not collector.admit(7, 4)
    assert not collector.admit(6, 1)
    assert not collector.admit(8, 1)
    assert not collector.admit(7, 5)
    assert collector.waiting == {1, 9}
    assert collector.admit(7, 1)
    collector.close()
    assert not collector.admit(7, 9)
    assert collector.refused == {REPEATED: 1, LATE: 3, UNASKED: 1}


def test_without_limits_the_clock_changes_nothing_but_the_time() -> None:
    data = blobs(10, 600, 2.0)
    state, seen = _run(_timed(_by_number, data), 3)
    plain = Training(FEDAVG, ALL, 3).run(
        FEDAVG.start(np.zeros(MODEL.layout.size)), simulated(FEDAVG, MODEL, data), PUBLIC
    )
    assert np.array_equal(state.weights, plain.weights)
    assert [done.answers.seconds for done in seen] == [100.0] * 3


def test_the_first_are_enough_and_the_others_are_late() -> None:
    clients = _timed(_by_number, closing=Closing(first=4))
    calls: list[int] = []
    data = clients.clients.data

    def rows(number: int) -> ClientRows:
        calls.append(number)
        return data(number)

    clients.clients.data = rows
    _, seen = _run(clients, 2)
    assert calls == [0, 1, 2, 3] * 2
    assert seen[0].answers.answered == 4
    assert seen[0].answers.seconds == 40
    assert seen[0].answers.failures == dict.fromkeys(range(4, 10), SLOW)
    # Until the second round closes at 80 s, the clients 4 … 7 hand in the first round's answers.
    assert seen[1].answers.refused == {LATE: 4}
    assert seen[1].answers.answered == 4


def test_late_answers_never_enter() -> None:
    data = blobs(10, 600, 2.0)
    with_late, seen = _run(_timed(_by_number, data, closing=Closing(first=4)), 4)
    assert seen[-1].answers.refused
    few = Training(FEDAVG, ALL, 4).run(
        FEDAVG.start(np.zeros(MODEL.layout.size)), simulated(FEDAVG, MODEL, data[:4]), PUBLIC
    )
    assert np.array_equal(with_late.weights, few.weights)


def test_repeated_answers_count_once() -> None:
    once, _ = _run(_timed(_by_number), 2)
    twice, seen = _run(_timed(_by_number, repeated=1.0), 2)
    assert np.array_equal(once.weights, twice.weights)
    assert [done.answers.refused for done in seen] == [{REPEATED: 10}] * 2


def test_a_round_closes_by_progress() -> None:
    closing = Closing(share=0.5, seconds=72.0)
    _, seen = _run(_timed(_by_number, closing=closing), 1)
    assert seen[0].answers.seconds == 72
    assert seen[0].answers.answered == 7
    _, seen = _run(_timed(_by_number, closing=Closing(share=0.9, seconds=5.0)), 1)
    assert (seen[0].answers.seconds, seen[0].answers.answered) == (90, 9)


def test_a_round_ends_at_its_limit_without_an_answer() -> None:
    clients = _timed(_by_number, closing=Closing(limit=5.0))
    with pytest.raises(AtollError, match="ATL-HOR-030"):
        _run(clients, 3)
    assert clients.clock.now() == 15


def test_partial_work_counts() -> None:
    steps = LocalTraining(learning_rate=0.05, batch_size=10, epochs=1000, steps=10)
    nova = FedNova(local=steps)
    clients = _timed(
        _by_number, algorithm=nova, closing=Closing(limit=30.0), partial=True, steps=None
    )
    sums: list[float] = []
    work = clients.clients.work

    def counted(tasks: Any, round_: int) -> Answers:
        answers = work(tasks, round_)
        sums.append(answers.total.numbers["steps"] if answers.total else 0.0)
        return answers

    clients.clients.work = counted  # type: ignore[method-assign]
    _, seen = _run(clients, 1)
    answers, data = seen[0].answers, blobs(10, 600, 2.0)
    # Client n takes n + 1 seconds a step: so many fit into 30 seconds.
    fit = [min(10, 30 // (n + 1)) for n in range(10)]
    assert answers.answered == 10
    assert answers.partial == sum(f < 10 for f in fit)
    assert answers.seconds == 30
    expected = sum(len(rows) * f for rows, f in zip(data, fit, strict=True))
    assert sums == [pytest.approx(expected)]


def _with_stragglers(algorithm: Algorithm, partial: bool, seed: int) -> float:
    """Return the loss over all clients, nine in ten of whom are too slow for their whole turn."""
    public = PublicRandom(bytes([seed]) * 32, fixed=True)
    task, count = Synthetic(1, 1, public, most_rows=150), 20
    data = [task(number) for number in range(count)]
    model = Linear(60, Softmax(10), l2=1e-3)
    shares = np.random.default_rng(seed).uniform(0.1, 0.9, count)
    shares[::10] = 1.0

    def profile(number: int) -> Profile:
        return Profile(1 / planned_steps(algorithm, len(data[number])) / shares[number])

    inner = SimulatedClients(algorithm, model, count, data.__getitem__, public)
    closing = Closing(limit=1.001)
    clients = TimedClients(inner, Traces(public, profile), closing, partial=partial)
    start = algorithm.start(np.zeros(model.layout.size))
    training = Training(algorithm, Participation(count=10), 12)
    return mean_loss(model, training.run(start, clients, public), data)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_partial_work_serves_all_where_dropping_the_slow_does_not(seed: int) -> None:
    """As in FedProx, section 5.2: stragglers' partial work is taken, or they are left out."""
    local = LocalTraining(epochs=6, batch_size=10, learning_rate=0.02)
    dropped = _with_stragglers(FedAvg(local=local), False, seed)
    for algorithm in (FedAvg(local=local, proximal=0.5), FedNova(local=local)):
        assert _with_stragglers(algorithm, True, seed) < 0.6 * dropped


def test_a_bound_on_steps_is_shared_out() -> None:
    assert bounded(FEDAVG, None) is FEDAVG
    ditto = bounded(Ditto(local=LOCAL, own=LOCAL), 7)
    assert isinstance(ditto, Ditto)
    assert (ditto.local.steps, ditto.own.steps) == (3, 3)
    assert planned_steps(FEDAVG, 25) == 6
    assert planned_steps(Ditto(local=LOCAL, own=LOCAL), 25) == 12
    assert planned_steps(FedSGD(), 25) == 1
    assert planned_steps(FEDAVG, 0) == 0


def test_clients_vanish_and_return() -> None:
    def profile(number: int) -> Profile:
        # The last three go offline after 5 of every 50 seconds, in the midst of a turn of 10.
        goes = number > 6
        return Profile(1.0, period=50.0, online=5.0 if goes else 50.0)

    clients = _timed(profile, notice=2.0)
    _, seen = _run(clients, 7)
    assert seen[0].answers.failures == {7: VANISHED, 8: VANISHED, 9: VANISHED}
    assert [done.chosen for done in seen] == [10, 7, 7, 7, 7, 10, 7]
    assert [done.answers.answered for done in seen] == [7] * 7
    # They go on when they are back, at 50 seconds, and answer a round long closed at 55.
    assert sum(done.answers.refused.get(LATE, 0) for done in seen) == 3


def test_time_passes_while_no_one_is_online() -> None:
    clients = _timed(lambda n: Profile(1.0, period=200.0, start=150.0, online=50.0), pause=40.0)
    _, seen = _run(clients, 6)
    assert [done.answers.answered for done in seen] == [0, 0, 0, 0, 10, 10]
    assert [done.failed for done in seen] == [True] * 4 + [False] * 2
    assert clients.clock.now() == 180


def test_failures_of_some_are_counted_and_the_rest_trains() -> None:
    clients = _timed(lambda n: Profile(1.0, failure=0.3))
    state, seen = _run(clients, 10)
    lost = sum(len(done.answers.failures) for done in seen)
    # 100 turns at 0.3: outside of these bounds about once in 10^5 seeds.
    assert 10 < lost < 52
    data = blobs(10, 600, 2.0)
    assert mean_loss(MODEL, state, data) < 0.7 * math.log(5)


def test_eligibility_is_respected() -> None:
    def profile(number: int) -> Profile:
        return Profile(1.0, condition=Condition(link="3g" if number % 2 else "wifi"))

    clients = _timed(profile, eligibility=Eligibility(link="4g"))
    _, seen = _run(clients, 1)
    assert (seen[0].chosen, seen[0].answers.answered) == (5, 5)


def _harsh(threads: int) -> TimedClients:
    public = SeededProfiles(spread="pareto", shape=1.1, online=0.7, failure=0.1, period=300.0)
    data = blobs(40, 800, 0.5)
    return TimedClients(
        simulated(FEDAVG, MODEL, data, threads),
        Traces.seeded(PUBLIC, public, repeated=0.1),
        closing=Closing(first=8, limit=60.0),
        partial=True,
    )


def test_any_number_of_threads_gives_the_same_rounds() -> None:
    participation = Participation(count=8, over=1.5)
    (one, rounds), (three, others) = (_run(_harsh(threads), 6, participation) for threads in (1, 3))
    assert one.weights.tobytes() == three.weights.tobytes()
    assert [done.answers.failures for done in rounds] == [d.answers.failures for d in others]
    assert [done.answers.seconds for done in rounds] == [d.answers.seconds for d in others]


def test_a_timed_training_resumes_to_the_same_bits() -> None:
    participation = Participation(count=8, over=1.5)
    whole, rounds = _run(_harsh(1), 8, participation)
    first = _harsh(1)
    half, _ = _run(first, 4, participation)
    second = _harsh(1)
    second.restore(first.saved())
    resumed, rest = _run(second, 8, participation, half)
    assert resumed.weights.tobytes() == whole.weights.tobytes()
    assert [d.answers.refused for d in rest] == [d.answers.refused for d in rounds[4:]]
    assert [d.answers.seconds for d in rest] == [d.answers.seconds for d in rounds[4:]]


def test_memory_does_not_grow_with_the_rounds() -> None:
    clients, state = _harsh(1), FEDAVG.start(np.zeros(MODEL.layout.size))
    data = clients.clients.data

    def broken(number: int) -> ClientRows:
        if number % 7 == 0:
            raise ValueError("x" * 1_000)
        return data(number)

    clients.clients.data = broken
    figures, held = RoundFigures(most=10), list[int]()
    tracemalloc.start()
    try:
        for rounds in (40, 80, 200):
            training = Training(FEDAVG, Participation(count=8), rounds)
            state = training.run(state, clients, PUBLIC, (figures,))
            # What waits for the collector is no growth.
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert figures.failures["ATL-HOR-031"] > 20
    # A hundred more rounds would hold 40 kB of late answers, had they not been handed in.
    assert held[2] < held[1] + 30_000


def test_seeded_speeds_have_their_median_and_heavy_tails() -> None:
    for spread in ("lognormal", "pareto"):
        settings_ = SeededProfiles.model_validate({"spread": spread, "seconds": 2.0, "shape": 1.2})
        speeds = [settings_.draw(n, PUBLIC).seconds_per_step for n in range(2000)]
        assert 1.8 < np.median(speeds) < 2.2
        assert max(speeds) > 20
    assert SeededProfiles(spread="equal", seconds=2.0).draw(1, PUBLIC).seconds_per_step == 2
    assert SeededProfiles().draw(3, PUBLIC) == SeededProfiles().draw(3, PUBLIC)


def test_seeded_clients_are_online_for_their_share_and_stay_as_long_as_stated() -> None:
    traces = Traces.seeded(PUBLIC, SeededProfiles(online=0.3, period=100.0))
    numbers = np.arange(300)
    shares = [traces.online(numbers, moment).mean() for moment in np.arange(0, 100, 5.0)]
    assert 0.25 < np.mean(shares) < 0.35
    for number in range(20):
        if stays := traces.stays(number, 40.0):
            assert traces.stays(number, 40.0 + stays * 0.99) > 0
            assert traces.stays(number, 40.0 + stays * 1.01) == 0
        else:
            back = traces.returns(number, 40.0)
            assert traces.stays(number, back - 1e-6) == 0
            assert traces.stays(number, back + 1e-6) > 0


def test_batteries_fill_and_run_down() -> None:
    traces = Traces(
        PUBLIC, lambda n: Profile(1, period=100, online=100, condition=Condition(battery=0.2))
    )
    charges = [traces.condition(0, t) for t in (0.0, 24.9, 25.1, 99.9)]
    assert [c.charging for c in charges] == [True, True, False, False]
    assert [round(c.battery or 0, 1) for c in charges] == [0.2, 1.0, 1.0, 0.2]


def test_traces_are_read_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "traces.csv"
    path.write_text("client,seconds_per_step,failure\na,0.5,0\nb,2.5,0.25\n")
    traces = read_traces(path, PUBLIC)
    assert [traces.profile(n).seconds_per_step for n in range(3)] == [0.5, 2.5, 0.5]
    assert traces.profile(1).failure == 0.25
    assert traces.stays(0, 10.0) == math.inf


@pytest.mark.parametrize(
    "columns",
    [
        {"speed": [1.0]},
        {"seconds_per_step": [1.0], "owner": [1.0]},
        {"seconds_per_step": [0.0]},
        {"seconds_per_step": [float("nan")]},
        {"seconds_per_step": [1.0], "failure": [1.5]},
        {"seconds_per_step": [1.0], "period": [-1.0]},
    ],
)
def test_a_table_that_states_no_traces_is_refused(columns: dict[str, list[float]]) -> None:
    table = Table.from_columns(["a"], columns, id_column="client")
    with pytest.raises(AtollError, match="ATL-"):
        profiles_of(table)

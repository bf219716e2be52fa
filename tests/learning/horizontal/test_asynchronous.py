"""Buffers fill on a simulated clock: the same bits always, bounded staleness, less time."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg
from atoll.learning.horizontal.asynchronous import (
    STALE,
    AsynchronousTraining,
    FedBuff,
    Flights,
)
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.adaptive import AdaptiveClip
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK
from atoll.learning.horizontal.postprocess.power_sgd import PowerSGD
from atoll.learning.horizontal.rounds import Closing
from atoll.learning.horizontal.selection.losses import Oort
from atoll.learning.horizontal.simulation import SimulatedClients, Task
from atoll.learning.horizontal.timed import TimedClients
from atoll.learning.horizontal.traces import Profile, SeededProfiles, Traces
from atoll.learning.horizontal.training import Answers, Round, Training
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss

MODEL = Linear(12, Softmax(5), l2=1e-3)
FEDAVG = FedAvg(local=LocalTraining(learning_rate=0.05, batch_size=10), weighting="equal")
HARSH = SeededProfiles(spread="pareto", shape=1.1, seconds=1.0, online=0.8, failure=0.05)


def _clients(
    threads: int = 1,
    profiles: SeededProfiles = HARSH,
    public: PublicRandom = PUBLIC,
    alpha: float = 0.5,
    seed: int = 0,
) -> TimedClients:
    data = blobs(60, 1200, alpha, seed)
    clients = SimulatedClients(FEDAVG, MODEL, len(data), data.__getitem__, public, threads)
    return TimedClients(clients, Traces.seeded(public, profiles))


def _run(
    clients: TimedClients,
    rounds: int,
    plan: FedBuff,
    state: State | None = None,
    flights: Flights | None = None,
) -> tuple[State, list[Round]]:
    seen: list[Round] = []
    training = AsynchronousTraining(FEDAVG, plan, rounds, flights or Flights())
    start = state or FEDAVG.start(np.zeros(MODEL.layout.size))
    return training.run(start, clients, PUBLIC, (seen.append,)), seen


PLAN = FedBuff(concurrency=20, buffer=5)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    (one, rounds), (three, others) = (_run(_clients(threads), 12, PLAN) for threads in (1, 3))
    assert one.weights.tobytes() == three.weights.tobytes()
    assert [d.answers.seconds for d in rounds] == [d.answers.seconds for d in others]
    assert [d.answers.failures for d in rounds] == [d.answers.failures for d in others]


def test_it_resumes_to_the_same_bits() -> None:
    whole, rounds = _run(_clients(), 12, PLAN)
    first, flights = _clients(), Flights()
    half, _ = _run(first, 5, PLAN, flights=flights)
    second, later = _clients(), Flights()
    second.restore(first.saved())
    later.restore(flights.saved())
    resumed, rest = _run(second, 12, PLAN, half, later)
    assert resumed.weights.tobytes() == whole.weights.tobytes()
    assert [d.answers.seconds for d in rest] == [d.answers.seconds for d in rounds[5:]]


def test_one_client_at_a_time_is_plain_sequential_training() -> None:
    clients = _clients(profiles=SeededProfiles(spread="equal"))
    state, _ = _run(clients, 8, FedBuff(concurrency=1, buffer=1))
    weights = FEDAVG.start(np.zeros(MODEL.layout.size))
    plain = _clients().clients
    for turn in range(8):
        generator = PUBLIC.generator("horizontal", turn, "participation")
        number = int(generator.permutation(60)[0])
        answers = plain.work([Task(number, turn, FEDAVG.message(weights))], turn)
        assert answers.total is not None
        weights = FEDAVG.aggregate(weights, answers.total)
    assert np.array_equal(state.weights, weights.weights)


def test_stale_updates_shorten_the_step() -> None:
    clients, message = _clients().clients, {"weights": np.zeros(MODEL.layout.size)}
    whole, half = (clients.work([Task(3, 0, message, scale=s)], 0).total for s in (1.0, 0.5))
    assert whole is not None
    assert half is not None
    assert np.array_equal(half.vectors[CHANGE], whole.vectors[CHANGE] * 0.5)
    assert half.numbers[WEIGHT] == whole.numbers[WEIGHT] == 1
    plan = FedBuff(staleness="polynomial", exponent=0.5)
    assert [plan.weight(s) for s in (0, 3, 8)] == [1, 0.5, 1 / 3]
    hinge = FedBuff(staleness="hinge", grace=4, slope=0.5)
    assert [hinge.weight(s) for s in (0, 4, 6)] == [1, 1, 0.5]
    assert FedBuff(staleness="equal").weight(50) == 1


def test_each_update_is_scaled_by_the_steps_since_it_began() -> None:
    clients, flights = _clients(), Flights()
    work, begun = clients.clients.work, dict[int, int]()
    ages: list[int] = []

    def scaled(tasks: list[Task], round_: int) -> Answers:
        for task in tasks:
            # What was under way after the step before began at the version noted then.
            age = round_ - begun.get(task.round, round_)
            assert task.scale == PLAN.weight(age)
            ages.append(age)
        return work(tasks, round_)

    clients.clients.work = scaled  # type: ignore[method-assign, assignment]

    def note(done: Round) -> None:
        begun.update({flight.turn: flight.version for flight in flights.heap})

    training = AsynchronousTraining(FEDAVG, PLAN, 20, flights)
    training.run(FEDAVG.start(np.zeros(MODEL.layout.size)), clients, PUBLIC, (note,))
    assert max(ages) >= 3
    assert min(ages) == 0


def test_staleness_is_bounded_and_so_is_what_is_held() -> None:
    plan, flights = FedBuff(concurrency=20, buffer=2, most_stale=3), Flights()
    _, seen = _run(_clients(), 60, plan, flights=flights)
    stale = [d for d in seen if STALE in d.answers.failures.values()]
    assert stale
    assert len(flights.heap) <= 20
    assert len(flights.messages) <= 20
    unbounded = _run(_clients(), 60, FedBuff(concurrency=20, buffer=2, most_stale=10_000))[1]
    assert not any(STALE in d.answers.failures.values() for d in unbounded)


def test_a_client_is_never_at_work_twice() -> None:
    clients = _clients()
    kept = clients.clients.work
    taken: list[list[int]] = []

    def work(tasks: list[Task], round_: int) -> object:
        taken.append([task.number for task in tasks])
        return kept(tasks, round_)

    clients.clients.work = work  # type: ignore[method-assign, assignment]
    flights, state = Flights(), None
    for rounds in range(1, 16):
        plan = FedBuff(concurrency=50, buffer=30)
        state, _ = _run(clients, rounds, plan, state, flights)
        numbers = [flight.number for flight in flights.heap]
        assert len(numbers) == len(set(numbers))
    assert all(len(batch) == len(set(batch)) for batch in taken)


def test_a_run_in_which_all_vanish_ends_and_has_failed() -> None:
    clients = _clients(profiles=SeededProfiles(failure=1.0))
    with pytest.raises(AtollError, match="ATL-HOR-030"):
        _run(clients, 3, PLAN)


def test_a_run_without_anyone_online_ends_and_has_failed() -> None:
    clients = _clients()
    clients.traces = Traces(PUBLIC, lambda n: Profile(1.0, period=100.0, online=0.0))
    with pytest.raises(AtollError, match="ATL-HOR-030"):
        _run(clients, 2, FedBuff(concurrency=2, buffer=1))


def test_flights_resume_with_their_own_state() -> None:
    clients, flights = _clients(), Flights()
    _run(clients, 5, PLAN, flights=flights)
    with pytest.raises(AtollError, match="ATL-HOR-039"):
        _run(clients, 5, PLAN, flights=flights)


def test_what_needs_common_rounds_is_refused() -> None:
    clients = _clients()
    clients.clients.chain = Chain((RandomK(share=0.5),))
    with pytest.raises(AtollError, match="ATL-HOR-045"):
        _run(clients, 2, PLAN)
    clients.clients.chain = Chain((Quantise(width=8),))
    _run(clients, 2, PLAN)


def test_bases_of_a_round_are_refused_where_there_are_no_rounds() -> None:
    power = PowerSGD(algorithm=FEDAVG, arrays=MODEL.layout.arrays)
    for algorithm in (power, AdaptiveClip(algorithm=power, clients=10)):
        training = AsynchronousTraining(algorithm, PLAN, 2)
        with pytest.raises(AtollError, match="ATL-HOR-045: PowerSGD"):
            training.run(algorithm.start(np.zeros(MODEL.layout.size)), _clients(), PUBLIC)


WAYS: dict[str, tuple[Participation, Closing]] = {
    "rounds": (Participation(count=20), Closing()),
    "over-selection": (Participation(count=20, over=1.3), Closing(first=20)),
    "oort": (Participation(count=20, method="oort", oort=Oort(pace=5)), Closing()),
}


def _seconds_to(target: float, seed: int, way: str) -> float:
    """Return the simulated seconds until the mean loss is at most ``target``."""
    public = PublicRandom(bytes([seed]) * 32, fixed=True)
    profiles = SeededProfiles(spread="pareto", shape=1.1, seconds=1.0)
    clients, data = _clients(1, profiles, public, seed=seed), blobs(60, 1200, 0.5, seed)

    def stop(done: Round) -> bool:
        return mean_loss(MODEL, done.state, data) <= target

    start = FEDAVG.start(np.zeros(MODEL.layout.size))
    if way == "buffered":
        plan = FedBuff(concurrency=20, buffer=5)
        state = AsynchronousTraining(FEDAVG, plan, 600).run(start, clients, public, (stop,))
    else:
        participation, clients.closing = WAYS[way]
        clients.clients.reporting = participation.needs_losses
        state = Training(FEDAVG, participation, 200).run(start, clients, public, (stop,))
    assert mean_loss(MODEL, state, data) <= target
    return clients.clock.now()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_time_to_a_loss_where_speeds_are_heavy_tailed(seed: int) -> None:
    """Rounds wait for the slowest of 20; FedBuff has as many at work and waits for none.

    Over-selection leaves out the slowest, Oort learns to ask others.
    """
    seconds = {way: _seconds_to(0.75, seed, way) for way in ("buffered", *WAYS)}
    assert seconds["buffered"] < seconds["over-selection"] < seconds["rounds"] / 2
    assert seconds["oort"] < 0.8 * seconds["rounds"]

"""MOCHA: the optimum that is stated, under any partial work, and better than one model or many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import WEIGHTS, State
from atoll.learning.horizontal.algorithms.mocha import (
    CURVATURE,
    DUAL,
    RELATION,
    Mocha,
    _reach,
)
from atoll.learning.horizontal.asynchronous import AsynchronousTraining, FedBuff
from atoll.learning.horizontal.local import ClientRows, LocalWork
from atoll.learning.horizontal.metrics import measure_clients, personal
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Bernoulli, Gaussian
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.robust import Median
from atoll.learning.horizontal.simulation import SimulatedClients, Task
from atoll.learning.horizontal.sums import Update, joined, parted
from atoll.learning.horizontal.timed import TimedClients, planned_steps
from atoll.learning.horizontal.traces import Profile, Traces
from atoll.learning.horizontal.training import Answers, Training
from tests.learning.horizontal.tasks import PUBLIC, simulated, trained

Floats = npt.NDArray[np.floating]
Family = Literal["linear", "logistic"]
families = pytest.mark.parametrize("family", ["linear", "logistic"])


def planted(
    seed: int, family: Family, tasks: int = 15, columns: int = 10, rows: int = 14
) -> tuple[list[ClientRows], list[ClientRows], Floats]:
    """Return few rows and many held out of tasks in three groups around one common model."""
    generator = np.random.default_rng(seed)
    groups = generator.normal(size=(3, columns + 1)) + 0.7 * generator.normal(size=columns + 1)
    models = groups[np.arange(tasks) % 3] + 0.1 * generator.normal(size=(tasks, columns + 1))

    def drawn(task: int, count: int) -> ClientRows:
        values = generator.normal(size=(count, columns))
        linear = values @ models[task, :-1] + models[task, -1]
        if family == "linear":
            return ClientRows(values, linear + generator.normal(size=count))
        chances = 1 / (1 + np.exp(-linear))
        return ClientRows(values, (generator.random(count) < chances).astype(np.float64))

    sizes = generator.integers(rows, 2 * rows, tasks).tolist()
    own = [drawn(task, size) for task, size in enumerate(sizes)]
    return own, [drawn(task, 500) for task in range(tasks)], models


def model_for(family: Family, columns: int = 10) -> Linear:
    return Linear(columns, Gaussian() if family == "linear" else Bernoulli())


def mean_loss(model: Linear, weights: Floats, held_out: list[ClientRows]) -> float:
    pairs = zip(weights.reshape(len(held_out), -1), held_out, strict=True)
    return float(np.mean([model.gradient_of(w).loss(d.rows, d.targets) for w, d in pairs]))


@families
@pytest.mark.parametrize("seed", range(3))
def test_it_beats_both_local_models_and_one_global_one(family: Family, seed: int) -> None:
    """The others are the best of several strengths by the held-out rows, MOCHA is not chosen."""
    data, held_out, _ = planted(seed, family)
    model, tasks = model_for(family), len(data)

    def loss(algorithm: Mocha, own: list[ClientRows], rounds: int = 30) -> float:
        state = trained(algorithm, model, own, rounds)
        weights = np.tile(state.weights, 1 if algorithm.tasks == tasks else tasks)
        return mean_loss(model, weights, held_out)

    related = loss(Mocha(tasks=tasks, family=family, strength=0.3), data, 40)
    # Tasks that stay apart have strength · tasks each.
    local = min(
        loss(Mocha(tasks=tasks, family=family, strength=s / tasks, relate_every=0), data)
        for s in (0.3, 1.0, 3.0, 6.0)
    )
    whole = ClientRows(
        np.concatenate([part.rows for part in data]),
        np.concatenate([part.targets for part in data]),
    )
    common = min(
        loss(Mocha(tasks=1, family=family, strength=s, relate_every=0), [whole])
        for s in (1.0, 10.0, 100.0)
    )
    print(f"{family} {seed}: MOCHA {related:.3f}, local {local:.3f}, global {common:.3f}")
    assert related < 0.95 * min(local, common)


def small(family: Family) -> tuple[list[ClientRows], Floats]:
    """Return the rows of five tasks, and a relation of them."""
    data, _, _ = planted(9, family, tasks=5, columns=3, rows=6)
    factor = np.random.default_rng(1).normal(size=(5, 5))
    relation = factor @ factor.T + 0.3 * np.eye(5)
    return data, relation / np.trace(relation)


def slope(data: list[ClientRows], weights: Floats, precision: Floats, family: Family) -> Floats:
    """Return the gradient of the objective that the module states, float64[tasks, size]."""
    found = precision @ weights
    for task, part in enumerate(data):
        rows = np.hstack([part.rows, np.ones((len(part), 1))])
        values = rows @ weights[task]
        values = values if family == "linear" else 1 / (1 + np.exp(-values))
        found[task] += rows.T @ (values - part.targets)
    return found


def begun(algorithm: Mocha, model: Linear, relation: Floats) -> State:
    state = algorithm.start(model.initial(np.random.default_rng(0)))
    return State(0, {**state.vectors, RELATION: relation.ravel()})


@families
@pytest.mark.parametrize("batch", [2, None])
def test_it_finds_the_optimum_of_a_fixed_relation(family: Family, batch: int | None) -> None:
    data, relation = small(family)
    model = model_for(family, 3)
    algorithm = Mocha(
        tasks=5,
        family=family,
        strength=0.5,
        l2=0.2,
        relate_every=0,
        local=LocalWork(batch_size=batch, epochs=3),
    )
    state = trained(algorithm, model, data, 120, state=begun(algorithm, model, relation))
    precision = 0.5 * np.linalg.inv(relation) + 0.2 * np.eye(5)
    found = np.asarray(state.weights).reshape(5, -1)
    assert np.abs(slope(data, found, precision, family)).max() < 1e-6
    assert np.abs(found).max() > 0.1


@dataclass
class Unreliable:
    """Clients of which some never answer in a round, and the others do only part of their work."""

    clients: SimulatedClients
    generator: np.random.Generator

    @property
    def registered(self) -> int:
        return self.clients.registered

    def ask(self, round_: int, message: Any, chosen: Numbers) -> Answers:
        there = [n for n in chosen.tolist() if self.generator.random() < 0.6]
        steps = self.generator.integers(1, 4, len(there)).tolist()
        tasks = [Task(n, round_, message, most) for n, most in zip(there, steps, strict=True)]
        return self.clients.work(tasks, round_)


@families
def test_partial_work_and_absent_clients_leave_the_optimum_as_it_is(family: Family) -> None:
    data, relation = small(family)
    model = model_for(family, 3)
    local = LocalWork(batch_size=2, epochs=2)
    algorithm = Mocha(tasks=5, family=family, strength=0.5, relate_every=0, local=local)
    unreliable = Unreliable(simulated(algorithm, model, data), np.random.default_rng(2))
    training = Training(algorithm, Participation(method="all"), 300)
    state = training.run(begun(algorithm, model, relation), unreliable, PUBLIC)
    precision = 0.5 * np.linalg.inv(relation)
    found = np.asarray(state.weights).reshape(5, -1)
    assert np.abs(slope(data, found, precision, family)).max() < 1e-5


def test_a_turn_that_is_cut_short_takes_no_more_steps() -> None:
    data, _ = small("linear")
    algorithm = Mocha(tasks=5, local=LocalWork(batch_size=2, epochs=3))
    assert planned_steps(algorithm, len(data[0])) == 3 * -(-len(data[0]) // 2)
    clients = simulated(algorithm, model_for("linear", 3), data)
    state = algorithm.start(np.zeros(4))
    clients.work([Task(0, 0, algorithm.message(state), 1)], 0)
    assert np.count_nonzero(clients.kept[0][DUAL]) == 2


def test_the_relation_is_that_of_the_groups() -> None:
    data, _, models = planted(3, "linear", tasks=12, rows=30)
    algorithm = Mocha(tasks=12, strength=0.3)
    state = trained(algorithm, model_for("linear"), data, 40)
    relation = np.asarray(state.vectors[RELATION]).reshape(12, 12)
    assert np.trace(relation) == pytest.approx(1)
    assert np.linalg.eigvalsh(relation).min() >= algorithm.floor / 12 - 1e-9
    deviation = np.sqrt(np.diag(relation))
    alike = relation / np.outer(deviation, deviation)
    groups = np.arange(12) % 3
    same = (groups[:, None] == groups[None]) & ~np.eye(12, dtype=bool)
    assert alike[same].min() > 0.5
    assert alike[same].min() > alike[groups[:, None] != groups[None]].max()
    found = np.asarray(state.weights).reshape(12, -1)
    assert np.abs(found - models).mean() < 0.3


def test_a_client_is_sent_its_own_weights_alone() -> None:
    data, _, _ = planted(0, "linear")
    algorithm = Mocha(tasks=15)
    state = trained(algorithm, model_for("linear"), data, 6)
    message = algorithm.message(state)
    sent = algorithm.sent_to(message, 4)
    assert np.array_equal(sent[WEIGHTS], state.weights.reshape(15, -1)[4])
    assert {name: len(vector) for name, vector in sent.items()} == {WEIGHTS: 11, CURVATURE: 1}
    with pytest.raises(AtollError, match="ATL-HOR-115"):
        algorithm.sent_to(message, 15)


def test_metrics_measure_each_client_with_its_own_weights() -> None:
    data, held_out, _ = planted(0, "linear")
    model, algorithm = model_for("linear"), Mocha(tasks=15)
    state = trained(algorithm, model, data, 10)
    weights = personal(algorithm, state, {})
    found = measure_clients(model, weights, held_out.__getitem__, range(15))
    assert found.loss.mean() == pytest.approx(mean_loss(model, state.weights, held_out))


@families
def test_threads_and_a_resumed_run_give_the_same_bits(family: Family) -> None:
    data, _, _ = planted(1, family)
    algorithm, model = Mocha(tasks=15, family=family, relate_every=2), model_for(family)
    half = Participation(count=9)
    whole = trained(algorithm, model, data, 8, participation=half)
    clients = simulated(algorithm, model, data, 3)
    broken = trained(algorithm, model, data, 3, clients=clients, participation=half)
    again = simulated(algorithm, model, data)
    again.restore(clients.saved())
    resumed = trained(algorithm, model, data, 8, clients=again, state=broken, participation=half)
    for name, vector in whole.vectors.items():
        assert np.array_equal(resumed.vectors[name], vector)


def test_a_failed_round_takes_no_work_into_the_clients_state() -> None:
    data, _, _ = planted(1, "linear")

    def rows(number: int) -> ClientRows:
        if number > 2:
            raise ValueError("gone")
        return data[number]

    algorithm, model = Mocha(tasks=15), model_for("linear")
    clients = simulated(algorithm, model, data)
    clients.data = rows
    training = Training(algorithm, Participation(method="all", minimum=4), 1)
    with pytest.raises(AtollError, match="ATL-HOR-032"):
        training.run(algorithm.start(np.zeros(11)), clients, PUBLIC)
    assert not clients.kept


def test_rows_that_change_during_a_training_are_refused() -> None:
    data, _, _ = planted(1, "linear")
    algorithm, model = Mocha(tasks=15), model_for("linear")
    clients = simulated(algorithm, model, data)
    state = trained(algorithm, model, data, 1, clients=clients)
    clients.data = lambda number: data[number - 1]
    answers = clients.ask(1, algorithm.message(state), np.arange(15))
    assert set(answers.failures.values()) == {"ATL-HOR-116"}


def test_what_hides_single_updates_is_refused() -> None:
    data, _, _ = planted(1, "linear")
    algorithm, model = Mocha(tasks=15), model_for("linear")

    def made(**more: Any) -> SimulatedClients:
        return SimulatedClients(algorithm, model, 15, data.__getitem__, PUBLIC, **more)

    with pytest.raises(AtollError, match="ATL-HOR-114"):
        made(chain=Chain((Clip(norm=1.0),)))
    with pytest.raises(AtollError, match="ATL-HOR-109"):
        made(rule=Median())
    clients = TimedClients(made(), Traces(PUBLIC, lambda number: Profile(1.0)))
    with pytest.raises(AtollError, match="ATL-HOR-114"):
        AsynchronousTraining(algorithm, FedBuff(), 2).run(
            algorithm.start(np.zeros(11)), clients, PUBLIC
        )


@pytest.mark.parametrize("rows", [3, 600])
def test_what_a_step_counts_on_is_an_upper_bound(rows: int) -> None:
    """Below 512 rows by their products, above by their lengths."""
    values = np.random.default_rng(rows).normal(size=(rows, 5))
    least = np.linalg.eigvalsh(np.diag(_reach(values)) - values @ values.T).min()
    assert least > -1e-8


def test_joined_updates_come_apart_as_they_were() -> None:
    updates = {
        at: Update({"a": np.full(2, float(at)), "b.c": np.zeros(1)}, {"n": at / 2})
        for at in (3, 11)
    }
    whole = joined(updates)
    assert whole is not None
    found = parted(whole)
    assert found.keys() == updates.keys()
    for at, update in updates.items():
        assert found[at].numbers == update.numbers
        for name, vector in update.vectors.items():
            assert np.array_equal(found[at].vectors[name], vector)
    assert joined({}) is None

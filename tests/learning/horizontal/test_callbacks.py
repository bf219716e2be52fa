"""Callbacks: what they write, count and keep; a checkpoint resumes to the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.asynchronous import AsynchronousTraining, FedBuff, Flights
from atoll.learning.horizontal.callbacks import (
    Checkpoint,
    EarlyStop,
    Evaluation,
    Progress,
    RoundFigures,
)
from atoll.learning.horizontal.checkpoint import read_checkpoint, write_checkpoint
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.sums import Update
from atoll.learning.horizontal.timed import TimedClients
from atoll.learning.horizontal.traces import SeededProfiles, Traces
from atoll.learning.horizontal.training import Answers, Round
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, simulated, trained

MODEL = Linear(12, Softmax(5), l2=1e-3)
SOFT = LocalTraining(learning_rate=0.05, batch_size=10)
FEDAVG = FedAvg(local=SOFT)


def _round(number: int, failures: dict[int, str] | None = None, failed: bool = False) -> Round:
    lost = failures or {}
    answers = Answers(Update({}, {}), 10 - len(lost), lost, seconds=2.0, refused={"ATL-HOR-034": 1})
    return Round(number, 10, answers, State(number + 1, {}), failed)


def test_progress_writes_every_so_often_and_each_failed_round() -> None:
    lines: list[str] = []
    progress = Progress(lines.append, rounds=9, every=3)
    for number in range(6):
        progress(_round(number, {7: "ATL-HOR-031", 8: "ATL-HOR-031"}, failed=number == 3))
    assert lines == [
        "round 3/9: 8 of 10 answered, 2 ATL-HOR-031",
        "round 4/9: 8 of 10 answered, 2 ATL-HOR-031, failed: too few",
        "round 6/9: 8 of 10 answered, 2 ATL-HOR-031",
    ]


def test_figures_count_all_rounds_and_hold_few() -> None:
    figures = RoundFigures(most=50)
    for number in range(1000):
        figures(_round(number, {number: "ATL-HOR-037"}, failed=number % 10 == 0))
    assert (figures.rounds, figures.failed, figures.answered) == (1000, 100, 9000)
    assert figures.failures == {"ATL-HOR-037": 1000}
    assert figures.refused == {"ATL-HOR-034": 1000}
    assert len(figures.last) == 50
    assert figures.last[-1] == (999, 10, 9, 2000.0)
    report = figures.to_report()
    table = report.panels[-1]
    assert table.kind == "table"
    assert ("client failed", "ATL-HOR-037", 1000) in table.rows


def test_an_evaluation_measures_every_so_often() -> None:
    data = blobs(5, 300, 1.0)
    evaluation = Evaluation(lambda state: {"loss": mean_loss(MODEL, state, data)}, every=2, most=3)
    trained(FEDAVG, MODEL, data, 9, callbacks=(evaluation,))
    assert [number for number, _ in evaluation.points] == [4, 6, 8]
    panel = evaluation.to_report().panels[0]
    assert panel.kind == "line"
    assert list(panel.series[0].y) == sorted(panel.series[0].y, reverse=True)


def test_a_training_that_no_longer_falls_is_stopped() -> None:
    data = blobs(3, 100, 2.0)
    values = iter([5.0, 4.0, 3.9, float("nan"), 3.95, 1.0])
    stop = EarlyStop(lambda state: next(values), patience=3, least=0.2)
    assert trained(FEDAVG, MODEL, data, 9, callbacks=(stop,)).round == 5
    assert stop.best == 4


def test_a_broken_off_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """With clients' own vectors, an early stop that counts, and a choice that remembers."""
    data, algorithm = blobs(20, 600, 0.5), Scaffold(local=SOFT)
    participation = Participation(method="power-of-choice", count=5)
    path = tmp_path / "run.checkpoint"

    def run(rounds: int, resume: bool) -> tuple[State, EarlyStop]:
        clients = simulated(algorithm, MODEL, data)
        clients.reporting = True
        stop = EarlyStop(lambda state: mean_loss(MODEL, state, data), patience=100, least=0.05)
        checkpoint = Checkpoint(path, {"clients": clients, "stop": stop}, every=3)
        state = trained(
            algorithm,
            MODEL,
            data,
            rounds,
            clients=clients,
            participation=participation,
            state=checkpoint.resume() if resume else None,
            callbacks=(stop, checkpoint),
        )
        return state, stop

    whole, stopped = run(9, resume=False)
    run(5, resume=False)
    assert read_checkpoint(path).state.round == 3
    resumed, again = run(9, resume=True)
    assert resumed.round == 9
    assert whole.vectors.keys() == resumed.vectors.keys()
    for name, vector in whole.vectors.items():
        assert vector.tobytes() == resumed.vectors[name].tobytes()
    assert (stopped.best, stopped.waited) == (again.best, again.waited)


def test_an_asynchronous_training_resumes_from_its_file(tmp_path: Path) -> None:
    data, path = blobs(30, 600, 0.5), tmp_path / "run.checkpoint"
    traces = Traces.seeded(PUBLIC, SeededProfiles(spread="pareto", failure=0.1))

    def run(rounds: int, resume: bool) -> State:
        clients, flights = TimedClients(simulated(FEDAVG, MODEL, data), traces), Flights()
        checkpoint = Checkpoint(path, {"clients": clients, "flights": flights})
        start = FEDAVG.start(np.zeros(MODEL.layout.size))
        state = checkpoint.resume() if resume else start
        plan = FedBuff(concurrency=8, buffer=3)
        training = AsynchronousTraining(FEDAVG, plan, rounds, flights)
        return training.run(state, clients, PUBLIC, (checkpoint,))

    whole = run(10, resume=False)
    run(4, resume=False)
    assert run(10, resume=True).weights.tobytes() == whole.weights.tobytes()


def _state() -> State:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=100).astype(np.float32)
    return State(7, {"weights": weights, "empty": np.empty(0)})


def test_a_checkpoint_holds_formats_names_and_empty_vectors(tmp_path: Path) -> None:
    path = tmp_path / "c"
    parts = {"a": {"1.left out.change": np.arange(3.0)}, "none": {}}
    write_checkpoint(path, _state(), parts)
    saved = read_checkpoint(path)
    assert saved.state.round == 7
    assert saved.parts.keys() == parts.keys()
    for name, vector in _state().vectors.items():
        assert saved.state.vectors[name].dtype == vector.dtype
        assert np.array_equal(saved.state.vectors[name], vector)
    assert saved.parts["a"]["1.left out.change"].tolist() == [0, 1, 2]


def test_a_checkpoint_that_was_changed_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, _state(), {})
    whole = path.read_bytes()
    for at in (*range(0, len(whole), 7), len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(AtollError, match="ATL-HOR-039"):
            read_checkpoint(path)
    for cut in (b"", whole[:-1], whole + b"x", whole[:40]):
        path.write_bytes(cut)
        with pytest.raises(AtollError, match="ATL-HOR-039"):
            read_checkpoint(path)
    path.unlink()
    with pytest.raises(AtollError, match="ATL-HOR-039"):
        read_checkpoint(path)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, _state(), {}, "fedavg on digits")
    assert read_checkpoint(path, "fedavg on digits").state.round == 7
    with pytest.raises(AtollError, match="another training"):
        read_checkpoint(path, "scaffold on digits")
    stop = EarlyStop(lambda state: 0.0)
    with pytest.raises(AtollError, match="other parts"):
        Checkpoint(path, {"stop": stop}, subject="fedavg on digits").resume()

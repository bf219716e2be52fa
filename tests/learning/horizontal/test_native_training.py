"""The native epoch beside the models on NumPy: the same steps, within a stated error."""

from __future__ import annotations

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import ClientRows, LocalTraining, train
from atoll.learning.horizontal.models import kernels
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Bernoulli, Gaussian, Poisson, Softmax
from tests.learning.horizontal.tasks import simulated, trained

MODELS: dict[str, Model] = {
    "softmax": Linear(37, Softmax(10)),
    "softmax-l2": Linear(37, Softmax(3), l2=0.05),
    "gaussian": Linear(37, Gaussian()),
    "bernoulli": Linear(37, Bernoulli(), l2=0.01),
    "poisson": Linear(37, Poisson()),
    "mlp": MLP(37, (24,), Softmax(10)),
    "deep": MLP(37, (19, 8, 30), Softmax(5)),
    "regression": MLP(37, (20,), Gaussian()),
}
every = pytest.mark.parametrize("name", MODELS)
needed = pytest.mark.skipif(not kernels.available(), reason="this machine has no vector registers")


def _client(model: Model, rows: int = 93, seed: int = 0) -> ClientRows:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 37)).astype(np.float32)
    output = model.output  # type: ignore[attr-defined]
    targets = (
        generator.integers(0, output.width, rows)
        if isinstance(output, Softmax)
        else generator.integers(0, 2, rows).astype(np.float64)
    )
    return ClientRows(x, output.check(targets))


def _start(model: Model) -> np.ndarray:
    generator = np.random.default_rng(3)
    return (model.initial(generator) + 0.05 * generator.normal(size=model.layout.size)).astype(
        np.float32
    )


def _trained(model: Model, local: LocalTraining, *, native: bool) -> tuple[np.ndarray, int, float]:
    weights, generator = _start(model), np.random.default_rng(7)
    correct = None if native else lambda gradient, _: None
    steps = train(model, weights, _client(model), local, generator, correct)
    return weights, steps, generator.random()


@needed
@every
@pytest.mark.parametrize(
    "local",
    [
        LocalTraining(learning_rate=0.05, epochs=3),
        LocalTraining(learning_rate=0.05, batch_size=7, steps=9, epochs=2),
        LocalTraining(learning_rate=0.05, batch_size=None, epochs=4),
        LocalTraining(learning_rate=0.05, batch_size=31, epochs=2, steps=6),
    ],
    ids=["epochs", "steps", "whole", "even"],
)
def test_the_native_epoch_takes_the_steps_of_numpy(name: str, local: LocalTraining) -> None:
    model = MODELS[name]
    ours, steps, drawn = _trained(model, local, native=True)
    plain, expected, drawn_too = _trained(model, local, native=False)
    assert steps == expected
    # Both used the same random numbers, so that what is drawn next is the same.
    assert drawn == drawn_too
    # Stated: 2e-6 of the greatest weight for each step; float32 rounds by 6e-8.
    assert np.abs(ours - plain).max() <= 2e-6 * steps * max(1.0, np.abs(plain).max())
    assert not np.array_equal(plain, _start(model))


@needed
def test_it_is_used_where_it_applies_and_only_there() -> None:
    model = MODELS["softmax"]
    data, weights = _client(model), _start(model)

    class Other(Linear):
        """A model of another class may compute something else."""

    assert kernels.epoch(model, weights, data.rows, data.targets) is not None
    assert kernels.epoch(Other(37, Softmax(10)), weights, data.rows, data.targets) is None
    double = weights.astype(np.float64)
    assert kernels.epoch(model, double, data.rows, data.targets) is None
    assert kernels.epoch(model, weights, data.rows.astype(np.float64), data.targets) is None
    assert kernels.epoch(model, weights, np.asfortranarray(data.rows), data.targets) is None


@needed
def test_any_number_of_threads_gives_the_same_bits() -> None:
    model = MODELS["mlp"]
    algorithm = FedAvg(local=LocalTraining(learning_rate=0.05))
    data = [_client(model, 20 + 7 * i, seed=i) for i in range(30)]
    one, three = (
        trained(algorithm, model, data, 3, clients=simulated(algorithm, model, data, threads))
        for threads in (1, 3)
    )
    assert one.weights.dtype == np.float32
    assert one.weights.tobytes() == three.weights.tobytes()


@needed
@pytest.mark.parametrize("wrong", [-1, 10, 1 << 40])
def test_a_class_that_the_model_lacks_is_refused(wrong: int) -> None:
    model = MODELS["softmax"]
    data, weights = _client(model), _start(model)
    targets = data.targets.copy()
    targets[5] = wrong
    with pytest.raises(AtollError, match="ATL-HOR-057"):
        train(
            model,
            weights,
            ClientRows(data.rows, targets),
            LocalTraining(),
            np.random.default_rng(0),
        )
    assert np.array_equal(weights, _start(model))


def test_a_client_without_rows_takes_no_step() -> None:
    model = MODELS["mlp"]
    weights = _start(model)
    empty = ClientRows(np.zeros((0, 37), np.float32), np.zeros(0, np.int64))
    assert train(model, weights, empty, LocalTraining(), np.random.default_rng(0)) == 0
    assert np.array_equal(weights, _start(model))

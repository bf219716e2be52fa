"""Convolutional networks: their slopes, their blocks, and what they learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from atoll.core.errors import AtollError
from atoll.learning.horizontal import partition
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.metrics import measure_client
from atoll.learning.horizontal.models import conv
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.models.conv import ConvNet
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Gaussian, Output, Softmax
from atoll.models.network.conv import Convolution, Stage
from tests.learning.horizontal.tasks import trained

LAYERS = st.builds(
    Convolution,
    channels=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.sampled_from(["same", "valid"]),
    pooling=st.sampled_from(["none", "max", "mean"]),
)
IMAGES = st.tuples(st.integers(3, 7), st.integers(3, 7), st.integers(1, 2))


def _network(
    image: tuple[int, int, int], layers: list[Convolution], output: Output
) -> ConvNet | None:
    try:
        return ConvNet(image, tuple(layers), (4,), output)
    except AtollError:
        return None


@settings(deadline=None, max_examples=60)
@given(IMAGES, st.lists(LAYERS, min_size=1, max_size=2), st.integers(0, 2**32), st.booleans())
def test_a_gradient_is_the_derivative_of_the_loss(
    image: tuple[int, int, int], layers: list[Convolution], seed: int, classes: bool
) -> None:
    model = _network(image, layers, Softmax(3) if classes else Gaussian())
    if model is None:
        return
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=model.layout.size) * 0.5
    rows = generator.normal(size=(5, model.columns))
    targets = generator.integers(0, 3, 5)
    gradient, slope = model.gradient_of(weights), np.empty_like(weights)
    gradient(rows, targets, slope)
    ways = generator.normal(size=(4, len(weights)))
    # A ReLU's or a maximum's bend between the two losses is unlikely at so small a step.
    for way in [*ways, *np.eye(len(weights))[generator.integers(0, len(weights), 8)]]:
        step, kept = 1e-7, weights.copy()
        weights[:] = kept + step * way
        above = gradient.loss(rows, targets)
        weights[:] = kept - step * way
        below = gradient.loss(rows, targets)
        weights[:] = kept
        found = (above - below) / (2 * step)
        assert slope @ way == pytest.approx(found, rel=1e-4, abs=1e-5)
    assert gradient.each(rows, targets).mean(axis=0) == pytest.approx(slope, abs=1e-12)


def test_equal_pixels_of_a_maximum_count_once() -> None:
    layer = Convolution(channels=1, kernel=1, pooling="max")
    model = ConvNet((2, 2, 1), (layer,), (), Gaussian())
    weights, rows = np.array([2.0, 0, 1, 0]), np.full((1, 4), 3.0)
    slope = np.empty_like(weights)
    model.gradient_of(weights)(rows, np.zeros(1), slope)
    # The prediction is 2 · 3 = 6, and half its square has the slope 6 · 3 by the kernel.
    assert slope.tolist() == [18.0, 6.0, 36.0, 6.0]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_layer_is_the_convolution_of_the_definition(stride: int, padding: str) -> None:
    layer = Convolution(channels=2, kernel=3, stride=stride, padding=padding)  # type: ignore[arg-type]
    model = ConvNet((5, 6, 2), (layer,), (), Gaussian())
    generator = np.random.default_rng(1)
    weights = generator.normal(size=model.layout.size)
    image = generator.normal(size=(5, 6, 2))
    (kernel, shift), (stage,) = model.kernels(weights)[0], model.stages
    found = stage.convolve(stage.patches(image[None]), kernel, shift)[0]
    around = image
    if padding == "same":
        more = [max((-(-n // stride) - 1) * stride + 3 - n, 0) for n in (5, 6)]
        around = np.pad(image, [(m // 2, m - m // 2) for m in more] + [(0, 0)])
    filters = kernel.reshape(3, 3, 2, 2)
    for i, j in np.ndindex(*stage.convolved[:2]):
        window = around[i * stride : i * stride + 3, j * stride : j * stride + 3]
        linear = np.einsum("ijc,ijco->o", window, filters) + shift
        assert found[i, j] == pytest.approx(np.maximum(linear, 0))


def test_blocks_change_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Convolution(channels=3, pooling="max")
    model = ConvNet((6, 6, 1), (layer, layer), (), Softmax(3))
    generator = np.random.default_rng(0)
    rows, targets = generator.normal(size=(23, 36)), generator.integers(0, 3, 23)
    weights = model.initial(generator).astype(float)
    held: list[int] = []
    patches = Stage.patches

    def seen(stage: Stage, images: np.ndarray) -> np.ndarray:
        held.append(len(images))
        return patches(stage, images)

    def all_of() -> list[np.ndarray]:
        slope, at = np.empty_like(weights), model.gradient_of(weights)
        at(rows, targets, slope)
        loss = np.array([at.loss(rows, targets)])
        return [slope, loss, at.each(rows, targets), model.predict(weights, rows)]

    whole = all_of()
    monkeypatch.setattr(conv, "block_of", lambda stages: 5)
    monkeypatch.setattr(Stage, "patches", seen)
    for one, many in zip(whole, all_of(), strict=True):
        assert many == pytest.approx(one, abs=1e-12)
    assert max(held) == 5


@pytest.mark.parametrize(
    ("image", "layers"),
    [
        ((2, 8, 1), (Convolution(channels=1, kernel=3, padding="valid"),)),
        ((3, 3, 1), (Convolution(channels=1, pooling="max"),) * 2),
        ((0, 3, 1), (Convolution(channels=1),)),
        ((3, 3, 1), ()),
        ((1 << 12, 1 << 12, 1), (Convolution(channels=1),)),
    ],
)
def test_layers_that_leave_nothing_or_too_much_are_refused(
    image: tuple[int, int, int], layers: tuple[Convolution, ...]
) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-200"):
        ConvNet(image, layers, (), Gaussian())


def test_a_client_of_no_row_has_no_gradient() -> None:
    model = ConvNet((3, 3, 1), (Convolution(channels=1),), (), Softmax(3))
    weights, slope = np.ones(model.layout.size), np.ones(model.layout.size)
    model.gradient_of(weights)(np.empty((0, 9)), np.empty(0, np.int64), slope)
    assert not slope.any()
    assert model.predict(weights, np.empty((0, 9))).shape == (0, 3)


def test_it_learns_digits_of_many_clients_better_than_a_network_without_convolutions() -> None:
    rows, labels = load_digits(return_X_y=True)
    rows = (rows / 16).astype(np.float32)
    parts = partition.dirichlet(labels[::2], 10, 0.5, np.random.default_rng(2))
    data = [ClientRows(rows[::2][part], labels[::2][part]) for part in parts]
    held_out = ClientRows(rows[1::2], labels[1::2])
    layers = (Convolution(channels=8, pooling="max"), Convolution(channels=16))
    network = ConvNet((8, 8, 1), layers, (), Softmax(10))
    plain = MLP(64, (52,), Softmax(10))
    assert network.layout.size <= plain.layout.size
    local = LocalTraining(epochs=2, batch_size=10, learning_rate=0.2)

    def accuracy(model: Model) -> float:
        state = trained(FedAvg(local=local), model, data, 30)
        return measure_client(model, state.weights, held_out)[2]

    found = accuracy(network)
    assert found >= 0.95
    assert found > accuracy(plain)

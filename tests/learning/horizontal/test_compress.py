"""Codes, rotations and shared scales: what is read is what was written, in the bytes stated."""

from __future__ import annotations

import math
import tracemalloc
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, FedAvg
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.postprocess.api import Coder, Passage, Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.coding import pack, packed_bytes, unpack
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.postprocess.noise import CentralNoise
from atoll.learning.horizontal.postprocess.rotate import Rotate, hadamard
from atoll.learning.horizontal.postprocess.shared_scale import CODED, SharedScale
from atoll.learning.horizontal.sums import Update, total
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, simulated, trained

Width = Literal[1, 2, 4, 8]
CODERS: list[Coder] = [
    TopK(share=0.1),
    TopK(share=1.0),
    *(Quantise(width=width, block=64) for width in (1, 2, 4, 8)),
    Quantise(width=4, rounding="nearest", feedback=True),
]


def _passage(number: int = 0, round_: int = 0) -> Passage:
    return Passage(RoundRandom(PUBLIC, round_), np.random.default_rng(number), wire={})


def _values(size: int, seed: int = 0) -> np.ndarray:
    """Return values of which few are large, as gradients have."""
    return (np.random.default_rng(seed).normal(size=size) ** 5).astype(np.float32)


# -- codes ----------------------------------------------------------------------------------------


@given(st.integers(1, 32), st.integers(1, 200), st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_numbers_come_back_from_their_bits(width: int, count: int, seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, 1 << width, count, dtype=np.uint64)
    data = pack(numbers.astype(np.uint32), width)
    assert data.shape == (packed_bytes(count, width),)
    assert np.array_equal(unpack(data, count, width), numbers)
    with pytest.raises(ValueError, match="bytes"):
        unpack(np.append(data, np.uint8(0)), count, width)


def test_long_vectors_are_packed_in_pieces() -> None:
    numbers = np.random.default_rng(0).integers(0, 1 << 19, 200_001, dtype=np.uint32)
    assert np.array_equal(unpack(pack(numbers, 19), len(numbers), 19), numbers)


def test_bits_behind_the_last_number_are_refused() -> None:
    data = pack(np.array([1, 2, 3], np.uint32), 3)
    data[-1] |= 1
    with pytest.raises(ValueError, match="behind"):
        unpack(data, 3, 3)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("link", CODERS, ids=repr)
def test_what_is_read_is_what_was_added_up(link: Coder, size: int) -> None:
    passage = _passage()
    sent = link.client(Update({CHANGE: _values(size)}, {}), passage).vectors[CHANGE]
    assert passage.wire is not None
    data = passage.wire[CHANGE]
    assert np.array_equal(link.read(data, size), sent)
    assert len(data) == link.coded_bytes(size) == Chain((link,)).bytes(size, 1)


@pytest.mark.parametrize("link", CODERS, ids=repr)
def test_other_bytes_are_refused(link: Coder) -> None:
    passage = _passage()
    link.client(Update({CHANGE: _values(100)}, {}), passage)
    assert passage.wire is not None
    data = passage.wire[CHANGE]
    for other in (data[:-1], np.append(data, np.uint8(0)), data[:0]):
        with pytest.raises(ValueError, match="bytes"):
            link.read(other, 100)


def test_positions_that_do_not_ascend_and_wild_scales_are_refused() -> None:
    link, passage = TopK(share=0.04), _passage()
    link.client(Update({CHANGE: _values(100)}, {}), passage)
    assert passage.wire is not None
    data = passage.wire[CHANGE].copy()
    at = unpack(data[: packed_bytes(4, 7)], 4, 7)
    for wrong in (at[::-1], np.array([*at[:3], 100]), np.array([at[0], at[0], *at[2:]])):
        data[: packed_bytes(4, 7)] = pack(wrong.astype(np.uint32), 7)
        with pytest.raises(ValueError, match="ascend"):
            link.read(data, 100)
    scaled, passage = Quantise(width=8, block=64), _passage()
    scaled.client(Update({CHANGE: _values(100)}, {}), passage)
    assert passage.wire is not None
    for wild in (np.inf, np.nan, -1.0):
        data = passage.wire[CHANGE].copy()
        data[-4:] = np.array([wild], "<f4").view(np.uint8)
        with pytest.raises(ValueError, match="scale"):
            scaled.read(data, 100)


@pytest.mark.parametrize("width", [1, 4, 8])
def test_blocks_keep_large_values_from_coarsening_small_ones(width: Width) -> None:
    values = np.full(256, 1e-3, np.float32)
    values[0] = 1.0
    one, many = (Quantise(width=width, block=block) for block in (256, 64))
    errors = [
        float(np.abs(link.client(Update({CHANGE: values}, {}), _passage()).vectors[CHANGE]
                     - values)[64:].max())
        for link in (one, many)
    ]  # fmt: skip
    assert errors[1] <= 2e-3 < errors[0]


@pytest.mark.parametrize("width", [1, 2, 4])
def test_errors_that_are_fed_back_do_not_grow(width: Width) -> None:
    nearest = Quantise(width=width, block=32, rounding="nearest", feedback=True)
    links = [nearest] if width == 1 else [nearest, Quantise(width=width, block=32, feedback=True)]
    vector = _values(100).astype(float)
    for link in links:
        passage, sent = _passage(), np.zeros(100)
        for _ in range(300):
            sent += link.client(Update({CHANGE: vector}, {}), passage).vectors[CHANGE]
        left = passage.kept[f"left out.{CHANGE}"]
        assert np.allclose(sent + left, 300 * vector, rtol=1e-4)
        # Of signs in a block of 32 a round leaves out all but 1/32 of the squares, at worst.
        assert np.linalg.norm(left) < 2 * 32 * np.linalg.norm(vector)


def test_one_bit_nearest_is_the_sign_times_the_mean() -> None:
    vector = np.array([1.0, -3.0, 2.0, -2.0, 5.0, 7.0] + [0.5] * 5)
    link = Quantise(width=1, block=8, rounding="nearest")
    found = link.client(Update({CHANGE: vector}, {}), _passage()).vectors[CHANGE]
    means = np.repeat([np.abs(vector[:8]).mean(), np.abs(vector[8:]).mean()], [8, 3])
    assert np.allclose(found, np.sign(vector) * means)


# -- rotation -------------------------------------------------------------------------------------


def _matrix(size: int, link: Rotate) -> np.ndarray:
    rows = [
        link.client(Update({CHANGE: row}, {}), _passage()).vectors[CHANGE] for row in np.eye(size)
    ]
    return np.array(rows)


@pytest.mark.parametrize("size", [1, 5, 31, 32, 100, 257])
@pytest.mark.parametrize("block", [32, 1 << 20])
def test_a_rotation_is_orthogonal_and_the_aggregator_turns_it_back(size: int, block: int) -> None:
    link = Rotate(block=block)
    matrix = _matrix(size, link)
    assert np.allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    vectors = [_values(size, seed).astype(float) for seed in range(3)]
    sent = total(link.client(Update({CHANGE: v}, {}), _passage()) for v in vectors)
    assert sent is not None
    assert sent.vectors[CHANGE].shape == (link.length(size),)
    back = Chain((link,)).aggregate(sent, size, _passage()).vectors[CHANGE]
    assert np.allclose(back, sum(vectors), atol=1e-9)


def test_the_fast_transform_is_that_of_walsh_andhadamard() -> None:
    # Entry (i, j) has the sign of the bits that i and j share.
    table = np.eye(256)
    hadamard(table)
    shared = np.bitwise_count(np.arange(256)[:, None] & np.arange(256)[None])
    assert np.allclose(table, np.where(shared % 2, -1, 1) / 16)


@given(st.integers(1, 100_000), st.sampled_from([32, 1000, 1 << 14, 1 << 20]))
def test_little_is_filled_up(size: int, block: int) -> None:
    link = Rotate(block=block)
    shape = link.shape(size)
    assert size <= shape.length
    assert shape.values <= block
    # A sixteenth, and less than one value for each block that is not as long as the others.
    assert shape.length < size * (1 + 1 / 16) + 2 * shape.blocks
    assert Chain((link,)).bytes(size, 1) == 4 * shape.length


@pytest.mark.parametrize("kind", ["one value", "even", "random"])
def test_rotated_values_stay_within_reach(kind: str) -> None:
    size = 40_000
    vectors = {"one value": np.eye(1, size, 7)[0], "even": np.ones(size), "random": _values(size)}
    vector = vectors[kind] / np.linalg.norm(vectors[kind])
    link = Rotate()
    most = max(
        np.abs(link.client(Update({CHANGE: vector}, {}), _passage(0, r)).vectors[CHANGE]).max()
        for r in range(10)
    )
    assert most <= link.reach(1.0, size) < 10 / math.sqrt(size) * math.sqrt(2)
    # The bound is no idle one: within a factor of four of what occurs, but for single values.
    assert kind == "one value" or most > link.reach(1.0, size) / 4


def test_a_rotation_lowers_the_error_of_few_bits() -> None:
    vector, errors = _values(20_000), []
    for links in ((), (Rotate(),)):
        chain = Chain((*links, Quantise(width=2, block=1 << 15)))
        sent = chain.client(Update({CHANGE: vector}, {}), _passage())
        found = chain.aggregate(sent, len(vector), _passage()).vectors[CHANGE]
        errors.append(float(np.linalg.norm(found - vector)))
    assert errors[1] < 0.2 * errors[0]


def test_a_rotation_takes_the_memory_of_a_few_blocks() -> None:
    link, vector = Rotate(block=1 << 14), np.ones(1 << 20, np.float32)
    update = Update({CHANGE: vector}, {})
    link.client(update, _passage())
    tracemalloc.start()
    link.client(update, _passage())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The result, its signs in one byte each (with one copy of them), and 64 KiB at a time.
    assert peak < vector.nbytes * 1.1 + 3 * len(vector) + 10 * 4 * (1 << 14)


# -- one scale for all ----------------------------------------------------------------------------


@pytest.mark.parametrize("clients", [1, 3, 20, 1000, 1 << 20])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_codes_add_up_in_their_elements(width: Width, clients: int) -> None:
    link = SharedScale(width=width, reach=2.0, clients=clients)
    # All at the top: the greatest sum that an element must hold.
    top = Update({CHANGE: np.full(50, 2.0)}, {"weight": 2.0})
    chain = Chain((link, link.mask()))
    sent = chain.client(top, _passage())
    added = Update({n: v * clients for n, v in sent.vectors.items()}, {})
    assert all(np.abs(v.astype(np.int64)).max() < 1 << 31 for v in added.vectors.values())
    back = chain.aggregate(added, 50, _passage())
    assert np.allclose(back.vectors[CHANGE], 2.0 * clients)
    assert back.numbers == {"weight": 2.0 * clients}
    assert len(sent.vectors[CHANGE]) == link.length(50) == -(-50 // link.packed)
    assert 1 <= link.packed == 30 // link.sum_bits
    assert chain.bytes(50, 1) == sent.vectors[CHANGE].nbytes


@pytest.mark.parametrize("width", [1, 4])
def test_a_shared_scale_is_unbiased_within_its_step(width: Width) -> None:
    link = SharedScale(width=width, reach=3.0, clients=8)
    vectors = [np.random.default_rng(at).uniform(-3, 3, 200) for at in range(8)]
    chain, found, rounds = Chain((link, link.mask())), [], 500
    for round_ in range(rounds):
        sent = total(
            chain.client(Update({CHANGE: v}, {}), _passage(8 * round_ + at))
            for at, v in enumerate(vectors)
        )
        assert sent is not None
        found.append(chain.aggregate(sent, 200, _passage()).vectors[CHANGE] - sum(vectors))
    assert np.abs(found).max() <= 8 * link.step
    # A rounding error has a deviation of at most half a step: six deviations of the mean.
    assert np.abs(np.mean(found, axis=0)).max() < 6 * link.step / 2 * math.sqrt(8 / rounds)


@pytest.mark.parametrize("value", [1.001, -1.001, np.nan, np.inf])
def test_a_value_out_of_reach_is_its_owners_error(value: float) -> None:
    link = SharedScale(width=8, reach=1.0, clients=3)
    with pytest.raises(AtollError, match="ATL-HOR-120"):
        link.client(Update({CHANGE: np.array([0.0, value])}, {}), _passage())


def test_who_answered_is_counted_and_not_assumed() -> None:
    link = SharedScale(width=8, reach=1.0, clients=10)
    chain = Chain((link, link.mask()))
    sent = total(chain.client(Update({CHANGE: np.full(9, 0.5)}, {}), _passage(n)) for n in range(4))
    assert sent is not None
    found = chain.aggregate(sent, 9, _passage())
    assert np.abs(found.vectors[CHANGE] - 2).max() <= 4 * link.step
    assert CODED not in found.numbers


SHARED = SharedScale(width=8, reach=1.0, clients=10)
NOISE = CentralNoise(norm=1, multiplier=1, clients=10)


@pytest.mark.parametrize(
    ("links", "why"),
    [
        ((RandomK(share=0.5), TopK(share=0.5)), "elsewhere"),
        ((Rotate(), Quantise(feedback=True)), "elsewhere"),
        ((Quantise(), TopK(share=0.5, feedback=False)), "one way"),
        ((SHARED,), "is for masked sums"),
        ((SHARED, Mask(bound=1, clients=10)), "is for masked sums"),
        ((SHARED, RandomK(share=0.5), SHARED.mask()), "packs values"),
        ((Clip(norm=1), SHARED, NOISE, SHARED.mask()), "its own grid"),
        ((Mask(bound=1, clients=10), Rotate()), "compressed after"),
    ],
)
def test_what_does_not_go_together_is_refused(links: tuple[Postprocessor, ...], why: str) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-050") as refused:
        Chain(links)
    assert why in str(refused.value)


# -- together -------------------------------------------------------------------------------------


def test_each_link_is_undone_at_the_size_that_it_met() -> None:
    vector = _values(1000).astype(float)
    chain = Chain((Rotate(), RandomK(share=1.0), RandomK(share=0.5)))
    sent = chain.client(Update({CHANGE: vector}, {}), _passage())
    assert sent.vectors[CHANGE].shape == (chain.length(1000),)
    assert chain.length(1000) == round(Rotate().length(1000) / 2)
    found = chain.aggregate(sent, 1000, _passage()).vectors[CHANGE]
    assert found.shape == vector.shape
    # Half of the rotated values, twice as large: on average it is the vector.
    assert 0.5 < np.dot(found, vector) / np.dot(vector, vector) < 1.5


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("width", [4, 8])
def test_rotated_and_quantised_updates_train(width: Width, masked: bool) -> None:
    model, data = Linear(12, Softmax(5)), blobs(12, 500, 1.0)
    algorithm = FedAvg(local=LocalTraining(learning_rate=0.05, batch_size=10), weighting="equal")
    size, norm = model.layout.size, 2.0
    links: tuple[Postprocessor, ...] = (Rotate(), Quantise(width=width))
    if masked:
        shared = SharedScale(width=width, reach=Rotate().reach(norm, size), clients=12)
        links = (Rotate(), shared, shared.mask())
    before = mean_loss(model, trained(algorithm, model, data, 0), data)
    plain = mean_loss(model, trained(algorithm, model, data, 15), data)
    states = []
    for threads in (1, 2):
        clients = simulated(algorithm, model, data, threads)
        clients.chain = Chain((Clip(norm=norm), *links))
        states.append(trained(algorithm, model, data, 15, clients=clients))
    assert states[0].weights.tobytes() == states[1].weights.tobytes()
    assert mean_loss(model, states[0], data) < plain + 0.2 * (before - plain)

"""The mask: whole numbers on one public grid, counts exact, the same bits as a masked sum."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.clip import CLIPPED, Clip
from atoll.learning.horizontal.postprocess.compress import RandomK
from atoll.learning.horizontal.postprocess.mask import Mask, flatten, parts_of, unflatten
from atoll.learning.horizontal.sums import Update, total
from atoll.learning.horizontal.training import Round
from atoll.operators import secure_sum
from atoll.operators.secure_sum import SumInputs
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, simulated, trained

MODEL = Linear(12, Softmax(5))
LOCAL = LocalTraining(learning_rate=0.05, batch_size=10)
Bits = Literal[32, 64]


class Signer:
    """Signs by a hash with the signer's name: no test here forges one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sign(self, data: bytes) -> bytes:
        return hashlib.sha512(self._name.encode() + data).digest()

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        return Signer(name).sign(data) == signature


def _passage() -> Passage:
    return Passage(RoundRandom(PUBLIC, 0), np.random.default_rng(0))


def _updates(count: int, size: int = 500) -> list[Update]:
    generator = np.random.default_rng(count)
    return [
        Update(
            {"change": generator.uniform(-7, 7, size).astype(np.float32), "control": np.ones(3)},
            {"weight": float(generator.integers(0, 10**7)), "loss": generator.normal()},
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("ring", [32, 64])
def test_a_simulated_sum_has_the_bits_of_a_masked_one(ring: Bits) -> None:
    updates = dict(zip((f"c{i}" for i in range(7)), _updates(7), strict=True))
    link = Mask(bound=8, clients=7, ring=ring)
    sent = {n: link.client(u, _passage()) for n, u in updates.items()}
    parts = parts_of(sent["c0"])
    roles = {"hub": Role.AGGREGATOR, **dict.fromkeys(updates, Role.CLIENT)}

    def role(party: Party) -> Update | None:
        values = flatten(sent[party.name], parts) if party.name in sent else None
        inputs = SumInputs(values, Signer(party.name))
        units = secure_sum.run(party, inputs, link.parameters(parts)).units
        return None if units is None else unflatten(units, parts)

    masked = run(roles, role).check().results["hub"]
    clear = total(sent.values())
    assert clear is not None
    for name, vector in clear.vectors.items():
        assert masked.vectors[name].tobytes() == vector.tobytes()
    whole = link.aggregate(masked, 500, _passage())
    exact = total(updates.values())
    assert exact is not None
    # Counts are exact, other numbers within half a unit of 2^-20 a client.
    assert whole.numbers["weight"] == exact.numbers["weight"]
    assert abs(whole.numbers["loss"] - exact.numbers["loss"]) <= 7 / 2**21
    error = np.abs(whole.vectors["change"] - sum(u.vectors["change"] for u in updates.values()))
    assert error.max() <= 7 * (0.5 / link.form().scale + 8 * 2**-22)


@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20),
    st.sampled_from([32, 64]),
    st.integers(20, 1 << 20),
)
@settings(max_examples=100, deadline=None)
def test_counts_are_exact_in_either_ring(counts: list[int], ring: Bits, clients: int) -> None:
    link = Mask(bound=1e-3, clients=clients, ring=ring)
    sent = [link.client(Update({}, {"n": float(c)}), _passage()) for c in counts]
    added = total(sent)
    assert added is not None
    assert link.aggregate(added, 0, _passage()).numbers == {"n": float(sum(counts))}


@pytest.mark.parametrize("algorithm", [FedAvg(local=LOCAL), Scaffold(local=LOCAL)])
def test_training_under_a_mask_is_training(algorithm: Algorithm) -> None:
    data = blobs(12, 500, 1.0)
    plain = trained(algorithm, MODEL, data, 8)
    states = []
    for threads in (1, 3):
        clients = simulated(algorithm, MODEL, data, threads)
        clients.chain = Chain((Mask(bound=1000, clients=12),))
        states.append(trained(algorithm, MODEL, data, 8, clients=clients))
    assert states[0].weights.tobytes() == states[1].weights.tobytes()
    assert mean_loss(MODEL, states[0], data) < mean_loss(MODEL, plain, data) + 1e-3


def test_the_link_works_behind_clip_and_random_k() -> None:
    data = blobs(12, 500, 1.0)
    algorithm = FedAvg(local=LOCAL)
    clients = simulated(algorithm, MODEL, data)
    clients.chain = Chain((Clip(norm=200), RandomK(share=0.5), Mask(bound=200, clients=12)))
    seen: list[float] = []

    def note(done: Round) -> None:
        assert done.answers.total is not None
        seen.append(done.answers.total.numbers[CLIPPED])

    state = trained(algorithm, MODEL, data, 10, clients=clients, callbacks=(note,))
    before = mean_loss(MODEL, trained(algorithm, MODEL, data, 0), data)
    assert mean_loss(MODEL, state, data) < 0.7 * before
    assert len(seen) == 10
    assert all(count == int(count) for count in seen)


@pytest.mark.parametrize("value", [8.01, -8.01, np.inf, np.nan])
def test_a_value_out_of_range_is_its_owners_error_and_never_clipped(value: float) -> None:
    # Weighted already: 2,000 rows of 7.9 are 15,800, and that is what must be within the bound.
    with pytest.raises(AtollError, match="ATL-SUM-002"):
        Mask(bound=8, clients=5).client(Update({"v": np.array([0, value])}, {}), _passage())


@pytest.mark.parametrize("value", [2.0**40 + 1, -(2.0**41), np.inf, np.nan])
def test_a_number_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(AtollError, match="ATL-SUM-002"):
        Mask(bound=8, clients=5).client(Update({}, {"weight": value}), _passage())


def test_means_of_weighted_values_are_right() -> None:
    rows = [2000, 10, 700]
    link = Mask(bound=7.9 * 2000, clients=3)
    sent = [
        link.client(Update({"v": np.full(4, 7.9 * n)}, {"weight": float(n)}), _passage())
        for n in rows
    ]
    added = total(sent)
    assert added is not None
    whole = link.aggregate(added, 4, _passage())
    assert np.abs(whole.vectors["v"] / whole.numbers["weight"] - 7.9).max() < 1e-6


def test_noise_keeps_its_grid() -> None:
    unit = 0.003
    link = Mask(bound=30, clients=10, unit=unit)
    generator = np.random.default_rng(0)
    whole = [generator.integers(-10_000, 10_001, 50) for _ in range(10)]
    sent = [link.client(Update({"v": w * unit}, {}), _passage()) for w in whole]
    added = total(sent)
    assert added is not None
    assert np.array_equal(added.vectors["v"], sum(whole))
    with pytest.raises(AtollError, match="ATL-HOR-052"):
        link.client(Update({"v": whole[0] * unit + unit / 3}, {}), _passage())


@pytest.mark.parametrize(
    ("bound", "clients", "unit"), [(2.0**31, 2, 1.0), (1.0, 1 << 20, 1e-6), (0.1, 3, 1.0)]
)
def test_a_range_that_the_ring_cannot_hold_is_refused(
    bound: float, clients: int, unit: float
) -> None:
    with pytest.raises(AtollError, match="ATL-SUM-001"):
        Mask(bound=bound, clients=clients, unit=unit)


def test_more_clients_than_the_ring_was_made_for_are_noticed() -> None:
    link = Mask(bound=8, clients=3)
    added = total(link.client(u, _passage()) for u in _updates(4))
    assert added is not None
    with pytest.raises(AtollError, match="ATL-HOR-053"):
        link.aggregate(added, 500, _passage())


def test_an_update_of_other_parts_is_refused_on_both_sides() -> None:
    link = Mask(bound=8, clients=3)
    sent = link.client(_updates(1)[0], _passage())
    parts = parts_of(sent)
    vector = flatten(sent, parts)
    back = unflatten(vector, parts)
    assert all(np.array_equal(back.vectors[n], v) for n, v in sent.vectors.items())
    shorter = {**sent.vectors, "change": sent.vectors["change"][1:]}
    for other in (Update(shorter, {}), Update(sent.vectors, {"weight": 1.0})):
        with pytest.raises(AtollError, match="ATL-HOR-051"):
            flatten(other, parts)
    with pytest.raises(AtollError, match="ATL-HOR-051"):
        unflatten(vector[1:], parts)

"""The secure sum over channels: the same as in the clear, whoever leaves, and nothing besides."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from atoll.channel.checkpoints import NoCheckpoints
from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.channel.record import RecordTransport
from atoll.channel.world import run
from atoll.core.names import Role
from atoll.operators import secure_sum
from atoll.operators.secure_sum import SumInputs, SumParameters, SumResult
from atoll.operators.secure_sum.masked import masks, messages, scratch
from atoll.operators.secure_sum.masked import party as masked_party
from atoll.operators.secure_sum.masked.messages import Masked

if TYPE_CHECKING:
    from tests.protocols.conftest import Conformance

CLIENTS = tuple(f"c{i}" for i in range(7))
ROLES = {"hub": Role.AGGREGATOR, **dict.fromkeys(CLIENTS, Role.CLIENT)}
SIZE = 5000
VALUES = {n: np.random.default_rng(i).uniform(-3, 3, SIZE) for i, n in enumerate(CLIENTS)}
PARAMETERS = SumParameters(size=SIZE, bound=3)


class Signer:
    """Signs by a hash with the signer's name: no test here forges one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sign(self, data: bytes) -> bytes:
        return hashlib.sha512(self._name.encode() + data).digest()

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        return Signer(name).sign(data) == signature


def _role(party: Party, implementation: str = "masked") -> SumResult:
    inputs = SumInputs(VALUES.get(party.name), Signer(party.name))
    return secure_sum.run(party, inputs, PARAMETERS, implementation)


@pytest.mark.parametrize("implementation", ["ideal", "masked"])
def test_the_aggregator_gets_the_sum(implementation: str) -> None:
    world = run(ROLES, lambda party: _role(party, implementation)).check()
    result = world.results["hub"]
    assert result.survivors == CLIENTS
    scale = PARAMETERS.form(len(CLIENTS)).scale
    assert np.abs(result.total - sum(VALUES.values())).max() <= len(CLIENTS) / scale
    assert all(world.results[name].total is None for name in CLIENTS)


def test_both_implementations_give_the_same_bits() -> None:
    totals = [
        run(ROLES, partial(_role, implementation=named)).check().results["hub"].total
        for named in ("ideal", "masked")
    ]
    assert np.array_equal(*totals)


@pytest.mark.parametrize("implementation", ["ideal", "masked"])
def test_reveals_are_as_declared(conformance: Conformance, implementation: str) -> None:
    world = run(ROLES, lambda party: _role(party, implementation)).check()
    sizes = {"clients": len(CLIENTS), "size": SIZE}
    conformance.check_reveals(world, secure_sum.REVEALS[implementation], sizes, ROLES)


def test_an_own_value_out_of_range_is_refused_before_anything_is_sent() -> None:
    def role(party: Party) -> SumResult:
        values = VALUES.get(party.name)
        if party.name == "c2" and values is not None:
            values = values * 2
        return secure_sum.run(party, SumInputs(values, Signer(party.name)), PARAMETERS)

    world = run(ROLES, role)
    assert getattr(world.errors["c2"], "code", "") == "ATL-SUM-002"
    assert world.channels["c2"].counters.total(peer="hub").messages_sent <= 1


@pytest.mark.parametrize("at", range(8))
def test_the_rest_goes_on_wherever_clients_vanish(at: int) -> None:
    # Keys, roster, shares, sealed shares, vector, survivors, consent, consents.
    gone = {name: [Fault("kill", at)] for name in CLIENTS[:2]}
    world = run(ROLES, _role, faults=gone)
    result = world.results["hub"]
    # Whose vector came whole is in the sum, also if it left after that.
    expected = CLIENTS if at > 4 else CLIENTS[2:]
    assert result.survivors == expected
    scale = PARAMETERS.form(len(CLIENTS)).scale
    assert np.abs(result.total - sum(VALUES[n] for n in expected)).max() <= len(CLIENTS) / scale


def test_too_many_that_vanish_end_the_sum_for_all() -> None:
    world = run(ROLES, _role, faults={name: [Fault("kill", 4)] for name in CLIENTS[:3]})
    assert not world.results
    assert getattr(world.errors["hub"], "code", "") == "ATL-SUM-012"


def _rounds(party: Party) -> list[SumResult]:
    values = VALUES.get(party.name)
    results = []
    for round_ in range(3):
        inputs = SumInputs(None if values is None else values / (round_ + 1), Signer(party.name))
        results.append(secure_sum.run(party, inputs, PARAMETERS, round_=round_))
    return results


def test_rounds_go_on_without_a_client_that_left_in_the_second() -> None:
    # Keys, roster, shares, sealed shares, vector, survivors, consent, consents, shares: 9 a round.
    world = run(ROLES, _rounds, faults={"c3": [Fault("kill", 9 + 4)]})
    rest = tuple(n for n in CLIENTS if n != "c3")
    scale = PARAMETERS.form(len(CLIENTS)).scale
    for round_, result in enumerate(world.results["hub"]):
        expected = CLIENTS if round_ == 0 else rest
        assert result.survivors == expected
        exact = sum(VALUES[n] / (round_ + 1) for n in expected)
        assert np.abs(result.total - exact).max() <= len(CLIENTS) / scale
    assert set(world.results) == {"hub", *rest}


def test_no_two_rounds_share_a_mask() -> None:
    sent: dict[int, bytes] = {}

    def role(party: Party) -> None:
        for round_ in range(2):
            # The same vector twice: its pieces differ in every word but a few by chance.
            inputs = SumInputs(VALUES.get(party.name), Signer(party.name))
            secure_sum.run(party, inputs, PARAMETERS, round_=round_)

    world = run(ROLES, role, record=True).check()
    transcript = world.transports["c0"]
    assert isinstance(transcript, RecordTransport)
    for entry in transcript.entries:
        if entry.tag.endswith("sum/masked"):
            piece = Masked.decode(entry.body)
            sent[len(sent)] = np.asarray(piece.words).tobytes()
    one, other = (np.frombuffer(sent[i], "<u4") for i in (0, 1))
    assert (one == other).sum() < 5


def test_an_update_is_spent_before_its_vector_leaves() -> None:
    spent: list[tuple[str, int, int]] = []

    class Noting(NoCheckpoints):
        def __init__(self, party: Party) -> None:
            self._party = party

        def spend(self, round_: int) -> None:
            sent = self._party.channel.counters.total(peer="hub").messages_sent
            spent.append((self._party.name, round_, sent))

    def role(party: Party) -> SumResult:
        inputs = SumInputs(VALUES.get(party.name), Signer(party.name))
        noting = replace(party, checkpoints=Noting(party))
        return secure_sum.run(noting, inputs, PARAMETERS, round_=4)

    run(ROLES, role).check()
    # Keys and shares had left, the vector had not.
    assert sorted(spent) == [(name, 4, 2) for name in CLIENTS]


@pytest.mark.parametrize("bits", [32, 64])
def test_a_vector_of_many_pieces_lies_in_a_file(
    bits: Literal[32, 64], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Pieces of 64 KiB and files from 128 KiB on stand for those of 4 and 64 MiB.
    monkeypatch.setattr(masked_party, "CHUNK_BYTES", 1 << 16)
    monkeypatch.setattr(masked_party, "room", partial(scratch.room, in_memory=1 << 17))
    size = 100_003
    parameters = SumParameters(size=size, bound=3, bits=bits)
    stored = {}
    for i, name in enumerate(CLIENTS):
        stored[name] = np.memmap(tmp_path / name, np.float32, "w+", shape=(size,))
        stored[name][:] = np.random.default_rng(i).uniform(-3, 3, size)

    def role(party: Party) -> SumResult:
        return secure_sum.run(
            party, SumInputs(stored.get(party.name), Signer(party.name)), parameters
        )

    # The fifth piece of a vector is the last that one client sends.
    world = run(ROLES, role, faults={"c2": [Fault("kill", 8)]})
    result = world.results["hub"]
    assert isinstance(result.units.base, np.memmap)
    assert result.survivors == tuple(n for n in CLIENTS if n != "c2")
    exact = sum(stored[n].astype(float) for n in result.survivors)
    assert np.abs(result.total - exact).max() <= len(CLIENTS) / result.scale


def test_memory_does_not_grow_with_the_vector() -> None:
    form = SumParameters(size=1 << 22, bound=1).form(7)
    own = [masks.Mask(bytes([i]) * 32, negative=False) for i in range(3)]
    values = np.zeros(1 << 22, np.float32)
    tracemalloc.start()
    try:
        for piece in masked_party.pieces(values, form, own, b"v" * 64):
            assert len(piece.words) == messages.CHUNK_BYTES
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The vector has 16 MiB, a piece 4; two pieces and the blocks on their way are alive at once.
    assert peak < 2.5 * messages.CHUNK_BYTES


def test_a_sparse_sum_over_channels() -> None:
    clients = tuple(f"c{i:02}" for i in range(60))
    roles = {"hub": Role.AGGREGATOR, **dict.fromkeys(clients, Role.CLIENT)}
    asked = SumParameters(size=64, bound=3, graph="sparse", corrupt=0.05, leave=0.05)
    values = {n: np.random.default_rng(i).uniform(-3, 3, 64) for i, n in enumerate(clients)}

    def role(party: Party) -> SumResult:
        return secure_sum.run(party, SumInputs(values.get(party.name), Signer(party.name)), asked)

    world = run(roles, role, faults={"c07": [Fault("kill", 4)]})
    result = world.results["hub"]
    expected = tuple(n for n in clients if n != "c07")
    assert result.survivors == expected
    exact = sum(values[n] for n in expected)
    assert np.abs(result.total - exact).max() <= len(clients) / result.scale

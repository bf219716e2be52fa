"""The secure sum over channels: the same as in the clear, whoever leaves, and nothing besides."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.names import Role
from atoll.operators import secure_sum
from atoll.operators.secure_sum import SumInputs, SumParameters, SumResult

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

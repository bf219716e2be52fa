"""Several seats of one party over one connection: each gets what is its own, and no more."""

from __future__ import annotations

import pytest

from atoll.channel.api import Transport
from atoll.channel.memory import MemoryNetwork
from atoll.core.errors import AtollError
from atoll.core.names import Role, Scope, Seat, addresses
from atoll.flow.work.seats import each, transports

SCOPE = Scope("job", "step")
ROLES = addresses([Seat("bank", Role.GUEST), Seat("shop", Role.HOST), Seat("shop", Role.ARBITER)])
ARBITER = "shop:arbiter"


def ends() -> dict[str, Transport]:
    """Return the end of each seat of two parties, of which one has two seats."""
    network = MemoryNetwork(("bank", "shop"))

    def peers(address: str) -> list[str]:
        return sorted(ROLES.keys() - {address})

    bank = transports(network.transport("bank"), ["bank"], ROLES, peers)
    return bank | transports(network.transport("shop"), ["shop", ARBITER], ROLES, peers)


def test_each_seat_gets_what_is_its_own() -> None:
    made = ends()
    for receiver in ("shop", ARBITER):
        made["bank"].send(receiver, SCOPE, "x", receiver.encode(), 1.0)
    made["shop"].send(ARBITER, SCOPE, "x", b"inside", 1.0)
    assert made[ARBITER].receive("bank", SCOPE, "x", 1.0) == ARBITER.encode()
    assert made["shop"].receive("bank", SCOPE, "x", 1.0) == b"shop"
    assert made[ARBITER].receive("shop", SCOPE, "x", 1.0) == b"inside"


@pytest.mark.parametrize("sender", ["bank", "shop"])
def test_whoever_speaks_first_is_heard(sender: str) -> None:
    made = ends()
    made[sender].send(ARBITER, SCOPE, "x", b"first", 1.0)
    assert made[ARBITER].receive_any(("bank", "shop"), SCOPE, "x", 5.0) == (sender, b"first")
    with pytest.raises(AtollError, match="ATL-NET-002"):
        made[ARBITER].receive_any(("bank", "shop"), SCOPE, "x", 0.0)


def test_a_seat_that_fails_ends_the_waits_of_the_other_and_is_named_as_the_cause() -> None:
    made = {address: end for address, end in ends().items() if address != "bank"}

    def work(address: str) -> None:
        if address == "shop":
            raise AtollError("ATL-EXT-001", "no")
        made[address].receive("shop", SCOPE, "x", 30.0)

    with pytest.raises(AtollError) as caught:
        each(made, work)
    assert caught.value.code == "ATL-EXT-001"

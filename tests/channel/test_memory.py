from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from atoll.channel.faulty import Fault, FaultyTransport, Killed
from atoll.channel.lanes import together
from atoll.channel.memory import MemoryNetwork
from atoll.channel.party import Party
from atoll.channel.record import RecordTransport
from atoll.channel.world import run
from atoll.core.errors import AtollError, NetworkError, PeerError, UserError
from atoll.core.message import Message, blob, integer
from atoll.core.names import Role, Scope

ROLES = {"bank": Role.GUEST, "shop": Role.HOST}


@dataclass(frozen=True)
class Number(Message, kind="test.number"):
    value: int = integer(0, 1000, reveals="the number")


@dataclass(frozen=True)
class Pad(Message, kind="test.pad"):
    data: bytes = blob(1 << 27, low=0, opaque="zeros")


def ping(party: Party, rounds: int = 3) -> list[int]:
    other = next(name for name in party.roles if name != party.name)
    seen = []
    for index in range(rounds):
        if party.role == Role.GUEST:
            party.channel.send(other, "ping", Number(index))
            seen.append(party.channel.receive(other, "pong", Number).value)
        else:
            value = party.channel.receive(other, "ping", Number).value
            party.channel.send(other, "pong", Number(value + 10))
            seen.append(value)
    return seen


def test_messages_arrive_in_order_and_are_counted() -> None:
    world = run(ROLES, ping).check()
    assert world.results == {"bank": [10, 11, 12], "shop": [0, 1, 2]}
    traffic = world.channels["bank"].counters.total()
    assert (traffic.messages_sent, traffic.messages_received, traffic.rounds) == (3, 3, 3)
    other = world.channels["shop"].counters.total()
    assert traffic.bytes_sent == other.bytes_received > 0
    disclosed = world.channels["bank"].disclosures.counts
    assert disclosed == {("bank", "shop", "test.number", "value"): 3}


@pytest.mark.parametrize("victim", ["bank", "shop"])
@pytest.mark.parametrize("at", range(6))
def test_a_killed_party_is_lost_to_the_other(victim: str, at: int) -> None:
    started = time.monotonic()
    world = run(ROLES, ping, faults={victim: [Fault("kill", at)]})
    survivor = next(name for name in ROLES if name != victim)
    if survivor in world.errors:
        error = world.errors[survivor]
        assert isinstance(error, NetworkError)
        assert (error.code, error.party) == ("ATL-NET-001", victim)
        assert error.phase
    else:
        # The host had already been sent all that it waited for.
        assert survivor in world.results
        assert at == 5
    assert time.monotonic() - started < 10, "virtual time must not be waited for"


def test_a_fault_may_count_the_messages_of_a_tag_alone() -> None:
    """The third ``pong`` is the sixth message of either party."""
    world = run(ROLES, ping, faults={"bank": [Fault("kill", 2, tag="pong")]})
    assert isinstance(world.errors["bank"], Killed)
    transport = world.transports["bank"]
    assert isinstance(transport, FaultyTransport)
    assert transport.passed == 6
    run(ROLES, ping, faults={"bank": [Fault("kill", 3, tag="pong")]}).check()


def test_a_lost_message_ends_in_a_deadline_not_a_hang() -> None:
    world = run(ROLES, ping, faults={"bank": [Fault("drop", 2)]})
    codes = {error.code for error in world.errors.values() if isinstance(error, AtollError)}
    assert "ATL-NET-002" in codes
    assert codes <= {"ATL-NET-002", "ATL-NET-004"}


@pytest.mark.parametrize("kind", ["truncate", "corrupt"])
def test_a_damaged_message_is_refused(kind: str) -> None:
    world = run(ROLES, ping, faults={"bank": [Fault(kind, 0)]})  # type: ignore[arg-type]
    error = world.errors["shop"]
    assert isinstance(error, PeerError)
    assert error.code in {"ATL-COD-001", "ATL-COD-002"}
    failure = world.errors["bank"]
    assert isinstance(failure, PeerError)
    assert failure.code == "ATL-NET-004"
    assert failure.phase


def test_reordering_keeps_every_message() -> None:
    def entry(party: Party) -> list[int]:
        if party.role == Role.GUEST:
            for value in range(4):
                party.channel.send("shop", "n", Number(value))
            return []
        return [party.channel.receive("bank", "n", Number).value for _ in range(4)]

    world = run(ROLES, entry, faults={"bank": [Fault("reorder", 1)]}).check()
    assert world.results["shop"] == [0, 2, 1, 3]
    world = run(ROLES, entry, faults={"bank": [Fault("delay", 0, count=2)]}).check()
    assert world.results["shop"] == [1, 2, 0, 3]
    world = run(ROLES, entry, faults={"bank": [Fault("duplicate", 0)]}).check()
    assert world.results["shop"] == [0, 0, 1, 2]


def test_a_peer_that_left_is_told_apart_from_one_that_died() -> None:
    def entry(party: Party) -> None:
        if party.role == Role.GUEST:
            party.channel.receive("shop", "never", Number)

    world = run(ROLES, entry)
    error = world.errors["bank"]
    assert isinstance(error, NetworkError)
    assert error.code == "ATL-NET-003"


def test_receive_any_tells_who_sent() -> None:
    roles = {**ROLES, "mill": Role.HOST}

    def entry(party: Party) -> set[str]:
        if party.role == Role.HOST:
            party.channel.send("bank", "n", Number(1))
            return set()
        return {party.channel.receive_any(party.hosts, "n", Number)[0] for _ in party.hosts}

    assert run(roles, entry).check().results["bank"] == {"mill", "shop"}


def test_lanes_do_not_meet_and_time_still_jumps() -> None:
    roles = {**ROLES, "mill": Role.HOST}

    def entry(party: Party) -> object:
        if party.role == Role.HOST:
            lane = party.at(party.name)
            lane.channel.send("bank", "n", Number(len(party.name)))
            return lane.channel.receive("bank", "n", Number).value

        def exchange(host: str) -> Callable[[Party], int]:
            def piece(lane: Party) -> int:
                value = lane.channel.receive(host, "n", Number).value
                lane.channel.send(host, "n", Number(value + 1))
                return value

            return piece

        return together(party, {host: exchange(host) for host in party.hosts})

    world = run(roles, entry).check()
    assert world.results == {"bank": {"mill": 4, "shop": 4}, "mill": 5, "shop": 5}
    killed = run(roles, entry, faults={"mill": [Fault("kill", 0)]})
    error = killed.errors["bank"]
    assert isinstance(error, NetworkError)
    assert (error.code, error.party) == ("ATL-NET-001", "mill")


def test_too_large_a_message_is_refused_before_it_leaves() -> None:
    def entry(party: Party) -> None:
        if party.role == Role.GUEST:
            party.channel.send("shop", "pad", Pad(bytes((64 << 20) + 1)))

    error = run(ROLES, entry).errors["bank"]
    assert isinstance(error, UserError)
    assert error.code == "ATL-NET-005"


def test_transcripts_hold_both_directions() -> None:
    world = run(ROLES, ping, record=True).check()
    bank, shop = world.transports["bank"], world.transports["shop"]
    assert isinstance(bank, RecordTransport)
    assert isinstance(shop, RecordTransport)
    sent = [entry.body for entry in bank.entries if entry.direction == "sent"]
    received = [entry.body for entry in shop.entries if entry.direction == "received"]
    assert sent == received
    assert len(sent) == 3


def test_the_ideal_world_is_refused_outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOLL_INSECURE_SIMULATION")
    with pytest.raises(AtollError) as caught:
        run(ROLES, ping)
    assert caught.value.code == "ATL-SET-001"


def test_what_a_party_sent_before_it_failed_is_heard_first() -> None:
    network = MemoryNetwork(tuple(ROLES))
    bank, shop = network.transport("bank"), network.transport("shop")
    scope = Scope("job", "task", 0)
    shop.send("bank", scope, "tag", b"last words", 1.0)
    shop.abort("ATL-TOS-002", "toss")
    assert bytes(bank.receive("shop", scope, "tag", 1.0)) == b"last words"
    with pytest.raises(PeerError, match="ATL-NET-004") as caught:
        bank.receive("shop", scope, "tag", 1.0)
    assert caught.value.phase == "toss"

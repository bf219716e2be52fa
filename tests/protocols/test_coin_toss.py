"""The coin toss's conformance suite: every implementation, and parties that cheat."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.channel.world import World, run
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.operators import coin_toss
from atoll.operators.coin_toss.commit.core import Toss
from atoll.operators.coin_toss.commit.messages import Commitment, Opening
from atoll.operators.coin_toss.relayed.messages import Commitments, SignedOpenings
from atoll.operators.setting import Setting

if TYPE_CHECKING:
    from tests.protocols.conftest import Conformance

PAIR = {"bank": Role.GUEST, "shop": Role.HOST}
THREE = {**PAIR, "mill": Role.HOST}
IMPLEMENTATIONS = ["ideal", "commit"]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_all_parties_get_the_same_new_seed(implementation: str) -> None:
    worlds = [run(THREE, lambda p: coin_toss.run(p, implementation)).check() for _ in range(2)]
    seeds = [set(world.results.values()) for world in worlds]
    assert [len(found) for found in seeds] == [1, 1]
    assert seeds[0] != seeds[1]
    assert all(len(seed) == 32 for found in seeds for seed in found)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_cost_and_reveals_are_as_declared(conformance: Conformance, implementation: str) -> None:
    world = run(PAIR, lambda party: coin_toss.run(party, implementation)).check()
    conformance.check_cost(world, coin_toss.COSTS[implementation], _between(PAIR))
    # "Everyone" is each receiver; in the ideal form the party that draws receives nothing.
    ways = [("guest", "host"), ("host", "guest")][: 1 if implementation == "ideal" else 2]
    declared = [
        replace(reported, sender=sender, receiver=receiver)
        for reported in coin_toss.REVEALS[implementation]
        for sender, receiver in ways
    ]
    conformance.check_reveals(world, declared, {})


def _between(roles: Mapping[str, Role]) -> Callable[[str, str], dict[str, int | list[int]]]:
    return lambda sender, receiver: {"first": int(sender == min(roles))}


@pytest.mark.parametrize("implementation", ["ideal", "commit", "fixed"])
def test_every_edge_of_three_costs_as_declared(
    conformance: Conformance, implementation: str
) -> None:
    number = 7 if implementation == "fixed" else None
    world = run(THREE, lambda party: coin_toss.run(party, implementation, number)).check()
    conformance.check_cost(world, coin_toss.COSTS[implementation], _between(THREE), THREE)


def toss_with_liar(conformance: Conformance, kind: type[Message], change: Any) -> World:
    lie = conformance.instead(kind, change)

    def entry(party: Party) -> bytes:
        return coin_toss.run(conformance.lying(party, lie) if party.name == "shop" else party)

    return run(PAIR, entry)


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        (Opening, lambda m: [replace(m, value=bytes(32))], "ATL-TOS-001"),
        (Opening, lambda m: [replace(m, opening=bytes(32))], "ATL-TOS-001"),
        (Opening, lambda m: [replace(m, seen=bytes(32))], "ATL-TOS-002"),
        (Commitment, lambda m: [replace(m, digest=bytes(32))], "ATL-TOS-001"),
        (Opening, lambda m: [Commitment(bytes(32))], "ATL-COD-002"),
    ],
)
def test_lies_are_refused(
    conformance: Conformance, kind: type[Message], change: Any, code: str
) -> None:
    world = toss_with_liar(conformance, kind, change)
    assert conformance.code(world, "bank") == code
    assert world.errors.get("bank") is not None
    assert "bank" not in world.results


def test_a_commitment_cannot_be_copied() -> None:
    # The copier repeats the other's messages; its name makes the same opening another hash.
    one, other = Toss(bytes(32), "bank", b"b" * 64), Toss(bytes(32), "shop", b"s" * 64)
    one.committed("shop", one.commit())
    opening = one.open()
    with pytest.raises(Exception, match="ATL-TOS-001"):
        one.opened("shop", opening)
    other.committed("bank", one.commit())
    with pytest.raises(Exception, match="ATL-TOS-002"):
        other.opened("bank", opening)


def test_another_session_is_refused() -> None:
    one, other = Toss(bytes(32), "bank", b"b" * 64), Toss(b"\1" * 32, "shop", b"s" * 64)
    one.committed("shop", other.commit())
    other.committed("bank", one.commit())
    with pytest.raises(Exception, match="ATL-TOS-001"):
        one.opened("shop", other.open())


def test_different_commitments_to_different_parties_are_noticed() -> None:
    tosses = {name: Toss(bytes(32), name, name.encode() * 16) for name in ("bank", "shop", "mill")}
    false = Toss(bytes(32), "mill", b"f" * 64)
    for name, toss in tosses.items():
        for peer, sender in tosses.items():
            if name != peer:
                toss.committed(peer, sender.commit())
    tosses["shop"].committed("mill", false.commit())
    with pytest.raises(Exception, match="ATL-TOS-002"):
        tosses["bank"].opened("shop", tosses["shop"].open())


@pytest.mark.parametrize("kind", ["kill", "drop", "truncate"])
def test_a_fault_at_any_message_ends_all(kind: Any) -> None:
    for at in range(4 if kind == "kill" else 2):
        world = run(THREE, coin_toss.run, faults={"shop": [Fault(kind, at)]})
        assert {"bank", "mill"} <= set(world.errors), (kind, at)
        assert set(world.results) | set(world.errors) == set(THREE)


def test_a_fixed_seed_follows_from_the_number_and_nothing_is_sent(
    conformance: Conformance,
) -> None:
    def seeds(number: int) -> set[bytes]:
        chosen = coin_toss.choose(Setting(THREE), number)
        world = run(THREE, lambda party: coin_toss.run(party, chosen, number)).check()
        conformance.check_cost(world, coin_toss.COSTS["fixed"], {}, THREE)
        conformance.check_reveals(world, coin_toss.REVEALS["fixed"], {})
        return set(world.results.values())

    # A list of two texts and a small number in canonical msgpack.
    whole = b"\x93\xb2atoll/coin-toss/v1\xa5fixed\x07"
    assert seeds(7) == {hashlib.sha256(whole).digest()}
    assert seeds(7) != seeds(8)
    assert len(seeds(0) | seeds((1 << 63) - 1)) == 2


def test_a_number_and_a_toss_exclude_each_other(conformance: Conformance) -> None:
    for implementation, number in (("fixed", None), ("commit", 7), ("ideal", 7)):
        chosen = partial(coin_toss.run, implementation=implementation, number=number)
        world = run(PAIR, chosen)
        assert conformance.code(world, "bank") == conformance.code(world, "shop") == "ATL-TOS-003"
    pair = Setting(PAIR)
    assert (coin_toss.choose(pair), coin_toss.choose(pair, 0)) == ("commit", "fixed")


def test_a_plan_warns_of_a_fixed_seed_alone() -> None:
    assert coin_toss.warnings(None) == ()
    (text,) = coin_toss.warnings(0)
    assert "seed 0" in text


def test_unknown_names_are_refused(conformance: Conformance) -> None:
    world = run(PAIR, lambda party: coin_toss.run(party, "dice"))
    assert conformance.code(world, "bank") == "ATL-TOS-003"


# -- through a hub ------------------------------------------------------------------------------

STAR = {"hub": Role.AGGREGATOR, "one": Role.CLIENT, "two": Role.CLIENT, "three": Role.CLIENT}


def relayed(party: Party) -> bytes:
    peers = tuple(sorted(STAR.keys() - {"hub"})) if party.name == "hub" else ("hub",)
    return coin_toss.run(replace(party, reachable=peers), "relayed")


def test_parties_of_a_star_get_the_same_new_seed(conformance: Conformance) -> None:
    worlds = [run(STAR, relayed).check() for _ in range(2)]
    seeds = [set(world.results.values()) for world in worlds]
    assert [len(found) for found in seeds] == [1, 1]
    assert seeds[0] != seeds[1]

    def between(sender: str, receiver: str) -> dict[str, int | list[int]]:
        leaf, hub = int(receiver == "hub"), int(sender == "hub")
        names = sum(len(name) + 1 for name in STAR)
        return {"leaf": leaf, "hub": hub, "parties": len(STAR), "names": names}

    conformance.check_cost(worlds[0], coin_toss.COSTS["relayed"], between, STAR)
    ways = [("client", "aggregator"), ("aggregator", "client")]
    declared = [
        replace(reported, sender=sender, receiver=receiver)
        for reported, (sender, receiver) in zip(coin_toss.REVEALS["relayed"], ways, strict=True)
    ]
    conformance.check_reveals(worlds[0], declared, {"parties": len(STAR)}, STAR)
    for name in ("one", "two", "three"):
        sent = worlds[0].channels[name].counters.snapshot()
        assert {peer for peer, _, _ in sent} == {"hub"}


def hub_lies(conformance: Conformance, kind: type[Message], change: Any) -> World:
    lie = conformance.instead(kind, change)

    def entry(party: Party) -> bytes:
        return relayed(conformance.lying(party, lie) if party.name == "hub" else party)

    return run(STAR, entry)


def other(entries: tuple[bytes, ...], at: int) -> tuple[bytes, ...]:
    return (*entries[:at], bytes(len(entries[at])), *entries[at + 1 :])


@pytest.mark.parametrize(
    ("kind", "change", "codes"),
    [
        # The hub is the first by name. It finds this out by itself, in what the others saw.
        (Commitments, lambda m: [replace(m, names=m.names[1:])], {"ATL-TOS-004"}),
        (Commitments, lambda m: [replace(m, digests=m.digests[1:])], {"ATL-TOS-004"}),
        (Commitments, lambda m: [replace(m, digests=other(m.digests, 0))], {"ATL-NET-004"}),
        (Commitments, lambda m: [replace(m, names=("x", *m.names[1:]))], {"ATL-TOS-004"}),
        (SignedOpenings, lambda m: [replace(m, values=other(m.values, 0))], {"ATL-TOS-001"}),
        (SignedOpenings, lambda m: [replace(m, openings=other(m.openings, 0))], {"ATL-TOS-001"}),
        (
            SignedOpenings,
            lambda m: [replace(m, signatures=other(m.signatures, 0))],
            {"ATL-TOS-002"},
        ),
        (SignedOpenings, lambda m: [replace(m, signatures=m.signatures[1:])], {"ATL-TOS-004"}),
    ],
)
def test_a_hub_that_lies_is_found_out(
    conformance: Conformance, kind: type[Message], change: Any, codes: set[str]
) -> None:
    world = hub_lies(conformance, kind, change)
    found = {conformance.code(world, name) for name in ("one", "three", "two")}
    assert found & codes
    assert not {"one", "two", "three"} & world.results.keys()


def test_a_hub_cannot_pass_on_another_commitment_of_the_receiver(
    conformance: Conformance,
) -> None:
    def change(message: Commitments) -> list[Message]:
        return [replace(message, digests=other(message.digests, message.names.index("one")))]

    world = hub_lies(conformance, Commitments, change)
    assert conformance.code(world, "one") == "ATL-TOS-004"
    assert "one" not in world.results

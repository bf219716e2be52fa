"""Keys of seats: who vouches for them, and what a hub can do to them."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from atoll.channel import world
from atoll.channel.identities import NoIdentities
from atoll.channel.party import Party
from atoll.core.errors import AtollError, InternalError
from atoll.core.names import Role
from atoll.flow.work.greeting import Meeting, Met, greet
from atoll.flow.work.messages import Hello, Roster
from atoll.flow.work.seat_keys import KeyScope, SeatKey, Vouched
from atoll.jobs.approval import PrivateKey, key_fingerprint
from tests.flow.work.test_execute import codes

NODES: dict[str, PrivateKey] = {
    "hub": ec.generate_private_key(ec.SECP256R1()),
    "one": ec.generate_private_key(ec.SECP256R1()),
    "two": Ed25519PrivateKey.generate(),
}
SCOPE = KeyScope(
    "job", "plan", "step", 1, {n: key_fingerprint(k.public_key()) for n, k in NODES.items()}
)
ROLES = {"hub": Role.AGGREGATOR, "one": Role.CLIENT, "two": Role.CLIENT}


def issued() -> dict[str, SeatKey]:
    return {name: SCOPE.issue([name], node)[name] for name, node in NODES.items()}


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def test_a_seat_signs_and_all_others_can_check() -> None:
    keys = issued()
    shown = {name: key.vouched() for name, key in keys.items()}
    one, two = (SCOPE.identities(keys[name], shown) for name in ("one", "two"))
    signature = one.sign(b"text")
    assert two.verify("one", b"text", signature)
    assert not two.verify("two", b"text", signature)
    assert not two.verify("one", b"other", signature)
    assert not two.verify("one", b"text", signature[:-1])
    assert not two.verify("nobody", b"text", signature)


@pytest.mark.parametrize(
    "changed",
    [{"job": "other"}, {"plan": "other"}, {"step": "other"}, {"attempt": 2}, {"certificates": {}}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_key_holds_for_one_attempt_of_one_plan(changed: dict[str, object]) -> None:
    vouched = issued()["one"].vouched()
    assert SCOPE.check("one", vouched) == vouched.key
    with refused("ATL-WRK-015"):
        dataclasses.replace(SCOPE, **changed).check("one", vouched)  # type: ignore[arg-type]


def test_a_key_of_another_seat_node_or_none_is_refused() -> None:
    keys = {name: key.vouched() for name, key in issued().items()}
    one, two = keys["one"], keys["two"]
    for seat, vouched in (
        ("two", one),
        ("one:host", one),
        ("one", one._replace(key=two.key)),
        ("one", one._replace(signer=two.signer)),
        ("one", one._replace(signature=two.signature)),
        ("one", one._replace(signer=b"no key")),
        ("one", Vouched()),
    ):
        with refused("ATL-WRK-015"):
            SCOPE.check(seat, vouched)


def test_the_secret_key_is_not_printed() -> None:
    key = issued()["one"]
    assert key.private not in repr(key)
    assert key.private not in str(SCOPE.identities(key, {}))


def test_without_keys_nothing_is_signed() -> None:
    party = world.run({"one": Role.CLIENT}, lambda party: party).check().results["one"]
    bare = dataclasses.replace(party, identities=NoIdentities())
    with pytest.raises(InternalError):
        bare.identities.sign(b"")
    with pytest.raises(InternalError):
        bare.identities.verify("one", b"", b"")


def hello(key: SeatKey) -> Hello:
    nonce = Ed25519PrivateKey.generate().private_bytes_raw()[:16]
    return Hello("job", "plan", "step", 1, "sum", "1", "code", nonce, (), (), *key.vouched())


def meet(lie: bool) -> world.World:
    """Let a hub and two clients meet; one that lies puts a key of its own in place of one's."""
    keys = issued()

    def seat(party: Party) -> Met:
        hub = Meeting(party, "hub", {})
        found = greet(hub, hello(keys[party.name]), 5.0)
        SCOPE.identities(keys[party.name], found.vouched)
        return found

    def hub(party: Party) -> Met:
        if not lie:
            return seat(party)
        own, mine = hello(keys["hub"]), SCOPE.issue(["one"], NODES["hub"])["one"].vouched()
        for name in ("one", "two"):
            party.channel.send(name, "hello", own)
        found = {name: party.channel.receive(name, "hello", Hello) for name in ("one", "two")}
        found["hub"] = own
        seats = tuple(sorted(found))
        shown = [mine if name == "one" else found[name].vouched for name in seats]
        nonces = tuple(found[name].nonce for name in seats)
        roster = Roster(seats, nonces, 0, b"", *(tuple(part) for part in zip(*shown, strict=True)))
        for name in ("one", "two"):
            party.channel.send(name, "roster", roster)
        return Met({}, None, {})

    return world.run(ROLES, {"hub": hub, "one": seat, "two": seat})


def test_all_hold_the_same_keys_in_the_end() -> None:
    found = meet(lie=False).check().results
    assert found["one"].vouched == found["two"].vouched == found["hub"].vouched
    assert found["one"].vouched.keys() == ROLES.keys()


def test_a_hub_cannot_put_a_key_of_its_own_in_place_of_a_clients() -> None:
    assert codes(meet(lie=True))["two"] == "ATL-WRK-015"

"""Liars at the connection: keys that were rotated away, authorities that speak for others or end.

The honest party is a gateway as a node runs it, over real TLS on loopback.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from atoll.channel.grpc import GatewayTransport
from atoll.channel.identity import (
    Identity,
    Newest,
    certificates,
    distrust,
    init_party,
    load_party,
    note_newest,
    renew,
    trust,
)
from tests.channel.grpc.hostile import client_context, message, parse
from tests.channel.grpc.nodes import Node, nodes, served, until, workers
from tests.channel.grpc.test_gateway_streams import greet
from tests.channel.grpc.world import LONG, SCOPE, Authority, refused, text

FORMER = timedelta(hours=-2)
SHOP = certificates.dns_name("shop")


class World:
    """A bank that is honest, a shop that has rotated its key, and a thief with the key before."""

    def __init__(self, bank: Node, shop: Node, thief: Node, authority: bytes) -> None:
        self.bank, self.shop, self.thief = bank, shop, thief
        self.authority = authority
        self.seen: list[tuple[str, Newest]] = []
        bank.gateway.noticed = lambda party, newest: self.seen.append((party, newest))

    def greet(self) -> None:
        """Have the true shop call the bank, as its node does after a rotation."""
        with served(self.bank.gateway, lambda call: b"hello"):
            self.shop.gateway.call("bank", "ping", b"", LONG)

    def refusals(self) -> int:
        return int(self.bank.gateway.counters()["refused"].get("ATL-NET-049", 0))


@contextmanager
def rotated() -> Iterator[World]:
    shop, bank = Authority("shop"), Authority("bank")
    old = shop.identity("shop", [bank], begins=FORMER)
    new = shop.identity("shop", [bank])
    with (
        nodes(bank.identity("bank", [shop]), new) as (honest, true),
        nodes(old) as (thief,),
    ):
        thief.gateway.set_peer("bank", bank.pem, honest.address)
        yield World(honest, true, thief, shop.pem)


def test_a_stolen_key_dials_in_after_the_rotation() -> None:
    """Lie: I am the shop, with a key that the shop rotated away and a certificate in its period.

    Rule: a key older than one that the party has shown since is refused (ATL-NET-049), at once.
    """
    with rotated() as world:
        with served(world.bank.gateway, lambda call: call.party.encode()):
            # What the thief may do until the shop has spoken with the bank: stated as its gain.
            assert text(world.thief.gateway.call("bank", "k", b"", LONG)) == "shop"
        world.greet()
        with refused("ATL-NET-016", "ATL-NET-046"):
            world.thief.gateway.call("bank", "k", b"", LONG)
        with refused("ATL-NET-016"):
            world.thief.gateway.call("bank", "k", b"", LONG)
        until(world.refusals)
        world.greet()


def test_a_stolen_key_keeps_the_stream_that_it_has() -> None:
    """Lie: a worker's stream, opened with the stolen key before the rotation, goes on after it.

    Rule: connections with an older key end the moment the newer one is shown.
    """
    with rotated() as world, stream(world.thief, world.bank) as (ours, theirs):
        greet(ours, theirs)
        assert world.bank.gateway.counters()["peers"]["shop"]["relays_open"] == 1
        world.greet()
        until(lambda: not world.bank.gateway.counters()["peers"]["shop"]["relays_open"])
        until(world.refusals)
        assert world.bank.gateway.counters()["peers"]["shop"]["relays_total"] == 1


@contextmanager
def stream(thief: Node, bank: Node) -> Iterator[tuple[GatewayTransport, GatewayTransport]]:
    """Start workers of which the thief's alone dials."""
    thief.register("job", "bank")
    bank.register("job", "shop")
    ours, theirs = thief.worker("job", {"bank": True}), bank.worker("job", {"shop": False})
    try:
        yield ours, theirs
    finally:
        ours.abort("ATL-INT-001", "test")
        theirs.abort("ATL-INT-001", "test")


def test_a_stolen_key_serves_after_the_rotation() -> None:
    """Lie: the shop's name leads to the thief now, which answers the bank's calls as the shop.

    Rule: as for who dials in; the bank sends nothing (ATL-NET-049).
    """
    with rotated() as world, served(world.thief.gateway, lambda call: b"yours truly"):
        world.bank.gateway.set_peer("shop", world.authority, world.thief.address)
        assert text(world.bank.gateway.call("shop", "k", b"", LONG)) == "yours truly"
        world.greet()
        with refused("ATL-NET-049", "ATL-NET-046"):
            world.bank.gateway.call("shop", "k", b"secret", LONG)
        with refused("ATL-NET-049"):
            world.bank.gateway.call("shop", "k", b"secret", LONG)


def test_an_older_certificate_is_replayed_to_a_node_that_was_restarted() -> None:
    """Lie: after the bank's restart, or with what an older pin says, the old key is the newest.

    Rule: the newest certificate is kept durably, and an older one never takes its place.
    """
    with rotated() as world:
        world.greet()
        until(lambda: world.seen)
        party, newest = world.seen[-1]
        assert party == "shop"
        old = certificates.read_chain(world.thief.identity.certificate)[0]
        assert newest.ended(Newest.of(old))
        world.bank.gateway.close()
        world.bank.gateway = world.bank.start()
        world.bank.gateway.set_peer("shop", world.authority, None, newest)
        world.bank.gateway.set_peer("shop", world.authority, None, Newest.of(old))
        world.bank.gateway.set_peer("shop", world.authority, None, None)
        world.thief.gateway.set_peer("bank", world.bank.identity.ca, world.bank.address)
        with refused("ATL-NET-016"):
            world.thief.gateway.call("bank", "k", b"", LONG)


def test_what_is_pinned_only_grows(tmp_path: Path) -> None:
    """Lie: the shop is forgotten and pinned once more, so that its old key counts again.

    Rule: which key of an authority was the newest outlives the trust (ATL-PTY-015 for documents).
    """
    shop = init_party(tmp_path / "shop", "shop")
    init_party(tmp_path / "bank", "bank")
    trust(tmp_path / "bank", "shop", shop.ca)
    new = renew(tmp_path / "shop")
    one, other = (
        Newest.of(certificates.read_chain(identity.certificate)[0]) for identity in (shop, new)
    )
    note_newest(tmp_path / "bank", "shop", other)
    note_newest(tmp_path / "bank", "shop", one)
    distrust(tmp_path / "bank", "shop")
    trust(tmp_path / "bank", "shop", shop.ca)
    bank = load_party(tmp_path / "bank")
    assert bank.peers["shop"].newest == other
    bank.public_key("shop", new.certificate)
    for kept in (False, True):
        with refused("ATL-PTY-015"):
            bank.public_key("shop", shop.certificate, kept=kept)


@pytest.mark.parametrize("who", ["dialler", "listener"])
def test_a_connection_outlives_the_authority_behind_it(who: str) -> None:
    """Lie: a certificate for 30 days, by an authority that ends in seconds, holds its connection.

    Rule: a connection ends with the first certificate that it hangs on (ATL-NET-013), the pinned
    authority's among them, at both ends.
    """
    brief, bank = Authority("shop", ends=timedelta(seconds=4)), Authority("bank")
    with (
        nodes(brief.identity("shop", [bank]), bank.identity("bank", [brief])) as (shop, honest),
        workers(*((shop, honest) if who == "dialler" else (honest, shop))) as (ours, theirs),
    ):
        ours.send(theirs.party, SCOPE, "greeting", b"", LONG)
        theirs.receive(ours.party, SCOPE, "greeting", LONG)
        until(lambda: honest.gateway.counters()["refused"].get("ATL-NET-013"))
        until(lambda: not honest.gateway.counters()["peers"]["shop"]["relays_open"])


def test_one_partners_authority_certifies_another() -> None:
    """Lie: I am the shop; the mill's authority, which the bank pins for the mill, says so.

    Rule: one pinned authority a party (ATL-NET-011), for who dials and for who is dialled.
    """
    shop, bank, mill = Authority("shop"), Authority("bank"), Authority("mill")
    chain, key = mill.issue([x509.DNSName(SHOP)])
    posing = Identity("shop", chain, mill.pem, key, mill.identity("mill", [bank]).peers)
    with nodes(bank.identity("bank", [shop, mill])) as (honest,), nodes(posing) as (liar,):
        honest.gateway.set_peer("shop", shop.pem, liar.address)
        honest.gateway.set_peer("mill", mill.pem, None)
        liar.gateway.set_peer("bank", bank.pem, honest.address)
        with refused("ATL-NET-016"):
            liar.gateway.call("bank", "k", b"", LONG)
        until(lambda: honest.gateway.counters()["refused"].get("ATL-NET-011"))
        with refused("ATL-NET-011"):
            honest.gateway.call("shop", "k", b"", LONG)


@pytest.mark.parametrize("name", ["sh0p", "shop-", "xn--shp-0ed", "shop.atoll.internal.evil"])
def test_a_look_alike_name(name: str) -> None:
    """Lie: a certificate by the shop's own authority for a name that reads like another's.

    Rule: exactly one dNSName, compared whole and with the pin of that party (ATL-NET-012).
    """
    shop, bank = Authority("shop"), Authority("bank")
    chain, key = shop.issue([x509.DNSName(f"{name}.atoll.internal")], common_name=SHOP)
    with nodes(bank.identity("bank", [shop])) as (honest,):
        honest.gateway.set_peer("shop", shop.pem, None)
        assert is_rejected(honest, Identity("shop", chain, shop.pem, key), b"h2")
        until(lambda: honest.gateway.counters()["refused"].get("ATL-NET-012"))


def test_a_stream_from_anothers_name() -> None:
    """Lie: a stream over the mill's connection that says it comes from the shop.

    Rule: ``from`` is the certificate's party (ATL-NET-017).
    """
    with nodes("bank", "shop", "mill") as (honest, _, liar):
        honest.register("job", "shop", "mill")
        line = connected(honest, liar.identity, "atoll-relay/1")
        route = message("job", "shop", "bank")
        line.sendall(len(route).to_bytes(4, "big") + route)
        size = int.from_bytes(line.recv(4), "big")
        assert parse(line.recv(size)) == {1: b"ATL-NET-017"}
        line.close()
        assert honest.gateway.counters()["refused"] == {"ATL-NET-017": 1}


def connected(node: Node, identity: Identity, protocol: str) -> ssl.SSLSocket:
    context = client_context(identity)
    context.set_alpn_protocols([protocol])
    host, port = node.address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=LONG)
    name = certificates.dns_name(node.party)
    return context.wrap_socket(plain, server_hostname=name)


def is_rejected(node: Node, identity: Identity, protocol: bytes) -> bool:
    """Return whether the node ends the connection before anything is said."""
    with (
        suppress(ssl.SSLError, ConnectionError),
        connected(node, identity, protocol.decode()) as line,
    ):
        return not line.recv(1)
    return True

"""Whose certificate is accepted: PROTOCOLS 11, in both directions."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from atoll.channel.grpc import GrpcTransport
from atoll.channel.identity import Identity, Peer, certificates
from atoll.core.errors import AtollError
from tests.channel.grpc.hostile import Hostile, client_context, load
from tests.channel.grpc.world import CALM, LONG, SCOPE, Authority, identities, refused

SHOP = x509.DNSName("shop.atoll.internal")
PAST = {"begins": timedelta(days=-2), "ends": timedelta(days=-1)}
FUTURE = {"begins": timedelta(days=1), "ends": timedelta(days=2)}


class Careless(Identity):
    """A party that does not look at its own certificate before it uses it."""

    def check_current(self, **_: object) -> None:
        return


def careless(identity: Identity) -> Identity:
    return Careless(**vars(identity))


@contextmanager
def listening(identity: Identity, *peers: str) -> Iterator[GrpcTransport]:
    transport = GrpcTransport(identity, peers, listen="127.0.0.1:0", settings=CALM)
    try:
        yield transport
    finally:
        transport.abort("ATL-INT-001", "test")


def dial(identity: Identity, to: GrpcTransport) -> None:
    """Dial and wait; raises what became of it."""
    assert to.address is not None
    shop = GrpcTransport(identity, [to.party], addresses={to.party: to.address}, settings=CALM)
    try:
        shop.send(to.party, SCOPE, "t", b"", LONG)
    finally:
        shop.abort("ATL-INT-001", "test")


def refusals(transport: GrpcTransport) -> dict[str, int]:
    """Return what was refused; the client hears of it a moment before it is counted."""
    deadline = time.monotonic() + LONG
    while not transport.counters()[""] and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    return transport.counters()[""]


def test_a_wrong_authority_is_refused_by_the_listener() -> None:
    shop, bank, other = Authority("shop"), Authority("bank"), Authority("shop")
    with listening(bank.identity("bank", [other]), "shop") as listener:
        with refused("ATL-NET-016"):
            dial(shop.identity("shop", [bank]), listener)
        assert refusals(listener) == {"ATL-NET-011": 1}


def test_a_wrong_authority_is_refused_by_the_dialler() -> None:
    shop, bank, other = Authority("shop"), Authority("bank"), Authority("bank")
    with listening(bank.identity("bank", [shop]), "shop") as listener, refused("ATL-NET-011"):
        dial(shop.identity("shop", [other]), listener)


@pytest.mark.parametrize(("period", "code"), [(PAST, "ATL-NET-013"), (FUTURE, "ATL-NET-014")])
def test_the_period_is_checked_in_both_directions(period: dict[str, timedelta], code: str) -> None:
    shop, bank = Authority("shop"), Authority("bank")
    with listening(bank.identity("bank", [shop]), "shop") as listener:
        with refused("ATL-NET-016"):
            dial(careless(shop.identity("shop", [bank], **period)), listener)
        assert refusals(listener) == {code: 1}
    old = careless(bank.identity("bank", [shop], **period))
    with listening(old, "shop") as listener, refused(code):
        dial(shop.identity("shop", [bank]), listener)


def test_an_expired_authority_is_refused_in_both_directions() -> None:
    bank = Authority("bank")
    old = Authority("shop", ends=timedelta(minutes=-1))
    with listening(bank.identity("bank", [old]), "shop") as listener:
        with refused("ATL-NET-016"):
            dial(old.identity("shop", [bank]), listener)
        assert refusals(listener) == {"ATL-NET-013": 1}
    with listening(old.identity("shop", [bank]), "bank") as listener, refused("ATL-NET-013"):
        dial(bank.identity("bank", [old]), listener)


def test_one_does_not_use_ones_own_expired_certificate() -> None:
    shop, bank = Authority("shop"), Authority("bank")
    with refused("ATL-PTY-009"):
        GrpcTransport(shop.identity("shop", [bank], **PAST), ["bank"], settings=CALM)
    with refused("ATL-PTY-010"):
        GrpcTransport(shop.identity("shop", [bank], **FUTURE), ["bank"], settings=CALM)


NAMES: dict[str, tuple[Sequence[x509.GeneralName], str]] = {
    "common name only": ([], "shop.atoll.internal"),
    "common name beside an address": (
        [x509.IPAddress(IPv4Address("127.0.0.1"))],
        "shop.atoll.internal",
    ),
    "capitals": ([x509.DNSName("SHOP.atoll.internal")], "x"),
    "a dot at the end": ([x509.DNSName("shop.atoll.internal.")], "x"),
    "a longer name": ([x509.DNSName("shop.atoll.internal.example")], "x"),
    "a name below": ([x509.DNSName("a.shop.atoll.internal")], "x"),
    "a wildcard": ([x509.DNSName("*.atoll.internal")], "x"),
    "a look-alike": ([x509.DNSName("xn--shp-0ed.atoll.internal")], "x"),
    "zero for o": ([x509.DNSName("sh0p.atoll.internal")], "x"),
    "a space": ([x509.DNSName(" shop.atoll.internal")], "x"),
    "a zero byte": ([x509.DNSName("shop.atoll.internal\0")], "x"),
    "another's name": ([x509.DNSName("bank.atoll.internal")], "x"),
    "two names": ([SHOP, x509.DNSName("mill.atoll.internal")], "x"),
    "the same name twice": ([SHOP, SHOP], "x"),
    "as an e-mail address": ([x509.RFC822Name("shop@atoll.internal")], "x"),
    "as a URI": ([x509.UniformResourceIdentifier("https://shop.atoll.internal")], "x"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_client_needs_exactly_its_one_name(case: str) -> None:
    names, common = NAMES[case]
    shop, bank = Authority("shop"), Authority("bank")
    chain, key = shop.issue(names, common_name=common)
    named = Identity("shop", chain, shop.pem, key)
    with listening(bank.identity("bank", [shop]), "shop") as listener:
        assert rejected(listener, client_context(named))
        assert refusals(listener) == {"ATL-NET-012": 1}


@pytest.mark.parametrize("case", NAMES)
def test_a_server_needs_exactly_its_one_name(case: str) -> None:
    names, common = NAMES[case]
    shop, bank = Authority("shop"), Authority("bank")
    chain, key = shop.issue(names, common_name=common)
    with false_server(chain, key) as address:
        who = bank.identity("bank", [shop])
        transport = GrpcTransport(who, ["shop"], addresses={"shop": address}, settings=CALM)
        with refused("ATL-NET-012"):
            transport.receive("shop", SCOPE, "t", LONG)
        transport.close()


def rejected(listener: GrpcTransport, context: ssl.SSLContext) -> bool:
    """Return whether the listener ends the connection before HTTP/2 begins."""
    assert listener.address is not None
    try:
        client = Hostile(listener.address, context)
    except (ssl.SSLError, ConnectionError):
        return True
    try:
        return not client.socket.recv(1)
    except (ssl.SSLError, ConnectionError):
        return True
    finally:
        client.close()


@contextmanager
def false_server(chain: bytes, key: certificates.PrivateKey) -> Iterator[str]:
    """Run a TLS server that shows any certificate, for one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    load(context, chain, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with plain:
                try:
                    context.wrap_socket(plain, server_side=True).recv(1)
                except (ssl.SSLError, OSError):
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_one_partners_authority_cannot_speak_for_another() -> None:
    shop, bank, mill = Authority("shop"), Authority("bank"), Authority("mill")
    chain, key = mill.issue([SHOP])
    posing = Identity("shop", chain, mill.pem, key, {"bank": Peer("bank", bank.pem)})
    with listening(bank.identity("bank", [shop, mill]), "shop", "mill") as listener:
        with refused("ATL-NET-016"):
            dial(posing, listener)
        assert refusals(listener) == {"ATL-NET-011": 1}
    with listening(posing, "bank") as listener, refused("ATL-NET-011"):
        dial(bank.identity("bank", [shop, mill]), listener)


def test_a_partner_at_anothers_address_is_refused() -> None:
    shop, bank, mill = Authority("shop"), Authority("bank"), Authority("mill")
    with listening(mill.identity("mill", [shop]), "shop") as listener:
        assert listener.address is not None
        who = shop.identity("shop", [bank, mill])
        transport = GrpcTransport(
            who, ["bank"], addresses={"bank": listener.address}, settings=CALM
        )
        with refused("ATL-NET-012"):
            transport.send("bank", SCOPE, "t", b"", LONG)
        transport.close()


def test_a_stranger_cannot_end_a_job() -> None:
    who = identities("shop", "bank")
    strangers = identities("shop", "bank")
    with listening(who["bank"], "shop") as listener:
        assert rejected(listener, client_context(strangers["shop"]))
        dial(who["shop"], listener)


def test_tls_1_2_is_refused() -> None:
    who = identities("shop", "bank")
    with listening(who["bank"], "shop") as listener:
        context = client_context(who["shop"], newest=ssl.TLSVersion.TLSv1_2)
        assert rejected(listener, context)
        assert refusals(listener) == {"ATL-NET-015": 1}
        dial(who["shop"], listener)


def test_a_client_without_a_certificate_is_refused() -> None:
    who = identities("shop", "bank")
    with listening(who["bank"], "shop") as listener:
        assert rejected(listener, client_context(None))
        assert refusals(listener) == {"ATL-NET-015": 1}


def test_no_session_can_be_resumed() -> None:
    who = identities("shop", "bank")
    with listening(who["bank"], "shop") as listener:
        assert listener.address is not None
        client = Hostile(listener.address, client_context(who["shop"])).open()
        session = client.socket.session
        assert session is None or not session.has_ticket
        client.close()


def test_a_dialler_is_not_told_who_the_partners_are(tmp_path: Path) -> None:
    shop, bank, mill = Authority("shop"), Authority("bank"), Authority("mill")
    with listening(bank.identity("bank", [shop, mill]), "shop", "mill") as listener:
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", str(listener.address), "-alpn", "h2"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONG,
        )
    assert "No client certificate CA names sent" in shown.stdout
    assert "authority of mill" not in shown.stdout


Make = Callable[[Authority, Authority], tuple[Identity, Identity]]


@pytest.mark.parametrize(
    "make",
    [
        lambda shop, bank: (brief(shop, bank), bank.identity("bank", [shop])),
        lambda shop, bank: (shop.identity("shop", [bank]), brief(bank, shop)),
    ],
    ids=["dialler's", "listener's"],
)
def test_a_connection_ends_with_its_certificate(make: Make) -> None:
    dialler, listens = make(Authority("shop"), Authority("bank"))
    settings = replace(CALM, silence_seconds=1.0)
    with GrpcTransport(listens, ["shop"], listen="127.0.0.1:0", settings=settings) as bank:
        assert bank.address is not None
        shop = GrpcTransport(dialler, ["bank"], addresses={"bank": bank.address}, settings=settings)
        shop.send("bank", SCOPE, "t", b"in time", LONG)
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"in time"
        with pytest.raises(AtollError) as caught:
            bank.receive("shop", SCOPE, "t", LONG)
        assert caught.value.code == "ATL-NET-001"
        both = refusals(shop) | refusals(bank)
        assert "ATL-NET-013" in both
        shop.close()


def brief(authority: Authority, peer: Authority) -> Identity:
    return authority.identity(authority.party, [peer], ends=timedelta(seconds=4))

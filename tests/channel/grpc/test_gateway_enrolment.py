"""Enrolment: the one door for somebody whom no certificate vouches for."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from atoll.channel.grpc import Call, CallRefusedError, enrol
from atoll.channel.identity import certificates
from atoll.core.errors import AtollError
from tests.channel.grpc.hostile import client_context, message
from tests.channel.grpc.nodes import Node, nodes, served, until
from tests.channel.grpc.world import LONG, Authority, refused, text

MOST = 16 << 10


def fingerprint(authority: bytes) -> bytes:
    """SHA-256 of a certificate's DER form."""
    der = x509.load_pem_x509_certificate(authority).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).digest()


@contextmanager
def inviting() -> Iterator[tuple[Node, bytes]]:
    """A node that lets strangers enrol, and the fingerprint of its authority."""
    with nodes("bank", "shop") as (bank, _):
        bank.gateway.set_enrolment(True)
        yield bank, fingerprint(bank.identity.ca)


def welcome(call: Call) -> bytes:
    assert (call.party, call.kind) == ("", "enrol")
    return b"welcome " + call.body


def test_a_stranger_enrols() -> None:
    with inviting() as (bank, known), served(bank.gateway, welcome):
        assert text(enrol(bank.address, "bank", known, b"mill", LONG)) == "welcome mill"


def test_nothing_is_sent_to_another_authority() -> None:
    with inviting() as (bank, known):
        for wrong in (bytes(32), fingerprint(Authority("bank").pem)):
            with refused("ATL-NET-047"):
                enrol(bank.address, "bank", wrong, b"secret code", LONG)
        with refused("ATL-NET-012"):
            enrol(bank.address, "mill", known, b"secret code", LONG)
        assert bank.gateway.next_call(0.05) is None
        with pytest.raises(ValueError, match="32 bytes"):
            enrol(bank.address, "bank", b"short", b"", LONG)


def test_the_chain_must_lead_to_the_authority_and_be_in_time() -> None:
    bank, other = Authority("bank"), Authority("bank")
    chain, key = other.issue()
    posing = type(other.identity("bank", []))("bank", chain, bank.pem, key)
    with nodes(posing) as (node,):
        node.gateway.set_enrolment(True)
        with refused("ATL-NET-011"):
            enrol(node.address, "bank", fingerprint(bank.pem), b"", LONG)
    brief = bank.identity("bank", [], ends=timedelta(seconds=1))
    with nodes(brief) as (node,):
        node.gateway.set_enrolment(True)

        def late() -> bool:
            with pytest.raises(AtollError) as caught:
                enrol(node.address, "bank", fingerprint(bank.pem), b"", 0.3)
            return caught.value.code == "ATL-NET-013"

        until(late)


def test_a_refusal_and_a_size() -> None:
    def refuse(call: Call) -> bytes:
        raise CallRefusedError("ATL-NET-043", "", peer_code="ATL-PTY-030", party=None)

    with inviting() as (bank, known):
        with served(bank.gateway, refuse), pytest.raises(CallRefusedError) as caught:
            enrol(bank.address, "bank", known, b"", LONG)
        assert caught.value.peer_code == "ATL-PTY-030"
        with refused("ATL-NET-005"):
            enrol(bank.address, "bank", known, bytes(MOST + 1), LONG)
        with served(bank.gateway, lambda call: bytes(len(call.body))):
            assert enrol(bank.address, "bank", known, b"x" * MOST, LONG) == bytes(MOST)


def test_an_answer_has_its_limit() -> None:
    with inviting() as (bank, known), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(enrol, bank.address, "bank", known, b"", LONG)
        call = bank.gateway.next_call(LONG)
        assert call is not None
        with refused("ATL-NET-005"):
            bank.gateway.answer(call, bytes(MOST + 1))
        assert bank.gateway.answer(call, bytes(MOST))
        assert asked.result(LONG) == bytes(MOST)


def test_it_is_closed_unless_opened() -> None:
    with inviting() as (bank, known):
        bank.gateway.set_enrolment(False)
        with refused("ATL-NET-015"):
            enrol(bank.address, "bank", known, b"", LONG)
        # It is counted once the alert is out.
        until(lambda: bank.gateway.counters()["refused"] == {"ATL-NET-015": 1})


def test_time_and_address() -> None:
    with inviting() as (bank, known):
        with refused("ATL-NET-002"):
            enrol(bank.address, "bank", known, b"", 0.3)
        with refused("ATL-NET-010"):
            enrol("127.0.0.1:1", "bank", known, b"", LONG)
        with refused("ATL-NET-026"):
            enrol(bank.address, "not a party", known, b"", LONG)


def test_few_strangers_at_a_time() -> None:
    with inviting() as (bank, known), ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(enrol, bank.address, "bank", known, b"", LONG) for _ in range(5)]
        calls = [bank.gateway.next_call(LONG) for _ in range(4)]
        until(lambda: any(future.done() for future in asked))
        for call in calls:
            assert call is not None
            bank.gateway.answer(call, b"")
        outcomes = [future.exception(LONG) for future in asked]
        assert [e.peer_code for e in outcomes if isinstance(e, CallRefusedError)] == ["ATL-NET-044"]


def stranger(node: Node, protocol: str) -> ssl.SSLSocket:
    """Connect without a certificate."""
    context = client_context(None)
    context.set_alpn_protocols([protocol])
    host, port = node.address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=LONG)
    return context.wrap_socket(plain, server_hostname=certificates.dns_name("bank"))


@pytest.mark.parametrize("protocol", ["h2", "atoll-relay/1", "http/1.1"])
def test_a_stranger_gets_through_no_other_door(protocol: str) -> None:
    with inviting() as (bank, _):
        assert is_rejected(bank, protocol)


def is_rejected(node: Node, protocol: str) -> bool:
    """Whether the node ends the connection of a stranger who wants this protocol."""
    try:
        with stranger(node, protocol) as line:
            line.sendall(bytes(4))
            return not line.recv(1)
    except (ssl.SSLError, ConnectionError):
        return True


LETTERS = {
    "another kind": message("echo", b"x"),
    "too long": message("enrol", bytes(MOST + 1)),
    "not canonical": message("enrol", b"x") + b"\x18\x00",
    "no protobuf": b"\xff" * 40,
}


@pytest.mark.parametrize("case", LETTERS)
def test_broken_letters_reach_nobody(case: str) -> None:
    with inviting() as (bank, known):
        with stranger(bank, "atoll-enrol/1") as line:
            line.sendall(len(LETTERS[case]).to_bytes(4, "big") + LETTERS[case])
            assert b"ATL-NET-" in line.recv(1 << 10)
        with stranger(bank, "atoll-enrol/1") as line:
            line.sendall(b"\xff\xff\xff\xff" + bytes(1000))
            assert b"ATL-NET-019" in line.recv(1 << 10)
        assert bank.gateway.next_call(0.0) is None
        with served(bank.gateway, welcome):
            assert text(enrol(bank.address, "bank", known, b"x", LONG)) == "welcome x"

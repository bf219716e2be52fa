"""A peer with a good certificate that breaks the rules: refused with a code, on both sides."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.core.errors import PeerError
from tests.channel.grpc.hostile import (
    Hostile,
    client_context,
    field,
    frame,
    hello,
    message,
    receipt,
)
from tests.channel.grpc.world import CALM, HASTY, LONG, SCOPE, identities, refused

WINDOW = 1 << 20
SMALL = replace(CALM, window_bytes=WINDOW)


@contextmanager
def bank_and_hostile(
    *, opened: bool = True, settings: WireSettings = SMALL
) -> Iterator[tuple[GrpcTransport, Hostile]]:
    """Start bank, and connect a hostile shop with shop's good certificate."""
    who = identities("shop", "bank", "mill")
    bank = GrpcTransport(who["bank"], ["shop"], listen="127.0.0.1:0", settings=settings)
    assert bank.address is not None
    shop = Hostile(bank.address, client_context(who["shop"]))
    try:
        yield bank, shop.open() if opened else shop
    finally:
        shop.close()
        bank.abort("ATL-INT-001", "test")


def test_the_hand_written_client_is_understood() -> None:
    with bank_and_hostile() as (bank, shop):
        shop.write(hello(), frame(body=b"by hand"), frame(2, 2, total=0), frame(3, 2, total=2))
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"by hand"
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"bodybody"
        bank.send("shop", SCOPE, "back", b"answer", LONG)
        envelope = next(envelope for envelope in shop.read_envelopes() if 3 in envelope)
        assert isinstance(envelope[3], bytes)
        assert b"answer" in envelope[3]
        assert bank.counters()[""] == {}


CASES = {
    "corrupted": ("ATL-NET-018", [hello(), frame(checksum=1)]),
    "length too long": ("ATL-NET-018", [hello(), frame(length=5)]),
    "length too short": ("ATL-NET-018", [hello(), frame(length=3)]),
    "in another's name": ("ATL-NET-017", [hello(), frame(sender="mill")]),
    "for another": ("ATL-NET-017", [hello(), frame(receiver="mill")]),
    "hello in another's name": ("ATL-NET-017", [hello("mill")]),
    "hello for another": ("ATL-NET-017", [hello("shop", "mill")]),
    "too new": ("ATL-NET-020", [hello(versions=(2, 9))]),
    "too old": ("ATL-NET-020", [hello(versions=(0, 0))]),
    "no hello": ("ATL-NET-019", [frame()]),
    "two hellos": ("ATL-NET-019", [hello(), hello()]),
    "no instance": ("ATL-NET-019", [hello(instance=b"")]),
    "knows another run": ("ATL-NET-021", [hello(known=b"k" * 16)]),
    "a gap": ("ATL-NET-019", [hello(), frame(2)]),
    "number zero": ("ATL-NET-019", [hello(), frame(0)]),
    "an empty piece": ("ATL-NET-019", [hello(), frame(total=0, body=b"")]),
    "a wrong total": ("ATL-NET-019", [hello(), frame(total=2)]),
    "a changed tag": ("ATL-NET-019", [hello(), frame(total=0), frame(2, tag="u", total=2)]),
    "a long tag": ("ATL-NET-019", [hello(), frame(tag="t" * 257)]),
    "a large body": ("ATL-NET-019", [hello(), frame(body=bytes((1 << 20) + 1))]),
    "beyond the window": (
        "ATL-NET-019",
        [hello(), *(frame(n, n, body=bytes(1 << 18)) for n in range(1, 5))],
    ),
    "an early receipt": ("ATL-NET-019", [hello(), receipt(7)]),
    "a generous receipt": ("ATL-NET-019", [hello(), receipt(0, 7)]),
    "a hello from the future": ("ATL-NET-019", [hello(received=7)]),
    "nothing": ("ATL-NET-019", [hello(), b""]),
    "an unknown field": ("ATL-NET-018", [hello(), frame(extra=field(99, 1))]),
    "an unknown envelope": ("ATL-NET-018", [hello(), field(15, b"x")]),
    "a field twice": ("ATL-NET-018", [hello(), frame(extra=field(12, b"body"))]),
    "a default spelt out": ("ATL-NET-018", [hello(), frame(extra=field(5, 0))]),
    "no protobuf": ("ATL-NET-018", [hello(), b"\xff" * 20]),
    "a bye inside a message": ("ATL-NET-019", [hello(), frame(total=0), field(4, message(2))]),
    "an abort with text": ("ATL-NET-019", [hello(), field(5, message("no code", "phase"))]),
    "an abort with a long phase": (
        "ATL-NET-019",
        [hello(), field(5, message("ATL-INT-001", "p" * 129))],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_breaks_a_rule_is_refused(case: str) -> None:
    code, envelopes = CASES[case]
    with bank_and_hostile() as (bank, shop):
        shop.write(*envelopes)
        with pytest.raises(PeerError) as caught:
            bank.receive("shop", SCOPE, "never", LONG)
        assert (caught.value.code, caught.value.party) == (code, "shop")
        assert shop.refusal() == code
        assert bank.counters()[""] == {code: 1}


def test_a_repeated_frame_counts_once() -> None:
    with bank_and_hostile() as (bank, shop):
        shop.write(hello(), frame(), frame(), frame(2, 2, body=b"next"), frame())
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"body"
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"next"
        shop.write(frame(3, 3, tag="last"))
        bank.receive("shop", SCOPE, "last", LONG)
        assert bank.counters()["shop"]["frames_repeated"] == 2
        with refused("ATL-NET-002"):
            bank.receive("shop", SCOPE, "t", 0.0)


def test_a_frame_cut_short_is_refused() -> None:
    with bank_and_hostile() as (bank, shop):
        whole = frame(body=bytes(1000))
        shop.write(hello())
        shop.raw((b"\0" + struct.pack(">I", len(whole)) + whole)[:-100], end=True)
        with refused("ATL-NET-018"):
            bank.receive("shop", SCOPE, "t", LONG)


def test_a_huge_length_is_refused_before_it_is_allocated() -> None:
    with bank_and_hostile() as (bank, shop):
        shop.write(hello())
        shop.raw(b"\0" + struct.pack(">I", 0xFFFFFFFF) + b"x")
        with refused("ATL-NET-005"):
            bank.receive("shop", SCOPE, "t", LONG)
        assert shop.refusal() == "ATL-NET-005"


def test_compression_is_refused() -> None:
    with bank_and_hostile() as (bank, shop):
        shop.write(hello())
        shop.raw(b"\1" + struct.pack(">I", 4) + b"zzzz")
        with refused("ATL-NET-018"):
            bank.receive("shop", SCOPE, "t", LONG)


def test_a_message_of_many_pieces_stays_within_the_limit() -> None:
    # The window (1 MiB here) stops it long before 64 MiB.
    with bank_and_hostile() as (bank, shop):
        shop.write(hello(), *(frame(n, total=0, body=bytes(1 << 17)) for n in range(1, 9)))
        with refused("ATL-NET-019"):
            bank.receive("shop", SCOPE, "t", LONG)


def test_another_run_of_the_peer_is_refused() -> None:
    who = identities("shop", "bank")
    with GrpcTransport(who["bank"], ["shop"], listen="127.0.0.1:0", settings=SMALL) as bank:
        assert bank.address is not None
        first = Hostile(bank.address, client_context(who["shop"])).open()
        first.write(hello(), frame())
        bank.receive("shop", SCOPE, "t", LONG)
        second = Hostile(bank.address, client_context(who["shop"])).open()
        second.write(hello(instance=b"j" * 16))
        assert second.refusal() == "ATL-NET-021"
        with refused("ATL-NET-021"):
            bank.receive("shop", SCOPE, "t", LONG)
        first.close()
        second.close()


def test_nonsense_instead_of_http_ends_the_connection_only() -> None:
    with bank_and_hostile(opened=False) as (bank, shop):
        shop.socket.sendall(b"\xff" * 1000)
        assert list(shop.read_envelopes()) == []
        with refused("ATL-NET-002"):
            bank.receive("shop", SCOPE, "t", 0.05)


def test_whoever_never_says_hello_loses_the_connection() -> None:
    with bank_and_hostile(settings=HASTY) as (bank, shop):
        # Bank's own hello and heartbeats come; after its patience (2 s) it closes.
        assert all(2 in envelope or 7 in envelope for envelope in shop.read_envelopes())
        with refused("ATL-NET-002"):
            bank.receive("shop", SCOPE, "t", 0.0)


def test_an_abort_is_told_as_the_peers_failure() -> None:
    with bank_and_hostile() as (bank, shop):
        shop.write(hello(), field(5, message("ATL-PSI-003", "psi/mask")))
        with pytest.raises(PeerError) as caught:
            bank.receive("shop", SCOPE, "t", LONG)
        assert (caught.value.code, caught.value.phase) == ("ATL-NET-004", "psi/mask")
        assert "ATL-PSI-003" in str(caught.value)


def test_a_refusal_is_told_with_its_code() -> None:
    with bank_and_hostile() as (bank, shop):
        shop.write(hello(), field(6, message("ATL-NET-018")))
        with pytest.raises(PeerError) as caught:
            bank.receive("shop", SCOPE, "t", LONG)
        assert caught.value.code == "ATL-NET-029"
        assert "ATL-NET-018" in str(caught.value)

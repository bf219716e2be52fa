"""Broken connections: what was sent arrives once and whole, or the peer is lost with a code."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atoll.channel.api import Buffer, Channel
from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.core.errors import AtollError, NetworkError
from atoll.core.limits import Limits
from tests.channel.grpc import process
from tests.channel.grpc.nodes import until
from tests.channel.grpc.proxy import Proxy
from tests.channel.grpc.test_talk import Note
from tests.channel.grpc.world import CALM, HASTY, LONG, SCOPE, identities, pair, refused


@contextmanager
def proxied(
    settings: WireSettings = CALM,
) -> Iterator[tuple[GrpcTransport, GrpcTransport, Proxy]]:
    made: list[Proxy] = []

    def through(address: str) -> str:
        made.append(Proxy(address))
        return made[0].address

    try:
        with pair(settings, through) as (shop, bank):
            yield shop, bank, made[0]
    finally:
        for proxy in made:
            proxy.close()


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def greet(shop: GrpcTransport, bank: GrpcTransport) -> None:
    """Wait until both are connected."""
    shop.send("bank", SCOPE, "greeting", b"", LONG)
    bank.receive("shop", SCOPE, "greeting", LONG)


@pytest.mark.parametrize("after", [1, 5_000, 300_000, 1_500_000, 3_000_001])
def test_a_cut_connection_is_made_anew(after: int) -> None:
    bodies = [noise(seed, 1_200_000) for seed in range(4)]
    with proxied() as (shop, bank, proxy):
        greet(shop, bank)
        proxy.cut_after(after)
        for body in bodies:
            shop.send("bank", SCOPE, "t", body, LONG)
        for body in bodies:
            assert bank.receive("shop", SCOPE, "t", LONG) == body
        with refused("ATL-NET-002"):
            bank.receive("shop", SCOPE, "t", 0.05)
        assert proxy.connections == 2
        counts = shop.counters()["bank"]
        assert counts["frames_sent"] - counts["frames_resent"] == 9


def test_many_cuts_in_both_directions() -> None:
    rounds = 8
    with proxied() as (shop, bank, proxy), ThreadPoolExecutor(1) as pool:
        greet(shop, bank)

        def echo() -> None:
            for _ in range(rounds):
                bank.send("shop", SCOPE, "back", bank.receive("shop", SCOPE, "t", LONG), LONG)

        done = pool.submit(echo)
        for seed in range(rounds):
            body = noise(seed, 300_000)
            proxy.cut_after(seed * 60_000 + 1)
            shop.send("bank", SCOPE, "t", body, LONG)
            assert shop.receive("bank", SCOPE, "back", LONG) == body
        done.result(LONG)
        assert proxy.connections > rounds // 2


def test_repeated_frames_are_dropped() -> None:
    # The proxy cuts the way back, so that frames arrive but their receipts do not.
    with proxied() as (shop, bank, proxy):
        greet(shop, bank)
        for number in range(30):
            shop.send("bank", SCOPE, "t", bytes([number]), LONG)
            if number % 10 == 5:
                proxy.cut()
        assert [bytes(bank.receive("shop", SCOPE, "t", LONG))[0] for _ in range(30)] == list(
            range(30)
        )
        with refused("ATL-NET-002"):
            bank.receive("shop", SCOPE, "t", 0.05)


# TLS does not protect the first three bytes of a record, and nothing depends on them.
@pytest.mark.parametrize("after", [3, 10, 100_000])
def test_damage_on_the_way_is_noticed_and_repaired(after: int) -> None:
    body = noise(1, 2_000_000)
    with proxied() as (shop, bank, proxy):
        greet(shop, bank)
        proxy.damage_after(after)
        shop.send("bank", SCOPE, "t", body, LONG)
        assert bank.receive("shop", SCOPE, "t", LONG) == body
        until(lambda: bank.counters()[""].get("ATL-NET-028"))
        assert proxy.connections >= 2


def test_a_silent_peer_is_lost_with_party_and_phase() -> None:
    limits = Limits(receive_seconds=LONG)
    with proxied(HASTY) as (shop, bank, proxy), ThreadPoolExecutor(2) as pool:
        greet(shop, bank)
        proxy.stall()
        waiting = [
            pool.submit(Channel(bank, SCOPE, limits).receive, "shop", "t", Note),
            pool.submit(Channel(shop, SCOPE, limits).receive, "bank", "t", Note),
        ]
        for future, party in zip(waiting, ["shop", "bank"], strict=True):
            with pytest.raises(NetworkError) as caught:
                future.result(LONG)
            error = caught.value
            assert (error.code, error.party, error.phase) == ("ATL-NET-001", party, "task/t")
        with refused("ATL-NET-001"):
            shop.send("bank", SCOPE, "t", b"", LONG)


def test_a_sender_that_waits_for_room_learns_that_the_peer_is_lost() -> None:
    with proxied(replace(HASTY, window_bytes=1 << 20)) as (shop, bank, proxy):
        greet(shop, bank)
        proxy.stall()
        with refused("ATL-NET-001"):
            for _ in range(10):
                shop.send("bank", SCOPE, "t", bytes(1 << 19), LONG)


def test_an_absent_peer_is_unreachable() -> None:
    who = identities("shop", "bank")
    settings = replace(HASTY, connect_seconds=0.3)
    with Silent() as address:
        shop = GrpcTransport(who["shop"], ["bank"], addresses={"bank": address}, settings=settings)
        with shop, refused("ATL-NET-010"):
            shop.send("bank", SCOPE, "t", b"", LONG)


class Silent:
    """An address at which nobody answers."""

    def __enter__(self) -> str:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *error: object) -> None:
        self._socket.close()


def test_a_failure_is_told_on_a_new_connection() -> None:
    with proxied() as (shop, bank, proxy):
        greet(shop, bank)
        proxy.cut()
        shop.abort("ATL-INT-001", "work")
        with refused("ATL-NET-004"):
            bank.receive("shop", SCOPE, "t", LONG)


def test_queued_messages_outlive_their_sender() -> None:
    with proxied(HASTY) as (shop, bank, proxy):
        greet(shop, bank)
        shop.send("bank", SCOPE, "t", b"queued", LONG)
        shop.send("bank", SCOPE, "u", b"", LONG)
        bank.receive("shop", SCOPE, "u", LONG)
        proxy.stall()
        with refused("ATL-NET-001"):
            bank.receive("shop", SCOPE, "never", LONG)
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"queued"


def test_a_reader_that_does_not_read_holds_its_sender_back() -> None:
    window = 4 << 20
    piece = bytes(1 << 19)
    with pair(replace(CALM, window_bytes=window)) as (shop, bank), ThreadPoolExecutor(1) as pool:
        with refused("ATL-NET-002"):
            for _ in range(1 + window // len(piece)):
                shop.send("bank", SCOPE, "t", piece, 0.3)
        sent = shop.counters()["bank"]["bytes_sent"]
        assert sent == window - len(piece)
        waiting = pool.submit(shop.send, "bank", SCOPE, "t", piece, LONG)
        assert bank.counters()["shop"]["bytes_waiting"] <= window
        bank.receive("shop", SCOPE, "t", LONG)
        waiting.result(LONG)
        for _ in range(sent // len(piece)):
            bank.receive("shop", SCOPE, "t", LONG)
        for _ in range(20):
            shop.send("bank", SCOPE, "t", piece, LONG)
            bank.receive("shop", SCOPE, "t", LONG)


def test_small_messages_are_held_back_too() -> None:
    with pair(replace(CALM, window_bytes=1 << 20)) as (shop, _):
        with refused("ATL-NET-002"):
            for _ in range(1025):
                shop.send("bank", SCOPE, "t", b"", 0.3)
        assert shop.counters()["bank"]["messages_sent"] == 1024


@contextmanager
def child(tmp_path: Path, mode: str) -> Iterator[tuple[GrpcTransport, subprocess.Popen[str]]]:
    """Run bank in a process of its own (see ``process.py``) and connect shop to it."""
    process.prepare(tmp_path)
    script = Path(process.__file__)
    command = [sys.executable, str(script), str(tmp_path / "bank"), mode]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as bank:
        assert bank.stdout is not None
        address = bank.stdout.readline().strip()
        shop = process.connect(tmp_path / "shop", address)
        try:
            yield shop, bank
        finally:
            bank.kill()
            shop.abort("ATL-INT-001", "test")


def test_two_processes_talk_and_part(tmp_path: Path) -> None:
    with child(tmp_path, "echo") as (shop, bank):
        body: Buffer = noise(1, 3_000_000)
        shop.send("bank", SCOPE, "t", body, LONG)
        assert shop.receive("bank", SCOPE, "t", LONG) == body
        shop.close()
        assert bank.wait(LONG) == 0


def test_a_killed_process_is_lost(tmp_path: Path) -> None:
    with child(tmp_path, "echo") as (shop, bank):
        shop.send("bank", SCOPE, "t", b"x", LONG)
        shop.receive("bank", SCOPE, "t", LONG)
        bank.kill()
        with pytest.raises(AtollError) as caught:
            shop.receive("bank", SCOPE, "t", LONG)
        assert (caught.value.code, caught.value.party) == ("ATL-NET-001", "bank")


def test_memory_of_a_process_that_does_not_read_is_bounded(tmp_path: Path) -> None:
    with child(tmp_path, "sleep") as (shop, bank):
        assert bank.stdin is not None
        assert bank.stdout is not None
        before = int(bank.stdout.readline())
        with refused("ATL-NET-002"):
            while True:
                shop.send("bank", SCOPE, "t", bytes(1 << 20), 0.5)
        sent = shop.counters()["bank"]["bytes_sent"]
        assert sent == 7 << 20
        print(file=bank.stdin, flush=True)
        grown = int(bank.stdout.readline()) - before
        # The window is 8 MiB; buffers of TLS and HTTP/2 and the allocator come on top.
        assert grown < 40 << 20

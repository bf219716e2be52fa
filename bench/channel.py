"""The channel between two processes, over mTLS on loopback.

``channel.round_trip`` sends 100 bytes there and back, ``channel.throughput`` streams NumPy buffers
of 1 MiB in one direction, ``channel.unread`` sends to a process that does not read until the
window is full. Each reference is a bare TLS 1.3 stream of Python's ``ssl`` in the same run.
``channel.gateway_rate`` and ``channel.gateway_trip`` do the same through two nodes' gateways; their
reference is the channel without gateways.
"""

from __future__ import annotations

import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.channel.identity import Identity, export_ca, init_party, load_party, trust
from bench import gateway
from bench.child import (
    PIECE,
    SMALL,
    Child,
    Wire,
    reply,
    report,
    serve,
    usage,
)
from bench.harness import Options

ROUNDS, PIECES = 4000, 1500
WINDOW = 16 << 20
SETTINGS = WireSettings()
UNREAD = WireSettings(window_bytes=WINDOW)


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the measurements; ``--rows`` sets how many pieces and round trips."""
    pieces = options.rows or PIECES
    rounds = options.rows or ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder)
        yield _measure(folder, "round_trip", rounds)
        yield _measure(folder, "throughput", pieces)
        yield _measure(folder, "unread", 2 * WINDOW // PIECE)
        yield _measure(folder, "round_trip.reference", rounds)
        yield _measure(folder, "throughput.reference", pieces)
        yield from gateway.run(folder, pieces, rounds)


def _prepare(folder: Path) -> None:
    for party in ("shop", "bank"):
        init_party(folder / party, party)
    trust(folder / "shop", "bank", export_ca(folder / "bank"))
    trust(folder / "bank", "shop", export_ca(folder / "shop"))


def _measure(folder: Path, work: str, count: int) -> dict[str, Any]:
    bank = Child("bench.channel", folder, work, count)
    try:
        with _shop(folder, work, str(bank.first)) as exchange:
            exchange.warm()
            ours, theirs, start = usage(), bank.usage(), time.perf_counter()
            done = exchange.work(count)
            seconds = time.perf_counter() - start
            mine, other = usage(), bank.usage()
            cpu = mine.cpu - ours.cpu + other.cpu - theirs.cpu
            line = _line(work, count, seconds, cpu, done)
            return line | {"peak_memory": {"shop": mine.peak, "bank": other.peak}}
    finally:
        bank.end()


def _line(work: str, count: int, seconds: float, cpu: float, done: int) -> dict[str, Any]:
    line: dict[str, Any] = {"name": f"channel.{work}", "cpu_seconds": cpu}
    if work.startswith("round_trip"):
        sent = count * SMALL
        return line | {
            "params": {"message_bytes": SMALL, "round_trips": count},
            "seconds": seconds / count,
            "rate": count / seconds,
            "rounds": count,
            "bytes": 2 * sent,
            "bytes_by_direction": {"shop_to_bank": sent, "bank_to_shop": sent},
        }
    params = {"message_bytes": PIECE, "messages": done}
    if work == "unread":
        params["window_bytes"] = WINDOW
    sent = done * PIECE
    return line | {
        "params": params,
        "seconds": seconds,
        "rate": sent / seconds if work != "unread" else None,
        "bytes": sent,
        "bytes_by_direction": {"shop_to_bank": sent, "bank_to_shop": 0},
    }


class _Bare:
    """Shop's side on a bare TLS stream."""

    def __init__(self, stream: ssl.SSLSocket, work: str) -> None:
        self._stream = stream
        self._work = work

    def warm(self) -> None:
        """Exchange a few messages."""
        for _ in range(50):
            self._turn()

    def _turn(self) -> None:
        self._stream.sendall(b"x" * SMALL)
        _read(self._stream, SMALL)

    def work(self, count: int) -> int:
        """Do the work; return how many messages went through."""
        if self._work == "round_trip.reference":
            for _ in range(count):
                self._turn()
            return count
        pool = np.random.default_rng(1).integers(0, 256, (8, PIECE), dtype=np.uint8)
        for number in range(count):
            self._stream.sendall(pool[number % 8].data)
        _read(self._stream, SMALL)
        return count


def _read(stream: ssl.SSLSocket, size: int) -> bytearray:
    whole = bytearray(size)
    view, at = memoryview(whole), 0
    while at < size:
        count = stream.recv_into(view[at:])
        if count == 0:
            raise ConnectionError("the other side closed")
        at += count
    return whole


@contextmanager
def _shop(folder: Path, work: str, address: str) -> Iterator[Wire | _Bare]:
    identity = load_party(folder / "shop")
    if not work.endswith(".reference"):
        settings = UNREAD if work == "unread" else SETTINGS
        addresses = {"bank": address}
        with GrpcTransport(identity, ["bank"], addresses=addresses, settings=settings) as shop:
            yield Wire(shop, work)
        return
    host, port = address.rsplit(":", 1)
    context = _context(folder / "shop", identity, ssl.PROTOCOL_TLS_CLIENT)
    with socket.create_connection((host, int(port))) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_hostname="bank.atoll.internal") as stream:
            yield _Bare(stream, work)


def _context(folder: Path, identity: Identity, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "node.pem")
    for peer in identity.peers.values():
        context.load_verify_locations(cadata=peer.ca.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _bank(folder: Path, work: str, count: int) -> None:
    """Be the other process."""
    identity = load_party(folder / "bank")
    if work.endswith(".reference"):
        _bare_bank(folder / "bank", identity, work, count)
        return
    settings = UNREAD if work == "unread" else SETTINGS
    with GrpcTransport(identity, ["shop"], listen="127.0.0.1:0", settings=settings) as bank:
        reply(bank.address)
        serve(bank, work, count)


def _bare_bank(folder: Path, identity: Identity, work: str, count: int) -> None:
    context = _context(folder, identity, ssl.PROTOCOL_TLS_SERVER)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reply(f"127.0.0.1:{listener.getsockname()[1]}")
        plain, _ = listener.accept()
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain, server_side=True) as stream:
        turns = count if work == "round_trip.reference" else 0
        for _ in range(50):
            stream.sendall(_read(stream, SMALL))
        report()
        for _ in range(turns):
            stream.sendall(_read(stream, SMALL))
        if not turns:
            for _ in range(count):
                _read(stream, PIECE)
            stream.sendall(b"x" * SMALL)
        report()


if __name__ == "__main__":
    _bank(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

"""Partners and local programs that break the rules of a gateway, and readers that do not read."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from atoll.channel.grpc import Gateway
from atoll.channel.identity import Identity, certificates
from tests.channel.grpc.hostile import client_context, message, parse
from tests.channel.grpc.nodes import Node, nodes, served, until, workers
from tests.channel.grpc.test_gateway_streams import greet, relays
from tests.channel.grpc.world import CALM, LONG, refused, text

PIECE = 1 << 16
PYTHON = "/usr/bin/python3"


def word(body: bytes) -> bytes:
    """One message with its length before it."""
    return len(body).to_bytes(4, "big") + body


def answer_of(line: socket.socket) -> str:
    """The code that a Routed tells; nothing if there is a way."""
    size = int.from_bytes(exactly(line, 4), "big")
    code = parse(exactly(line, size)).get(1, b"")
    assert isinstance(code, bytes)
    return code.decode()


def exactly(line: socket.socket, size: int) -> bytes:
    body = b""
    while len(body) < size:
        more = line.recv(size - len(body))
        if not more:
            raise ConnectionError
        body += more
    return body


def partner(identity: Identity, node: Node, protocol: str = "atoll-relay/1") -> ssl.SSLSocket:
    """Connect to a gateway as another party's would, with a protocol of one's choice."""
    context = client_context(identity)
    context.set_alpn_protocols([protocol])
    host, port = node.address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=LONG)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=certificates.dns_name(node.party))


def local(path: Path) -> socket.socket:
    """Connect to a Unix socket."""
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(LONG)
    line.connect(str(path))
    return line


ROUTES = {
    "as another party": (message("job", "mill", "bank"), "ATL-NET-017"),
    "to another party": (message("job", "shop", "mill"), "ATL-NET-017"),
    "to nobody": (message("job", "shop"), "ATL-NET-017"),
    "another label": (message("other", "shop", "bank"), "ATL-NET-040"),
    "another party's label": (message("mill-only", "shop", "bank"), "ATL-NET-040"),
    "no label": (message("", "shop", "bank"), "ATL-NET-040"),
}


@pytest.mark.parametrize("case", ROUTES)
def test_a_route_must_be_the_partners_own(case: str) -> None:
    route, code = ROUTES[case]
    with nodes("shop", "bank", "mill") as (shop, bank, _):
        bank.register("job", "shop")
        bank.register("mill-only", "mill")
        with partner(shop.identity, bank) as line:
            line.sendall(word(route))
            assert answer_of(line) == code
        assert bank.gateway.counters()["refused"] == {code: 1}


BROKEN = {
    "nothing": b"",
    "a length": b"\0\0",
    "too long": b"\0\0\x10\x01" + bytes(4097),
    "far too long": b"\xff\xff\xff\xff",
    "no protobuf": word(b"\xff" * 30),
    "unknown field": word(message("job", "shop", "bank", "more")),
    "twice": word(message("job", "shop", "bank") * 2),
    "a default": word(message("job", "shop", "bank") + b"\x22\x00"),
    "http": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_routes_end_their_connection_alone(case: str) -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        with partner(shop.identity, bank) as line:
            line.sendall(BROKEN[case])
            # The first two wait for more until this end closes.
            if case not in ("nothing", "a length"):
                with suppress(ssl.SSLError, ConnectionError):
                    assert not line.recv(1)
        until(lambda: bank.gateway.counters()["refused"] == {"ATL-NET-019": 1})
        greet(ours, theirs)
        assert ours.counters()["bank"]["connections"] == 1


def test_noise_on_the_port_and_in_streams() -> None:
    rng = np.random.default_rng(7)
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        host, port = bank.address.rsplit(":", 1)
        for size in (1, 5, 100, 5000, 100_000):
            with (
                socket.create_connection((host, int(port)), timeout=LONG) as plain,
                suppress(OSError),
            ):
                plain.sendall(rng.bytes(size))
                plain.shutdown(socket.SHUT_WR)
                plain.recv(1)
            for protocol in ("h2", "atoll-relay/1"):
                with partner(shop.identity, bank, protocol) as line, suppress(OSError):
                    line.sendall(rng.bytes(size))
                    line.settimeout(0.2)
                    while line.recv(1 << 12):
                        pass
            with local(bank.socket) as line, suppress(OSError):
                line.sendall(rng.bytes(size))
                line.shutdown(socket.SHUT_WR)
                line.recv(1)
        greet(ours, theirs)
        with served(bank.gateway, lambda call: bytes(call.body)):
            assert text(shop.gateway.call("bank", "k", b"fine", LONG)) == "fine"
        assert ours.counters()["bank"]["connections"] == 1


def test_noise_in_a_relay_is_the_workers_affair() -> None:
    with nodes("shop", "bank") as (shop, bank):
        bank.register("job", "shop")
        shop.register("job", "bank")
        with bank.worker("job", {"shop": True}, CALM) as theirs:
            for size in (10, 10_000):
                with partner(shop.identity, bank) as line:
                    line.sendall(word(message("job", "shop", "bank")))
                    assert answer_of(line) == ""
                    line.sendall(np.random.default_rng(size).bytes(size))
                    with suppress(ssl.SSLError, ConnectionError):
                        while line.recv(1 << 12):
                            pass
            with shop.worker("job", {"bank": True}, CALM) as ours:
                greet(ours, theirs)
                ours.close()


def test_a_worker_takes_only_what_its_gateway_brings() -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        path = bank.worker_socket("job")
        token = bank.tokens["job"]
        for label, shown, peer, code in (
            ("job", bytes(32), "shop", "ATL-NET-041"),
            ("job", token[:31], "shop", "ATL-NET-041"),
            ("other", token, "shop", "ATL-NET-041"),
            ("job", token, "mill", "ATL-NET-006"),
        ):
            with local(path) as line:
                line.sendall(word(message(label, shown, peer)))
                assert answer_of(line) == code
        with local(path) as line:
            line.sendall(b"PRI * HTTP/2.0")
            with suppress(ConnectionError):
                assert line.recv(1) == b""
        assert theirs.counters()[""] == {"ATL-NET-041": 3, "ATL-NET-006": 1}
        greet(ours, theirs)


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path(PYTHON).exists(),
    reason="only root can be somebody else, with a Python that others may run",
)
def test_another_user_is_refused() -> None:
    code = (
        "import socket, sys; line = socket.socket(socket.AF_UNIX); line.settimeout(20);"
        "line.connect(sys.argv[1]); line.sendall(bytes.fromhex(sys.argv[2]));"
        "sys.stdout.write(repr(line.recv(64)))"
    )
    # The tests' own temporary folder may be closed to other users as it is.
    made = nodes("shop", "bank", place="/tmp")
    with made as (shop, bank), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        knock = word(message("job", shop.tokens["job"], "bank"))
        shop.folder.chmod(0o755)
        for path in (shop.socket, shop.worker_socket("job")):
            # Were the file's mode not enough, or changed.
            path.chmod(0o666)
            command = [PYTHON, "-c", code, str(path), knock.hex()]
            done = subprocess.run(command, user=65534, capture_output=True, timeout=LONG)
            assert done.stdout in (b"", b"b''"), done.stderr
        assert shop.gateway.counters()["refused"] == {"ATL-NET-041": 1}
        assert relays(bank) == 1


class Silent:
    """A worker of bank that takes streams and reads only when told."""

    def __init__(self, node: Node, *peers: str) -> None:
        node.register("job", *peers)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(node.worker_socket("job")))
        self.listener.listen()

    def take(self) -> socket.socket:
        """Accept one stream."""
        line, _ = self.listener.accept()
        line.settimeout(LONG)
        size = int.from_bytes(exactly(line, 4), "big")
        exactly(line, size)
        line.sendall(word(b""))
        return line


@contextmanager
def silent() -> Iterator[tuple[Node, Node, socket.socket, socket.socket]]:
    """Two nodes, and both ends of a stream between raw workers."""
    with nodes("shop", "bank") as (shop, bank), ExitStack() as stack:
        shop.register("job", "bank")
        worker = Silent(bank, "shop")
        stack.callback(worker.listener.close)
        near = stack.enter_context(local(shop.socket))
        near.sendall(word(message("job", shop.tokens["job"], "bank")))
        far = stack.enter_context(worker.take())
        assert answer_of(near) == ""
        yield shop, bank, near, far


def fill(near: socket.socket) -> tuple[int, bytes]:
    """Write until nothing more is taken; return how much was, and its digest."""
    near.settimeout(1.0)
    rng = np.random.default_rng(3)
    taken, digest = 0, hashlib.sha256()
    piece = b""
    with suppress(TimeoutError):
        while taken < 1 << 30:
            piece = piece or rng.bytes(PIECE)
            count = near.send(piece)
            digest.update(piece[:count])
            taken, piece = taken + count, piece[count:]
    near.settimeout(LONG)
    return taken, digest.digest()


def test_a_reader_that_does_not_read_bounds_both_gateways() -> None:
    with silent() as (shop, bank, near, far):
        taken, digest = fill(near)
        # The buffers of TCP and of the two Unix sockets are the system's; ours are below 1 MiB.
        system = int(Path("/proc/sys/net/ipv4/tcp_rmem").read_text().split()[2])
        system += int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
        system += 2 * int(Path("/proc/sys/net/core/wmem_default").read_text())
        assert taken < system + (2 << 20)
        near.shutdown(socket.SHUT_WR)
        whole = hashlib.sha256()
        size = 0
        while data := far.recv(PIECE):
            whole.update(data)
            size += len(data)
        assert (size, whole.digest()) == (taken, digest)
        sent = shop.gateway.counters()["labels"]["job"]["bank"]["bytes_sent"]
        received = bank.gateway.counters()["labels"]["job"]["shop"]["bytes_received"]
        assert sent == received == taken


def test_half_an_end_is_passed_on() -> None:
    with silent() as (shop, bank, near, far):
        near.sendall(b"all of it")
        near.shutdown(socket.SHUT_WR)
        assert exactly(far, 9) == b"all of it"
        assert far.recv(1) == b""
        far.sendall(b"an answer")
        assert exactly(near, 9) == b"an answer"
        far.shutdown(socket.SHUT_WR)
        assert near.recv(1) == b""
        until(lambda: relays(shop) == relays(bank) == 0)


@pytest.mark.parametrize("who", ["sender", "reader"])
def test_a_stuck_stream_ends_when_either_end_is_gone(who: str) -> None:
    with silent() as (shop, bank, near, far):
        fill(near)
        (near if who == "sender" else far).close()
        until(lambda: relays(shop) == relays(bank) == 0)


def test_a_partner_has_a_limit_of_streams() -> None:
    with nodes("shop", "bank", "mill") as (shop, bank, mill), ExitStack() as stack:
        worker = Silent(bank, "shop", "mill")
        stack.callback(worker.listener.close)

        def ask(node: Node) -> ssl.SSLSocket:
            line = stack.enter_context(partner(node.identity, bank))
            line.sendall(word(message("job", node.party, "bank")))
            return line

        for _ in range(256):
            line = ask(shop)
            stack.enter_context(worker.take())
            assert answer_of(line) == ""
        assert answer_of(ask(shop)) == "ATL-NET-044"
        other = ask(mill)
        stack.enter_context(worker.take())
        assert answer_of(other) == ""
        line.close()
        until(lambda: relays(bank) == 256)
        last = ask(shop)
        stack.enter_context(worker.take())
        assert answer_of(last) == ""


def test_idle_strangers_keep_nobody_out() -> None:
    with nodes("shop", "bank") as (shop, bank), ExitStack() as stack:
        host, port = bank.address.rsplit(":", 1)
        for _ in range(300):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=LONG))
        started = time.monotonic()
        with served(bank.gateway, lambda call: bytes(call.body)):
            assert text(shop.gateway.call("bank", "k", b"in", LONG)) == "in"
        # Nobody waited for the limit of a handshake.
        assert time.monotonic() - started < bank.settings.handshake_seconds


def test_a_closed_gateway_leaves_no_socket(tmp_path: Path) -> None:
    with nodes("shop", "bank") as (shop, _):
        path = tmp_path / "gate"
        gateway = Gateway(shop.identity, path)
        assert path.is_socket()
        gateway.close()
        assert not path.exists()
        with refused("ATL-NET-022"):
            gateway.next_call(0.0)

"""Clients that ask and do not read, with or without a login: docs/security/entrances.md."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from atoll.flow.api.app import create_app
from atoll.flow.api.protocol import TAKEN_BYTES, PatientProtocol
from atoll.flow.api.server import Server
from atoll.flow.api.settings import PREFIX, ApiSettings
from tests.flow.api.site import LIMITS, Site, certificate, site

SECONDS = 20.0
DOCUMENT = f"GET {PREFIX}/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("place")) as made:
        yield made


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have the system buffer little of what is sent; return what a lost connection sets."""
    made, ended = PatientProtocol.connection_made, PatientProtocol.connection_lost
    gone = threading.Event()

    def small(self: PatientProtocol, transport: Any) -> None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        made(self, transport)

    def note(self: PatientProtocol, exc: Exception | None) -> None:
        ended(self, exc)
        gone.set()

    monkeypatch.setattr(PatientProtocol, "connection_made", small)
    monkeypatch.setattr(PatientProtocol, "connection_lost", note)
    return gone


@contextlib.contextmanager
def served(place: Site, settings: ApiSettings) -> Iterator[Server]:
    with Server(create_app(place.node.services, settings), settings) as server:
        yield server


@contextlib.contextmanager
def connected(server: Server, trusted: Path | None = None) -> Iterator[socket.socket]:
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        plain.settimeout(SECONDS)
        plain.connect(("127.0.0.1", server.port))
        if trusted is None:
            yield plain
            return
        context = ssl.create_default_context(cafile=str(trusted))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as made:
            yield made


@pytest.mark.parametrize("requests", [1, 8])
@pytest.mark.parametrize("encrypted", [False, True])
def test_who_reads_nothing_loses_the_connection(
    place: Site, tmp_path: Path, lost: threading.Event, requests: int, encrypted: bool
) -> None:
    """A stranger held all 512 connections, for ever, with answers that it never read."""
    chain, key = certificate(tmp_path)
    settings = replace(LIMITS, stall_seconds=0.2)
    if encrypted:
        settings = replace(settings, certificate=chain, key=key)
    with (
        served(place, settings) as server,
        connected(server, chain if encrypted else None) as client,
    ):
        client.sendall(DOCUMENT * requests)
        assert lost.wait(SECONDS)


def test_who_reads_slowly_but_on_and_on_gets_all(place: Site, lost: threading.Event) -> None:
    """Each look of the clock finds that enough was taken."""
    with served(place, replace(LIMITS, stall_seconds=1.0)) as server:
        whole = httpx.get(f"{server.url}{PREFIX}/openapi.json").content
        assert len(whole) > 2 * TAKEN_BYTES
        lost.clear()
        with connected(server) as client:
            client.sendall(DOCUMENT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            seen = b"".join(iter(lambda: client.recv(1024), b""))
            assert seen.endswith(whole)


class _Line:
    """A transport of which a test takes what it likes."""

    def __init__(self) -> None:
        self.waiting, self.aborted = 0, False

    def write(self, data: bytes) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    ("waiting", "taken", "further", "dropped"),
    [
        (1, 0, 0, True),
        (1, 1, 0, False),
        (1, 0, 10 * TAKEN_BYTES, True),
        (10 * TAKEN_BYTES, TAKEN_BYTES - 1, 0, True),
        (10 * TAKEN_BYTES, TAKEN_BYTES, 0, False),
        (10 * TAKEN_BYTES, TAKEN_BYTES, 10 * TAKEN_BYTES, False),
        (0, 0, 10 * TAKEN_BYTES, False),
    ],
)
def test_between_two_looks_enough_of_what_waited_is_taken(
    waiting: int, taken: int, further: int, dropped: bool
) -> None:
    from atoll.flow.api.protocol import _Counted

    line = _Line()
    protocol: Any = object.__new__(PatientProtocol)
    protocol.transport = _Counted(line)
    protocol.loop = _Loop()
    protocol.transport.write(bytes(waiting))
    protocol._check_taken()
    line.waiting -= taken
    protocol.transport.write(bytes(further))
    protocol._check_taken()
    assert line.aborted == dropped


class _Loop:
    def call_later(self, *_: Any) -> None:
        """Start no clock: the test looks itself."""


def test_the_description_is_made_once(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """250 requests of a stranger for it held up a sign of life for 2.1 s."""
    made = []
    dumps = json.dumps

    def count(value: Any, *more: Any, **options: Any) -> str:
        made.extend(["paths" in value] if isinstance(value, dict) else [])
        return dumps(value, *more, **options)

    with served(place, LIMITS) as server, httpx.Client(base_url=server.url + PREFIX) as client:
        monkeypatch.setattr(json, "dumps", count)
        first = client.get("/openapi.json")
        assert {client.get("/openapi.json").content for _ in range(3)} == {first.content}
    assert made.count(True) <= 1
    assert first.headers["content-type"] == "application/json"

"""Strangers who open connections and stay silent: docs/security/entrances.md."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from atoll.flow.api import accepting
from atoll.flow.api.accepting import Acceptor, affordable
from atoll.flow.api.app import create_app
from atoll.flow.api.server import Server
from atoll.flow.api.settings import PREFIX, ApiSettings
from tests.flow.api.site import LIMITS, Site, certificate, site

SECONDS = 30.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("place")) as made:
        yield made


@pytest.fixture
def secured(tmp_path: Path) -> ApiSettings:
    chain, key = certificate(tmp_path)
    return replace(LIMITS, certificate=chain, key=key)


def _served(place: Site, settings: ApiSettings) -> Server:
    return Server(create_app(place.node.services, settings), settings)


def _silent(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), SECONDS)


def _is_closed(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        return connection.recv(1) == b""
    return True


def _answer(server: Server, chain: Path) -> Any:
    trusting = ssl.create_default_context(cafile=str(chain))
    with httpx.Client(verify=trusting, timeout=SECONDS) as client:
        return client.get(f"{server.url}{PREFIX}/health/live").json()


def test_a_silent_handshake_ends_in_time(place: Site, secured: ApiSettings) -> None:
    settings = replace(secured, header_seconds=0.2)
    with _served(place, settings) as server, _silent(server.port) as silent:
        assert _is_closed(silent)


def test_silent_handshakes_hold_few_places_and_the_oldest_goes(
    place: Site, secured: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "UNFINISHED", 4)
    # No handshake ends by its clock here.
    settings = replace(secured, header_seconds=600.0)
    assert settings.certificate is not None
    with _served(place, settings) as server, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(_silent(server.port)) for _ in range(20)]
        assert _answer(server, settings.certificate) == {"status": "live"}
        # The one that was answered took a place, too.
        assert all(_is_closed(one) for one in silent[:17])
        for last in silent[17:]:
            last.setblocking(False)
            with pytest.raises(BlockingIOError):
                last.recv(1)


async def _accepted(found: list[tuple[socket.socket, Any] | OSError], acceptor: Acceptor) -> None:
    """Take what is found, one after the other, and be cancelled after the last."""
    done = asyncio.Event()

    async def accept() -> tuple[socket.socket, Any]:
        if not found:
            done.set()
            await asyncio.Event().wait()
        chosen = found.pop(0)
        if isinstance(chosen, OSError):
            raise chosen
        # What was begun goes on.
        await asyncio.sleep(0)
        return chosen

    task = asyncio.create_task(acceptor.run(accept))
    await asyncio.wait_for(done.wait(), SECONDS)
    task.cancel()
    await asyncio.wait([task])


def test_no_descriptor_ends_an_unfinished_handshake_and_not_the_server(
    secured: ApiSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "_PAUSE_SECONDS", 0.0)
    assert secured.certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secured.certificate, secured.key)
    ours, theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
    gone = OSError(errno.EMFILE, "Too many open files")
    taken: list[tuple[socket.socket, Any] | OSError] = [
        *((one, ("192.0.2.7", 1)) for one in ours[:2]),
        *[gone] * 200,
        (ours[2], ("192.0.2.8", 1)),
    ]
    acceptor = Acceptor(asyncio.Protocol, context, 600.0, lambda: False)
    with contextlib.closing(theirs[0]), contextlib.closing(theirs[1]):
        asyncio.run(_accepted(taken, acceptor))
        assert _is_closed(theirs[0])
        assert _is_closed(theirs[1])
    theirs[2].close()
    # Who cannot be taken is counted, and does not fill the log.
    lines = [r for r in caplog.records if "no connection was taken" in r.getMessage()]
    assert len(lines) == 30


def test_the_address_with_most_unfinished_handshakes_gives_way(
    secured: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "UNFINISHED", 3)
    assert secured.certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secured.certificate, secured.key)
    ours, theirs = zip(*(socket.socketpair() for _ in range(4)), strict=True)
    addresses = ["192.0.2.7", "192.0.2.8", "192.0.2.8", "192.0.2.9"]
    closed: list[int] = []

    async def all_of_them() -> None:
        found: list[tuple[socket.socket, Any] | OSError] = [
            (one, (address, 1)) for one, address in zip(ours, addresses, strict=True)
        ]
        acceptor = Acceptor(asyncio.Protocol, context, 600.0, lambda: False)
        running = asyncio.create_task(_accepted(found, acceptor))
        loop = asyncio.get_running_loop()
        theirs[1].setblocking(False)
        assert await asyncio.wait_for(loop.sock_recv(theirs[1], 1), SECONDS) == b""
        closed.append(1)
        await running

    asyncio.run(all_of_them())
    assert closed == [1]
    for one in theirs:
        one.close()


def test_nobody_is_taken_beyond_the_bound() -> None:
    ours, theirs = socket.socketpair()
    acceptor = Acceptor(asyncio.Protocol, None, 600.0, lambda: True)
    with contextlib.closing(theirs):
        asyncio.run(_accepted([(ours, ("192.0.2.7", 1))], acceptor))
        assert _is_closed(theirs)


@pytest.mark.parametrize(("files", "most"), [(256, 128), (1024, 512), (4096, 3072), (65_536, 8192)])
def test_connections_leave_descriptors_for_the_work(
    files: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert affordable(8192) == most

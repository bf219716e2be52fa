"""A user who downloads much and reads nothing, against the API of a whole node."""

from __future__ import annotations

import contextlib
import gc
import io
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from atoll.flow.api import pieces as tables
from atoll.flow.api.app import create_app
from atoll.flow.api.server import Server
from atoll.flow.api.services import Content
from atoll.flow.api.settings import PREFIX, ApiSettings
from atoll.flow.work.artifacts import store
from atoll.table import Table
from tests.flow.api.site import LIMITS, Site, site

SECONDS = 20.0
TABLE = f"{PREFIX}/jobs/20260101000000-0123abcd/artifacts/read/table"
PATIENT = replace(LIMITS, stall_seconds=SECONDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("place")) as made:
        yield made


class Kept:
    """Jobs of which each has left one table of 2 MB."""

    def __init__(self, folder: Path) -> None:
        values = np.random.default_rng(1).normal(size=250_000)
        table = Table.from_columns([str(at) for at in range(len(values))], {"x": values})
        stored = store("table", table, folder)
        path = folder / stored.digest
        self._content = Content("rows", "table", path, stored.digest, stored.size)

    def open_artifact(self, *_: Any) -> Content:
        return self._content

    def list(self, **_: Any) -> Any:
        return type("Page", (), {"rows": (), "next": None})


@contextlib.contextmanager
def served(place: Site, folder: Path, settings: ApiSettings = PATIENT) -> Iterator[Site]:
    jobs: Any = Kept(folder)
    with Server(create_app(replace(place.node.services, jobs=jobs), settings), settings) as server:
        yield Site(place.node, server, place.tokens)


@contextlib.contextmanager
def downloads(busy: Site, who: str, number: int, form: str) -> Iterator[None]:
    """Ask for the table so often, over connections of their own, and read no answer's rows."""
    head = f"GET {TABLE}?format={form} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    request = f"{head}Authorization: Bearer {busy.tokens[who]}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.settimeout(SECONDS)
            connection.connect(("127.0.0.1", busy.server.port))
            connection.sendall(request)
            assert connection.recv(12) == b"HTTP/1.1 200"
        yield


def test_downloads_of_one_user_are_few_at_once(place: Site, tmp_path: Path) -> None:
    """100 of them that were not read took 1.3 GB of temporary files."""
    address = TABLE.removeprefix(PREFIX)
    with (
        served(place, tmp_path) as busy,
        downloads(busy, "modeller", PATIENT.user_downloads, "parquet"),
        busy.client("modeller") as user,
        busy.client("everybody") as other,
    ):
        answer = user.get(address)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "ATL-API-021")
        assert other.get(address).is_success


def test_who_makes_a_download_holds_no_thread_of_other_requests(
    place: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer's list of jobs took 46 s instead of 0.01 s."""
    release = threading.Event()

    def slow(_: Any) -> Iterator[bytes]:
        yield b"begun"
        assert release.wait(SECONDS)

    monkeypatch.setitem(tables._WRITERS, "csv", slow)
    settings = replace(PATIENT, user_downloads=50, downloaders=50, connections=200)
    with (
        served(place, tmp_path, settings) as busy,
        downloads(busy, "modeller", 45, "csv"),
        busy.client("viewer") as viewer,
    ):
        assert viewer.get("/jobs", timeout=5.0).json() == {"items": [], "next": None}
        release.set()


def test_a_download_that_is_broken_off_leaves_no_file(
    place: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lay on the disk until Python looked for cycles."""
    closed = threading.Event()

    class Noted(io.BytesIO):
        def close(self) -> None:
            super().close()
            closed.set()

    monkeypatch.setattr(tempfile, "TemporaryFile", Noted)
    gc.disable()
    try:
        with served(place, tmp_path) as busy:
            with downloads(busy, "modeller", 1, "arrow"):
                assert not closed.is_set()
            assert closed.wait(30.0)
    finally:
        gc.enable()


def test_a_download_that_is_read_is_whole(place: Site, tmp_path: Path) -> None:
    with served(place, tmp_path) as busy:
        headers = {"Authorization": f"Bearer {busy.tokens['modeller']}"}
        answer = httpx.get(f"{busy.server.url}{TABLE}", headers=headers, timeout=SECONDS)
        assert len(answer.text.splitlines()) == 250_001
        with busy.client("modeller") as user:
            for _ in range(PATIENT.user_downloads + 1):
                assert user.get(TABLE.removeprefix(PREFIX)).is_success

"""Users and strangers who ask again and again, against the API of a whole node."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from atoll.flow.api import server
from atoll.flow.api.access_log import STRANGERS_LINES, AccessLog, Damper, Warnings
from atoll.flow.api.exchange import HttpExchange
from tests.flow.api.site import JOB, Site, site


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("place")) as made:
        yield made


def test_a_user_has_a_share_of_the_jobs_that_wait(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One modeller could have the jobs of all others refused."""
    jobs: Any = place.node.services.jobs
    few = jobs._settings.model_copy(update={"user_open": 2})
    monkeypatch.setattr(jobs, "_settings", few)
    first, second = place.person("mo", "modeller"), place.person("mia", "modeller")
    with place.client(first) as user, place.client(second) as other:
        made = [user.post("/jobs", json={"job": JOB}) for _ in range(3)]
        assert [one.status_code for one in made] == [201, 201, 409]
        assert made[2].json()["error"]["code"] == "ATL-NOD-024"
        assert other.post("/jobs", json={"job": JOB}).status_code == 201
        user.post(f"/jobs/{made[0].json()['id']}/stop").raise_for_status()
        assert user.post("/jobs", json={"job": JOB}).status_code == 201


def test_strangers_write_few_lines_of_the_log(
    place: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Each request was a line, of up to 1.4 kB: soon the log held nothing else."""
    odd = "/" + "%f0%9f%98%80" * 300
    with caplog.at_level(logging.INFO, "atoll.api.access"), place.client(None) as stranger:
        for _ in range(2 * STRANGERS_LINES):
            assert stranger.get(odd).status_code == 404
        with place.client("viewer") as user:
            mine = user.get("/me").headers["x-request-id"]
    lines = [json.loads(line) for line in caplog.messages if line.startswith("{")]
    assert sum("user" not in line for line in lines) <= STRANGERS_LINES
    assert all(len(line) < 300 for line in caplog.messages)
    assert any(line["id"] == mine for line in lines)


def test_what_is_left_out_of_the_log_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = AccessLog(lambda: now[0])
    with caplog.at_level(logging.INFO, "atoll.api.access"):
        for _ in range(STRANGERS_LINES + 7):
            log.write(HttpExchange("GET", "/"))
        assert len(caplog.messages) == STRANGERS_LINES
        now[0] = 60.0
        log.write(HttpExchange("GET", "/"))
        log.write(HttpExchange("GET", "/"))
    assert [json.loads(line).get("left_out_before") for line in caplog.messages[-2:]] == [7, None]


def test_strangers_cause_few_warnings(
    place: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._WARNINGS, "_damper", Damper(STRANGERS_LINES))
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        for _ in range(STRANGERS_LINES + 5):
            with socket.create_connection(("127.0.0.1", place.server.port), 20.0) as client:
                client.sendall(b"no request\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 400"
    assert len(caplog.messages) == STRANGERS_LINES
    fault = logging.LogRecord("uvicorn.error", logging.ERROR, "f", 1, "a fault", (), None)
    assert all(Warnings().filter(fault) for _ in range(2 * STRANGERS_LINES))

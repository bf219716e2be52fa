"""Users and strangers who ask again and again, against the API of a whole node."""

from __future__ import annotations

import json
import logging
import secrets
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from atoll.core.errors import UserError
from atoll.flow.access import Access
from atoll.flow.access.authenticator import AccessSettings
from atoll.flow.access.errors import ThrottledError
from atoll.flow.api import server
from atoll.flow.api.access_log import STRANGERS_LINES, AccessLog, Damper, Warnings
from atoll.flow.api.app import create_app
from atoll.flow.api.exchange import HttpExchange
from atoll.flow.api.server import Server
from atoll.flow.api.shares import Shares
from atoll.flow.node.configuration import load
from tests.flow.api.site import JOB, LIMITS, Site, site


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
            # A line may still be on its way when its answer is there.
            user.get("/me")
            user.get("/me")
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


WRONG = {"user": "unknown", "password": "a wrong password"}


@pytest.fixture
def proxied(place: Site) -> Iterator[Site]:
    """Serve the node behind a proxy, on logins that were not tried before."""
    access: Any = Access(place.node.database, AccessSettings(free_failures_of_address=2))
    settings = replace(LIMITS, proxies=("127.0.0.0/8", "192.0.2.1/32"))
    services = replace(place.node.services, access=access)
    with Server(create_app(services, settings), settings) as behind:
        yield Site(place.node, behind, place.tokens)


def _waits(site: Site, forwarded: str) -> bool:
    """Return whether the wrong password of a further name has to wait."""
    asked = {**WRONG, "user": secrets.token_hex(4)}
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    with site.client(None) as stranger:
        return stranger.post("/login", json=asked, headers=headers).status_code == 429


def test_behind_a_proxy_a_stranger_shuts_out_its_own_address_alone(proxied: Site) -> None:
    """All had the proxy's address: after thirty failures of a stranger no one could log in."""
    assert not any(_waits(proxied, "198.51.100.7") for _ in range(3))
    assert _waits(proxied, "198.51.100.7")
    # What a stranger writes itself stands before what the proxy adds.
    assert _waits(proxied, "203.0.113.9, 198.51.100.7")
    assert _waits(proxied, "198.51.100.7, 192.0.2.1")
    assert not _waits(proxied, "203.0.113.9")
    assert not _waits(proxied, "198.51.100.7, 203.0.113.9")


def test_who_is_no_trusted_proxy_states_no_address(place: Site) -> None:
    access: Any = Access(place.node.database, AccessSettings(free_failures_of_address=2))
    services = replace(place.node.services, access=access)
    for proxies in ((), ("192.0.2.1/32",)):
        settings = replace(LIMITS, proxies=proxies)
        with Server(create_app(services, settings), settings) as bare:
            site = Site(place.node, bare, place.tokens)
            tried = [_waits(site, f"198.51.100.{at}") for at in range(4)]
            assert tried[-1]


def test_a_proxy_is_an_address_or_a_network() -> None:
    named = ["192.0.2.1", "10.0.0.0/8", "2001:db8::1"]
    assert load(flags={"http.proxies": named}, environment={}).settings.http.proxies == (*named,)
    for wrong in ("proxy.example", "10.0.0.1/8", "*"):
        with pytest.raises(UserError, match="ATL-SET-011"):
            load(flags={"http.proxies": [wrong]}, environment={})


def test_what_only_looks_leaves_no_line_in_the_audit_log(place: Site) -> None:
    """A viewer grew it by a line a request."""
    before = place.audited()
    with place.client("viewer") as viewer:
        for _ in range(3):
            answer = viewer.post("/models/m/1/predict-job", json={"tables": {"bank": "people"}})
            assert answer.json()["error"]["code"] == "ATL-REG-001"
        assert place.audited() == before
        assert viewer.post("/data/people/check").is_success
    assert place.audited() == before + 1


def test_a_user_has_so_many_changes_in_an_hour(place: Site) -> None:
    settings = replace(LIMITS, user_changes=4)
    name = place.person("max", "viewer")
    with Server(create_app(place.node.services, settings), settings) as few:
        site = Site(place.node, few, place.tokens)
        before = place.audited()
        with site.client(name) as viewer, site.client("everybody") as other:
            for number in range(2):
                made = viewer.post("/tokens", json={"name": f"t{number}", "scopes": ["job.read"]})
                viewer.delete(f"/tokens/{made.json()['id']}").raise_for_status()
            answers = [viewer.post("/data/people/check") for _ in range(20)]
            assert {one.status_code for one in answers} == {429}
            assert answers[0].json()["error"]["code"] == "ATL-API-024"
            assert 3500 < int(answers[0].headers["retry-after"]) <= 3600
            assert viewer.get("/jobs").is_success
            assert other.post("/data/people/check").is_success
        # The changes, ten lines of refusals (the others are counted), and the other user's.
        assert place.audited() <= before + 4 + 10 + 1


def test_changes_are_free_again_after_an_hour() -> None:
    now = [0.0]
    shares = Shares(replace(LIMITS, user_changes=1), lambda: now[0])
    shares.note_change("a")
    shares.note_change("b")
    now[0] = 3599.0
    with pytest.raises(ThrottledError, match="ATL-API-024"):
        shares.note_change("a")
    now[0] = 3600.0
    shares.note_change("a")

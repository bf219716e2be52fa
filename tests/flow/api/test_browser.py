"""A real browser on an extension's page, over HTTPS: log in, look, watch, change, log out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atoll.flow.api.app import create_app
from atoll.flow.api.server import Server
from atoll.flow.api.settings import ApiSettings
from tests.flow.api.chromium import Page, chromium
from tests.flow.api.probe import PAGES, PROBE
from tests.flow.api.site import JOB, LIMITS, PASSWORD, Site, certificate


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ApiSettings:
    chain, key = certificate(tmp_path_factory.mktemp("tls"))
    return replace(LIMITS, certificate=chain, key=key)


# Servers outlive the browser: it keeps connections open.
@pytest.fixture(scope="module")
def server(node_site: Site, settings: ApiSettings) -> Iterator[Server]:
    with Server(create_app(node_site.node.services, settings, [PROBE]), settings) as made:
        yield made


@pytest.fixture(scope="module")
def other(node_site: Site, settings: ApiSettings) -> Iterator[Server]:
    """Serve a page that may ask anybody: what some other program on this machine may serve."""
    evil = replace(PROBE, pages=replace(PAGES, policy="default-src 'self'; connect-src *"))
    with Server(create_app(node_site.node.services, settings, [evil]), settings) as made:
        yield made


@pytest.fixture
def page(server: Server, other: Server, settings: ApiSettings, tmp_path: Path) -> Iterator[Page]:
    assert settings.certificate is not None
    with chromium(tmp_path / "profile", settings.certificate) as opened:
        opened.go(f"{server.url}/probe/")
        yield opened


def send(page: Page, method: str, path: str, *more: Any) -> dict[str, Any]:
    """Let the page's own script ask the API."""
    reported = ", ".join(json.dumps(part) for part in (method, path, *more))
    answer: dict[str, Any] = page.run(f"send({reported})")
    return answer


def test_a_page_works_with_a_session_and_no_script_sees_it(
    node_site: Site, server: Server, page: Page
) -> None:
    user = node_site.member("wendy", "modeller", "approver")
    # Its own script ran, and the one within the page did not: the policy forbids it.
    assert page.run("document.getElementById('state').textContent") == "ready"
    assert page.run("document.title") == "probe"
    assert any("Content Security Policy" in line for line in page.printed)
    assert send(page, "GET", "/me")["status"] == 401

    opened = send(page, "POST", "/session", {"user": user, "password": PASSWORD})
    assert opened["status"] == 200
    csrf = {"X-CSRF-Token": opened["body"]["csrf"]}
    me = send(page, "GET", "/me")["body"]
    assert (me["user"], me["csrf"]) == (user, csrf["X-CSRF-Token"])
    (cookie,) = page.cookies()
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    assert (cookie["path"], cookie["session"]) == ("/api/v1", True)
    assert page.run("document.cookie") == ""
    secret = cookie["value"]
    assert secret not in page.run(
        "document.documentElement.outerHTML + JSON.stringify(localStorage)"
    )

    refused = send(page, "POST", "/jobs", {"job": JOB})
    assert (refused["status"], refused["body"]["error"]["code"]) == (403, "ATL-API-018")
    made = send(page, "POST", "/jobs", {"job": JOB}, csrf)
    assert made["status"] == 201
    job = made["body"]["id"]
    numbers = page.run(f"watch({json.dumps(job)}, 1)")
    assert len(numbers) == 1
    assert send(page, "POST", "/probe/notes", {"text": "seen"}, csrf)["body"]["by"] == user
    assert send(page, "POST", f"/jobs/{job}/stop", None, csrf)["status"] == 200

    # A cookie that the browser keeps is worth nothing once its session has ended.
    assert send(page, "POST", "/logout", None, csrf)["status"] == 204
    assert page.cookies() == []
    assert send(page, "GET", "/me")["status"] == 401


def test_a_page_of_another_port_can_neither_read_nor_change(
    node_site: Site, server: Server, other: Server, page: Page
) -> None:
    """Ports share cookies and are one site to a browser, so that alone protects nothing."""
    user = node_site.member("xena", "modeller")
    opened = send(page, "POST", "/session", {"user": user, "password": PASSWORD})
    ours = f"{server.url}/api/v1"

    def ask(path: str, method: str, **options: Any) -> str:
        reported = json.dumps({"method": method, "credentials": "include", **options})
        answered = f"fetch('{ours}{path}', {reported}).then(() => 'answered', () => 'refused')"
        return str(page.run(answered))

    page.go(f"{other.url}/probe/")
    csrf = {"X-CSRF-Token": opened["body"]["csrf"]}
    assert ask("/me", "GET") == "refused"
    assert ask("/logout", "POST", headers=csrf) == "refused"
    before = node_site.audited()
    # This one needs no leave: it is sent, cookie and all. The node refuses it.
    assert ask("/logout", "POST", mode="no-cors") == "refused"
    line = node_site.node.access.audit.page(limit=1, newest_first=True).rows[0]
    assert (node_site.audited(), line["actor"]) == (before + 1, user)
    assert (line["outcome"], line["detail"]["code"]) == ("refused", "ATL-API-019")
    page.go(f"{server.url}/probe/")
    assert send(page, "GET", "/me")["body"]["user"] == user

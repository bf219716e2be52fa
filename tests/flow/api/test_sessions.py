"""Sessions of browsers over HTTPS: the cookie, the CSRF token, other sites, the event stream."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from atoll.flow.access import Actor
from atoll.flow.api import watching
from atoll.flow.api.app import create_app
from atoll.flow.api.cookies import CSRF
from atoll.flow.api.server import Server
from atoll.flow.api.settings import PREFIX
from tests.flow.api.probe import PROBE
from tests.flow.api.site import JOB, LIMITS, PASSWORD, Site, certificate

NOTE = {"text": "hello"}
STREAM = {"Accept": "text/event-stream"}


@dataclass
class Secure:
    """The node's API over HTTPS, and a modeller who can log in."""

    site: Site
    server: Server
    chain: Path
    user: str

    def client(self) -> httpx.Client:
        trusting = ssl.create_default_context(cafile=str(self.chain))
        return httpx.Client(base_url=self.server.url + PREFIX, verify=trusting, timeout=30.0)

    def enter(self, client: httpx.Client) -> str:
        """Log a browser in and return its CSRF token."""
        answer = client.post("/session", json={"user": self.user, "password": PASSWORD})
        answer.raise_for_status()
        return str(answer.json()["csrf"])


@pytest.fixture(scope="module")
def secure(node_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    chain, key = certificate(tmp_path_factory.mktemp("tls"))
    settings = replace(LIMITS, certificate=chain, key=key)
    user = node_site.member("sam", "modeller", "approver")
    with Server(create_app(node_site.node.services, settings, [PROBE]), settings) as server:
        yield Secure(node_site, server, chain, user)


@pytest.fixture
def browser(secure: Secure) -> Iterator[httpx.Client]:
    with secure.client() as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    secure: Secure, browser: httpx.Client
) -> None:
    answer = browser.post("/session", json={"user": "sam", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    name = f"__Secure-atoll-session-{secure.server.port}"
    assert cookie.startswith(f"{name}=atoll_")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "path=/api/v1", "samesite=strict", "secure"}
    assert answer.json().keys() == {"csrf", "expires"}
    assert browser.cookies[name] not in answer.text
    described = secure.server._app.openapi()["components"]["securitySchemes"]
    assert described["csrf"]["name"] == CSRF


def test_without_tls_it_is_a_plain_cookie_of_this_port(node_site: Site) -> None:
    with node_site.client(None) as client:
        name = node_site.member("tom", "viewer")
        answer = client.post("/session", json={"user": name, "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"atoll-session-{node_site.server.port}=")
    assert "secure" not in cookie.lower()


def test_a_wrong_password_opens_none_and_is_throttled_as_every_login(
    secure: Secure, browser: httpx.Client
) -> None:
    name = secure.site.member("uma", "viewer")
    body = {"user": name, "password": "wrong"}
    seen = [browser.post(f"/{where}", json=body) for where in ("session", "login") * 4]
    assert {answer.status_code for answer in seen[:5]} == {401}
    assert code(seen[-1]) == (429, "ATL-ACC-004")
    assert not any("set-cookie" in answer.headers for answer in seen)


def test_a_change_needs_the_csrf_token_and_looking_does_not(
    secure: Secure, browser: httpx.Client
) -> None:
    csrf = secure.enter(browser)
    me = browser.get("/me").json()
    assert (me["user"], me["csrf"]) == ("sam", csrf)
    with secure.client() as second:
        foreign = secure.enter(second)
    assert foreign != csrf
    for wrong in (None, "", "x", foreign, "ä"):
        headers = {} if wrong is None else {CSRF.encode(): wrong.encode()}
        refused = browser.post("/jobs", json={"job": JOB}, headers=headers)
        assert code(refused) == (403, "ATL-API-018")
    line = secure.site.node.access.audit.page(limit=1, newest_first=True).rows[0]
    assert (line["actor"], line["action"], line["outcome"]) == ("sam", "jobs.submit", "refused")
    made = browser.post("/jobs", json={"job": JOB}, headers={CSRF: csrf})
    assert made.status_code == 201
    stopped = browser.post(f"/jobs/{made.json()['id']}/stop", headers={CSRF: csrf})
    assert stopped.status_code == 200


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://[::"}, False),
        ({"Origin": "https://127.0.0.1:1"}, False),
        ({"Origin": "https://HOST"}, True),
    ],
)
def test_another_sites_page_is_refused_even_with_the_token(
    secure: Secure, browser: httpx.Client, headers: dict[str, str], passes: bool
) -> None:
    host = f"127.0.0.1:{secure.server.port}"
    sent = {name: value.replace("HOST", host) for name, value in headers.items()}
    csrf = secure.enter(browser)
    answer = browser.post("/probe/notes", json=NOTE, headers={CSRF: csrf, **sent})
    if passes:
        assert answer.status_code == 201
    else:
        assert code(answer) == (403, "ATL-API-019")
        # Nor may it log somebody in, as somebody else.
        body = {"user": "sam", "password": PASSWORD}
        assert code(browser.post("/session", json=body, headers=sent)) == (403, "ATL-API-019")
    assert browser.get("/me", headers=sent).status_code == 200


def test_a_header_counts_before_the_cookie_and_needs_no_csrf_token(
    secure: Secure, browser: httpx.Client
) -> None:
    secure.enter(browser)
    token = {"Authorization": f"Bearer {secure.site.tokens['viewer']}"}
    me = browser.get("/me", headers=token).json()
    assert (me["user"], me["csrf"]) == ("viewer", None)
    # A modeller's cookie does not help a viewer's token, and a wrong token is not made good by it.
    assert code(browser.post("/probe/notes", json=NOTE, headers=token))[1] == "ATL-ACC-003"
    modeller = {"Authorization": f"Bearer {secure.site.tokens['modeller']}"}
    assert browser.post("/probe/notes", json=NOTE, headers=modeller).status_code == 201
    for wrong in ("", "Bearer x", f"Bearer {browser.cookies.get(_name(secure))}"):
        assert browser.get("/me", headers={"Authorization": wrong}).status_code == 401


def _name(secure: Secure) -> str:
    return f"__Secure-atoll-session-{secure.server.port}"


def test_a_token_in_the_cookie_counts_for_nothing(secure: Secure, browser: httpx.Client) -> None:
    for token in (secure.site.tokens["everybody"], "x", "\u00e4"):
        cookie = f"{_name(secure)}={token}".encode("latin-1")
        assert browser.get("/me", headers={b"Cookie": cookie}).status_code == 401


def test_logging_out_ends_the_session_and_clears_the_cookie(
    secure: Secure, browser: httpx.Client
) -> None:
    csrf = secure.enter(browser)
    secret = browser.cookies[_name(secure)]
    listed = browser.get("/tokens").json()["items"][0]
    assert (listed["name"], listed["session"]) == ("browser session", True)
    assert code(browser.post("/logout")) == (403, "ATL-API-018")
    gone = browser.post("/logout", headers={CSRF: csrf})
    assert gone.status_code == 204
    assert "max-age=0" in gone.headers["set-cookie"].lower()
    assert not browser.cookies
    again = browser.get("/me", headers={"Cookie": f"{_name(secure)}={secret}"})
    assert code(again) == (401, "ATL-ACC-002")


def test_the_event_stream_takes_the_cookie_alone(secure: Secure, browser: httpx.Client) -> None:
    csrf = secure.enter(browser)
    job = browser.post("/jobs", json={"job": JOB}, headers={CSRF: csrf}).json()["id"]
    first = browser.get(f"/jobs/{job}/events", params={"wait": 10}).json()["items"][0]["number"]
    browser.post(f"/jobs/{job}/stop", headers={CSRF: csrf}).raise_for_status()
    headers = {**STREAM, "Last-Event-ID": str(first)}
    with browser.stream("GET", f"/jobs/{job}/events", headers=headers) as answer:
        lines = list(answer.iter_lines())
    numbers = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    assert numbers
    assert min(numbers) > first
    assert "event: end" in lines


@pytest.mark.parametrize("how", ["logout", "disabled"])
def test_an_open_stream_ends_when_its_session_may_no_longer(
    secure: Secure, browser: httpx.Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(watching, "ALIVE_SECONDS", 0.1)
    csrf = secure.enter(browser)
    job = browser.post("/jobs", json={"job": JOB}, headers={CSRF: csrf}).json()["id"]
    access = secure.site.node.access
    ends: dict[str, Callable[[], object]] = {
        "logout": lambda: access.logout(
            access.authenticate(browser.cookies[_name(secure)], browser=True)
        ),
        "disabled": lambda: access.set_disabled(_admin(secure), "sam", True),
    }
    try:
        with browser.stream("GET", f"/jobs/{job}/events", headers=STREAM) as answer:
            lines = answer.iter_lines()
            next(lines)
            ends[how]()
            assert "event: end" not in list(lines)
    finally:
        access.set_disabled(_admin(secure), "sam", False)
        with secure.site.client("modeller") as other:
            other.post(f"/jobs/{job}/stop").raise_for_status()


def _admin(secure: Secure) -> Actor:
    return secure.site.node.access.authenticate(secure.site.tokens["administrator"])


def test_without_access_control_other_sites_still_change_nothing(node_site: Site) -> None:
    settings = replace(LIMITS, authentication=False)
    with Server(create_app(node_site.node.services, settings, [PROBE]), settings) as server:
        place = f"{server.url}{PREFIX}/probe/notes"
        evil = {"Origin": "https://evil.example"}
        assert code(httpx.post(place, json=NOTE, headers=evil)) == (403, "ATL-API-019")
        assert httpx.post(place, json=NOTE).status_code == 201

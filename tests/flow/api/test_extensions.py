"""An extension on a real node: its routes behind the shell, its pages, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from atoll.core.errors import InternalError
from atoll.flow.access import UserRole
from atoll.flow.api.app import OWN_ROUTES, create_app
from atoll.flow.api.extension import POLICY, PREFIX, Extension, Pages, Routes
from atoll.flow.api.mounting import mount
from tests.flow.api.probe import PAGES, PROBE
from tests.flow.api.site import LIMITS, Site


@pytest.fixture
def pages(node_site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node_site.server.url, timeout=30.0) as client:
        yield client


# -- routes ---------------------------------------------------------------------------------------


def test_its_routes_are_authorised_and_audited_like_ours(node_site: Site) -> None:
    writer = node_site.person("walt", "modeller")
    looker = node_site.person("lucy", "auditor")
    with node_site.client(writer) as client:
        assert client.get("/probe/notes/one").json()["text"] == "one"
        made = client.post("/probe/notes", json={"text": "hello"})
        assert (made.status_code, made.json()["by"]) == (201, "walt")
    with node_site.client(looker) as client:
        refused = client.post("/probe/notes", json={"text": "hello"})
        assert refused.json()["error"]["code"] == "ATL-ACC-003"
        assert "approver, modeller" in refused.json()["error"]["hint"]
    rows = node_site.node.access.audit.page(limit=2, newest_first=True).rows
    reported = [(line["actor"], line["action"], line["outcome"]) for line in reversed(rows)]
    assert reported == [("walt", "probe.write", "done"), ("lucy", "probe.use", "refused")]


def test_its_routes_have_our_errors_limits_idempotency_and_figures(node_site: Site) -> None:
    with node_site.client("everybody") as client:
        wrong = client.post("/probe/notes", json={"txt": "hello"})
        assert wrong.json()["error"]["code"] == "ATL-API-001"
        twice = client.post(
            "/probe/notes",
            content=b'{"text": "a", "text": "b"}',
            headers={"Content-Type": "application/json"},
        )
        assert twice.json()["error"]["code"] == "ATL-API-005"
        large = client.post("/probe/notes", json={"text": "x" * LIMITS.body_bytes})
        assert (large.status_code, large.json()["error"]["code"]) == (413, "ATL-API-004")
        keyed = {"Idempotency-Key": "note-1"}
        first = client.post("/probe/notes", json={"text": "once"}, headers=keyed)
        again = client.post("/probe/notes", json={"text": "once"}, headers=keyed)
        assert first.json() == again.json()
        assert again.headers["Idempotent-Replay"] == "true"
        assert 'operation="probe_write",status="201"' in client.get("/metrics").text


def test_it_is_part_of_the_description(node_site: Site) -> None:
    with node_site.client() as client:
        document = client.get("/openapi.json").json()
    assert document["tags"] == [{"name": "probe", "description": "Notes for tests."}]
    operation = document["paths"][f"{PREFIX}/probe/notes"]["post"]
    assert operation["x-permission"] == "probe.use"
    assert operation["security"] == [{"bearer": []}, {"cookie": [], "csrf": []}]
    assert {"401", "403", "413", "422"} <= operation["responses"].keys()


def test_its_permission_is_a_tokens_scope_as_well(node_site: Site) -> None:
    with node_site.client("modeller") as client:
        assert "probe.use" in client.get("/me").json()["permissions"]
        made = client.post("/tokens", json={"name": "p", "scopes": ["probe.use"], "days": 1}).json()
        node_site.tokens["probe"] = made["token"]
    with node_site.client("probe") as narrow:
        assert narrow.get("/probe/notes/x").status_code == 200
        assert narrow.get("/jobs").status_code == 403


# -- pages ----------------------------------------------------------------------------------------


def test_pages_need_no_login_and_say_what_they_may_load(pages: httpx.Client) -> None:
    answer = pages.get("/probe/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    script = pages.get("/probe/assets/probe.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    lead = pages.get("/probe")
    assert (lead.status_code, lead.headers["location"]) == (308, "/probe/")
    assert not any("set-cookie" in one.headers for one in (answer, script, lead))


def test_what_has_not_changed_is_not_sent_again(pages: httpx.Client) -> None:
    tag = pages.get("/probe/").headers["etag"]
    again = pages.get("/probe/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == POLICY
    assert pages.get("/probe/", headers={"If-None-Match": '"other"'}).status_code == 200
    assert pages.head("/probe/").content == b""


def test_an_address_without_a_file_is_the_first_page_but_for_files(pages: httpx.Client) -> None:
    assert pages.get("/probe/jobs/42").text == pages.get("/probe/").text
    for path in ("/probe/assets/gone.js", "/probe/favicon.ico", "/probes/", "/api/v1/probe/"):
        answer = pages.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ATL-API-002")
    assert pages.post("/probe/").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/probe/../__init__.py",
        "/probe/%2e%2e/__init__.py",
        "/probe/..%2f__init__.py",
        "/probe/assets/..%2f..%2f__init__.py",
        "/probe/..%5c__init__.py",
        "/probe/%2fetc%2fpasswd.txt",
        "/probe//etc/hosts.txt",
        "/probe/%00.txt",
        "/probe/" + "a" * 3000 + ".txt",
    ],
)
def test_nothing_outside_the_folder_is_read(node_site: Site, path: str) -> None:
    import http.client

    # As it is: a client that thinks along would tidy the path.
    connection = http.client.HTTPConnection("127.0.0.1", node_site.server.port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in {400, 404}
    assert b"PROBE" not in body
    assert b"localhost" not in body


# -- what is refused at the start -----------------------------------------------------------------


def made(prefix: str, permission: str = "probe.use", tag: str = "probe") -> tuple[Routes, ...]:
    def endpoint() -> None:
        """Tell nothing."""

    routes = Routes(tag, prefix)
    routes.get("/x", may=permission)(endpoint)
    return (routes,)


WRONG: dict[str, dict[str, Any]] = {
    "a name that is none": {"name": "Probe"},
    "a resource of ours": {"name": "jobs", "permissions": {}, "routes": (), "pages": None},
    "a route elsewhere": {"routes": made(f"{PREFIX}/other")},
    "an address of ours": {"routes": made(f"{PREFIX}/jobs"), "prefix": f"{PREFIX}/jobs"},
    "inside one": {"routes": made(f"{PREFIX}/jobs/x/y"), "prefix": f"{PREFIX}/jobs/x/y"},
    "the API itself": {"routes": made(f"{PREFIX}/x"), "prefix": PREFIX},
    "all of ours": {"routes": made("/api/x"), "prefix": "/api"},
    "an operation of another name": {"routes": made(f"{PREFIX}/probe", tag="jobs")},
    "a permission of ours": {"permissions": {"job.read": frozenset({UserRole.VIEWER})}},
    "another thing's permission": {"permissions": {"jobs.read": frozenset({UserRole.VIEWER})}},
    "a permission that nobody has": {"permissions": {"probe.use": frozenset()}},
    "an unknown role": {"permissions": {"probe.use": frozenset({"emperor"})}},
    "pages below the API": {"pages": replace(PAGES, at=f"{PREFIX}/probe")},
    "pages everywhere": {"pages": replace(PAGES, at="/")},
    "pages that are not there": {"pages": replace(PAGES, folder="gone")},
    "pages outside the package": {"pages": Pages("tests.flow.api.probe", "/p", folder="../../..")},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_together_is_not_served(case: str) -> None:
    mount(OWN_ROUTES, [PROBE])
    with pytest.raises(InternalError, match="ATL-API-020"):
        mount(OWN_ROUTES, [replace(PROBE, **WRONG[case])])


def test_a_permission_that_nobody_brings_and_a_place_twice_are_refused() -> None:
    for routes in (made(f"{PREFIX}/probe", "probe.other"), (*PROBE.routes, *PROBE.routes)):
        with pytest.raises(InternalError, match="ATL-API-009"):
            mount(OWN_ROUTES, [replace(PROBE, routes=routes)])


def test_two_extensions_keep_apart() -> None:
    other = Extension("second", "More.", made(f"{PREFIX}/second", "job.read", "second"))
    dialect = Extension("third", "A dialect.", made("/v1", "job.read", "third"), prefix="/v1")
    assert {"GET /v1/x", f"GET {PREFIX}/second/x"} <= mount(
        OWN_ROUTES, [PROBE, other, dialect]
    ).endpoints.keys()
    for clash in (
        PROBE,
        replace(other, pages=replace(PAGES, at="/probe/more")),
        replace(other, prefix=f"{PREFIX}/probe", routes=()),
    ):
        with pytest.raises(InternalError, match="ATL-API-020"):
            mount(OWN_ROUTES, [PROBE, clash])


def test_access_control_must_know_what_is_mounted(node_site: Site) -> None:
    other = Extension("second", "", permissions={"second.use": frozenset({UserRole.VIEWER})})
    with pytest.raises(InternalError, match="ATL-API-020"):
        create_app(node_site.node.services, LIMITS, [PROBE, other])

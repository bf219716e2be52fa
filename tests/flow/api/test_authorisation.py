"""The authorisation matrix: every address that is published, as everyone who may come."""

from __future__ import annotations

import itertools
import re
from typing import Any

import httpx
import pytest

from atoll.core.errors import InternalError
from atoll.flow.access import PERMISSIONS, ROLES
from atoll.flow.api.app import OWN_ROUTES, create_app
from atoll.flow.api.cookies import CSRF
from atoll.flow.api.endpoints import OWN, PUBLIC, SAFE
from atoll.flow.api.mounting import mount
from atoll.flow.api.routing import Routes
from tests.flow.api.probe import PROBE
from tests.flow.api.site import PASSWORD, Site

MOUNTED = mount(OWN_ROUTES, [PROBE])
TABLE = MOUNTED.permissions
ROUTES = {place: declared.permission for place, declared in MOUNTED.endpoints.items()}

# What no request below can name exists, so that an allowed request changes nothing.
_NAMES = {
    "id": "20200101000000-00000000",
    "name": "nothing-of-this-name",
    "party": "nobody",
    "step": "nothing",
    "version": "1",
}
OUTSIDERS = ("anonymous", "unknown", "expired")
# These would end the token that is sent, or take long without saying more.
_SKIPPED = {"POST /api/v1/logout", "POST /api/v1/parties/rotate"}


def address(place: str) -> tuple[str, str]:
    method, path = place.split(" ", 1)
    return method, re.sub(r"\{(\w+)\}", lambda found: _NAMES[found[1]], path)


def status(client: httpx.Client, site: Site, place: str) -> int:
    method, path = address(place)
    # An empty object fails validation wherever a body is asked for: after authorisation, not
    # before.
    body: dict[str, Any] = {} if method in {"GET", "DELETE"} else {"json": {}}
    return client.request(method, site.server.url + path, **body).status_code


def allowed(who: str, permission: str) -> bool:
    if permission in {PUBLIC, OWN}:
        return True
    if who == "narrow":
        return permission == "job.read"
    return who == "everybody" or who in {str(role) for role in TABLE[permission]}


def test_every_address_is_published_as_it_is_declared(node_site: Site) -> None:
    app = create_app(node_site.node.services, extensions=[PROBE])
    documented = app.openapi()
    assert app.state.mounted.endpoints == MOUNTED.endpoints
    assert set(ROUTES) == {
        f"{method.upper()} {path}"
        for path, methods in documented["paths"].items()
        for method in methods
    }
    for place, permission in ROUTES.items():
        method, path = place.split(" ", 1)
        operation = documented["paths"][path][method.lower()]
        assert ("security" in operation) == (permission != PUBLIC)
        assert operation["operationId"]
        assert operation["summary"]
        assert operation["x-permission"] == permission
        assert permission in TABLE or permission in {PUBLIC, OWN}
    ids = [op["operationId"] for path in documented["paths"].values() for op in path.values()]
    assert len(set(ids)) == len(ids)


def test_a_route_of_an_unknown_permission_or_a_second_one_is_not_served() -> None:
    def endpoint() -> None:
        """Tell nothing."""

    unknown, twice = Routes("x"), Routes("x")
    unknown.get("/x", may="job.explode")(endpoint)
    twice.get("/jobs/{other}", may="job.read")(endpoint)
    for more in (unknown, twice):
        with pytest.raises(InternalError, match="ATL-API-009"):
            mount([*OWN_ROUTES, more])


@pytest.mark.parametrize("who", [*OUTSIDERS, *ROLES, "narrow", "everybody"])
def test_the_matrix(node_site: Site, who: str) -> None:
    with node_site.client(None if who == "anonymous" else who) as client:
        seen = {
            place: status(client, node_site, place)
            for place in ROUTES
            if place not in _SKIPPED or who in OUTSIDERS
        }
    wrong = []
    for place, found in seen.items():
        permission = ROUTES[place]
        if who in OUTSIDERS:
            right = found == 401 if permission != PUBLIC else found not in {401, 403}
        elif allowed(who, permission):
            right = found not in {401, 403}
        else:
            right = found == 403
        if not right or (found >= 500 and found not in {502, 503, 504}):
            wrong.append((place, permission, found))
    assert wrong == []


def test_each_permission_separates_some_roles(node_site: Site) -> None:
    """A matrix in which everybody may do everything would pass above."""
    used = {permission for permission in ROUTES.values() if permission in TABLE}
    assert used >= PERMISSIONS.keys()
    held = {p: frozenset(str(role) for role in TABLE[p]) for p in used}
    assert sum(len(roles) < len(ROLES) for roles in held.values()) >= len(used) // 2
    for one, other in itertools.combinations(ROLES, 2):
        assert any((one in roles) != (other in roles) for roles in held.values())


def test_one_users_tokens_are_nobody_elses(node_site: Site) -> None:
    with node_site.client("viewer") as viewer, node_site.client("modeller") as modeller:
        mine = viewer.get("/tokens").json()["items"]
        theirs = modeller.get("/tokens").json()["items"]
        assert {one["user"] for one in mine} == {"viewer"}
        assert not {one["id"] for one in mine} & {one["id"] for one in theirs}
        assert modeller.delete(f"/tokens/{mine[0]['id']}").status_code == 404
        assert "hash" not in viewer.get("/tokens").text


def test_a_token_in_the_address_or_elsewhere_counts_for_nothing(node_site: Site) -> None:
    token = node_site.tokens["everybody"]
    with node_site.client(None) as client:
        assert client.get("/me", params={"token": token, "access_token": token}).status_code == 401
        assert client.get("/me", headers={"Cookie": f"token={token}"}).status_code == 401
        assert client.get("/me", headers={"Authorization": f"Basic {token}"}).status_code == 401
        assert client.get("/me", headers={"Authorization": "Bearer x y"}).status_code == 401


def test_an_unknown_job_of_anyone_looks_like_another_partys(node_site: Site) -> None:
    with node_site.client("viewer") as client:
        answer = client.get(f"/jobs/{_NAMES['id']}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"].startswith("ATL-")


def test_no_browser_changes_anything_without_its_csrf_token(node_site: Site) -> None:
    name = node_site.member("zoe", *ROLES)
    with node_site.client(None) as client:
        body = {"user": name, "password": PASSWORD}
        csrf = client.post("/session", json=body).json()["csrf"]
        changing = [
            place
            for place, declared in MOUNTED.endpoints.items()
            if declared.method not in SAFE and declared.permission != PUBLIC
        ]
        assert len(changing) > 30
        assert {status(client, node_site, place) for place in changing} == {403}
        assert status(client, node_site, "GET /api/v1/jobs") == 200
        client.headers[CSRF] = csrf
        passed = [place for place in changing if place not in _SKIPPED]
        assert 403 not in {status(client, node_site, place) for place in passed}

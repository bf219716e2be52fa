"""Which permission each route needs: a literal table that the app compares with its routes.

``PUBLIC`` routes take anyone, ``OWN`` routes anyone who is logged in (they concern the asking
user alone), also one who must first change the password. Every other value is a permission of
``atoll.flow.access``.
"""

from __future__ import annotations

from collections.abc import Mapping

from atoll.flow.api.settings import PREFIX

PUBLIC = "public"
OWN = "own"

_TABLE: Mapping[str, str] = {
    "POST /login": PUBLIC,
    "POST /logout": OWN,
    "GET /me": OWN,
    "PUT /me/password": OWN,
    "GET /health/live": PUBLIC,
    "GET /health/ready": PUBLIC,
    "GET /version": PUBLIC,
    "GET /metrics": "metrics.read",
    "GET /status": "job.read",
    "GET /settings": "settings.read",
    "POST /selftest": "job.submit",
    "GET /schemas": PUBLIC,
    "GET /schemas/{name}": PUBLIC,
    "GET /components": "component.read",
    "GET /components/{name}": "component.read",
    "POST /components/{name}/approve": "component.approve",
    "POST /components/{name}/revoke": "component.approve",
    "GET /data": "data.read",
    "POST /data": "data.write",
    "PUT /data/{name}/content": "data.write",
    "GET /data/{name}": "data.read",
    "DELETE /data/{name}": "data.write",
    "GET /data/{name}/preview": "data.preview",
    "POST /data/{name}/check": "data.read",
    "GET /data/{name}/grants": "data.read",
    "POST /data/{name}/grants": "data.grant",
    "DELETE /grants/{id}": "data.grant",
    "POST /jobs/plan": "job.submit",
    "POST /jobs": "job.submit",
    "GET /jobs": "job.read",
    "GET /jobs/{id}": "job.read",
    "PATCH /jobs/{id}": "job.submit",
    "POST /jobs/{id}/stop": "job.stop",
    "POST /jobs/{id}/retry": "job.submit",
    "POST /jobs/{id}/rerun": "job.submit",
    "POST /jobs/{id}/approve": "job.approve",
    "POST /jobs/{id}/refuse": "job.approve",
    "GET /jobs/{id}/plan": "job.read",
    "GET /jobs/{id}/events": "job.read",
    "GET /jobs/{id}/traffic": "job.read",
    "GET /jobs/{id}/artifacts": "job.read",
    "GET /jobs/{id}/steps/{step}/log": "job.read",
    "GET /jobs/{id}/steps/{step}/metrics": "report.read",
    "GET /jobs/{id}/steps/{step}/report": "report.read",
    "GET /jobs/{id}/artifacts/{step}/{name}": "artifact.read",
    "GET /models": "model.read",
    "POST /models/import": "model.write",
    "GET /models/{id}/{version}": "model.read",
    "POST /models/{id}/{version}/stage": "model.publish",
    "POST /models/{id}/{version}/bind": "model.publish",
    "GET /models/{id}/{version}/export": "model.write",
    "POST /models/{id}/{version}/predict-job": "model.read",
    "POST /models/{id}/{version}/migrate": "admin",
    "GET /services": "model.read",
    "POST /services/{name}/rollback": "model.publish",
    "GET /parties": "party.read",
    "POST /parties": "party.write",
    "DELETE /parties/{party}": "party.write",
    "POST /parties/invitations": "party.write",
    "POST /parties/accept": "party.write",
    "POST /parties/rotate": "party.write",
    "POST /parties/{party}/ping": "party.write",
    "GET /users": "user.read",
    "POST /users": "user.write",
    "PATCH /users/{name}": "user.write",
    "DELETE /users/{name}": "user.write",
    "GET /tokens": "token.write",
    "POST /tokens": "token.write",
    "DELETE /tokens/{id}": "token.write",
    "GET /audit": "audit.read",
    "GET /ledger": "ledger.read",
}


def _full(place: str) -> str:
    method, path = place.split(" ", 1)
    return f"{method} {PREFIX}{path}"


ROUTES: Mapping[str, str] = {_full(place): permission for place, permission in _TABLE.items()}

STREAMED: frozenset[str] = frozenset(
    {_full("PUT /data/{name}/content"), _full("POST /models/import")}
)
"""Routes whose body is bytes that go to a file."""

SECRET: frozenset[str] = frozenset(
    {_full(f"POST /{name}") for name in ("login", "tokens", "users", "parties/invitations")}
)
"""Routes whose answer holds a secret that is shown once: it is never kept to be repeated."""

WATCHED: frozenset[str] = frozenset(
    {
        _full("GET /data/{name}/preview"),
        _full("GET /jobs/{id}/artifacts/{step}/{name}"),
        _full("GET /models/{id}/{version}/export"),
    }
)
"""Routes that only read, but what leaves the house through them is noted in the audit log."""

RECORDED: frozenset[str] = frozenset(
    place
    for place in ROUTES
    if place.split(" ")[1].removeprefix(PREFIX).split("/")[1]
    in {"login", "logout", "me", "users", "tokens", "grants"}
    or place.endswith("/grants")
)
"""Routes whose service writes the audit line of a change itself, in the change's transaction."""

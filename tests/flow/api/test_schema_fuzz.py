"""schemathesis over the whole published schema: no fault of ours, no leak, no broken promise."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.openapi import from_dict

from tests.flow.api.site import Site

# Sent as they are they would end the session, or the node's certificate of the other tests.
_APART = {"session_logout", "parties_rotate"}
_LEAKS = re.compile(
    r"Traceback|File \"|/src/atoll|site-packages|sqlalchemy|sqlite3|atoll_[A-Za-z0-9_-]{43}|"
    r"PRIVATE KEY|argon2|\\$argon"
)


def cases(site: Site, per_operation: int, who: str) -> list[str]:
    """Send generated requests to every operation; return what was wrong."""
    with site.client(who) as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
    schema = from_dict(document)
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {site.tokens[who]}"
        wrong: list[str] = []
        for result in schema.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr]
            if operation.definition.raw["operationId"] in _APART:
                continue
            for mode in schemathesis.GenerationMode:
                wrong += send(session, site, operation, mode, per_operation)
    return wrong


def send(session: requests.Session, site: Site, operation: Any, mode: Any, count: int) -> list[str]:
    wrong: list[str] = []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Any) -> None:
        case.headers = {k: v for k, v in (case.headers or {}).items() if _sendable(k, v)}
        wait = (case.query or {}).get("wait")
        if isinstance(wait, int | float):
            case.query["wait"] = 0
        answer = case.call(base_url=site.server.url, session=session, timeout=30)
        wrong.extend(faults(operation, answer))

    # An operation that takes nothing cannot be asked wrongly.
    nothing = () if mode.is_positive else (Unsatisfiable,)
    with contextlib.suppress(*nothing):
        run()
    return wrong


def _sendable(name: str, value: Any) -> bool:
    return name.lower() != "authorization" and str(value).isascii() and str(value).isprintable()


def faults(operation: Any, answer: Any) -> list[str]:
    name, found = operation.definition.raw["operationId"], []
    responses = operation.definition.raw["responses"]
    if answer.status_code >= 500 and answer.status_code not in {502, 503, 504}:
        found.append(f"{name}: {answer.status_code}")
    if str(answer.status_code) not in responses:
        found.append(f"{name}: {answer.status_code} is not declared")
    if name not in {"session_login", "people_add_token"} and _LEAKS.search(answer.text):
        found.append(f"{name}: a leak in {answer.text[:300]}")
    if answer.status_code >= 400:
        error = json.loads(answer.text)["error"]
        if not re.fullmatch(r"ATL-[A-Z]{2,4}-[0-9]{3}", error["code"]) or not error["message"]:
            found.append(f"{name}: an error without a code")
    return found


@pytest.mark.parametrize(("who", "count"), [("everybody", 3), ("viewer", 1)])
def test_no_generated_request_breaks_the_node(node_site: Site, who: str, count: int) -> None:
    assert cases(node_site, count, who) == []

"""Users whose requests are wrong in many places at once, against the API of a whole node."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter

from atoll.core import strict
from atoll.flow.api import errors
from atoll.flow.api.app import OWN_ROUTES, create_app
from atoll.flow.api.server import Server
from tests.flow.api.site import JOB, LIMITS, Site, site

MANY = 150_000
TERMS: dict[str, Any] = {"tables": {"acme": "t"}, "per_day": 1, "most": 1, "until": "2030-01-01"}
ASKED = {
    route.unique_id: route.body_field.field_info.annotation
    for routes in OWN_ROUTES
    for route in routes.routes
    if route.body_field is not None
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = replace(LIMITS, body_bytes=8 << 20)
    with (
        site(tmp_path_factory.mktemp("place")) as made,
        Server(create_app(made.node.services, settings), settings) as server,
    ):
        yield Site(made.node, server, made.tokens)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what the numbers of errors go to that answers are made of."""
    numbers, made = [], errors.from_validation

    def count(error: RequestValidationError, *more: Any) -> Any:
        numbers.append(len(error.errors()))
        return made(error, *more)

    monkeypatch.setattr(errors, "from_validation", count)
    return numbers


def _step(**fields: Any) -> dict[str, Any]:
    return {"job": {**JOB, "steps": {"read": {"component": "reader", **fields}}}}


WRONG = {
    "columns": ("/models/m/1/agreement-job", {**TERMS, "columns": {"acme": [0] * MANY}}),
    "tables": ("/models/m/1/predict-job", {"tables": {f"{at} ": 0 for at in range(64)}}),
    "inputs": ("/jobs", _step(inputs={f"{at} ": 0 for at in range(64)})),
    "tags": ("/jobs", {"job": JOB, "tags": [0] * 32}),
    "scopes": ("/tokens", {"name": "t", "scopes": [0] * 64}),
    "fields": ("/tokens", {f"{at}": 0 for at in range(20_000)}),
}


@pytest.mark.parametrize("what", WRONG)
def test_of_what_is_wrong_with_a_body_little_is_noted(
    place: Site, noted: list[int], what: str
) -> None:
    """150,000 wrong names in 300 kB were as many errors: 155 MB, and 0.8 s of the event loop."""
    address, body = WRONG[what]
    with place.client("everybody") as user:
        answer = user.post(address, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "ATL-API-001")
    assert answer.json()["error"]["place"].startswith("body.")
    assert noted
    assert noted[0] <= 8


def test_long_bodies_are_read_beside_the_event_loop(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, read = [], strict.read

    def note(*given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return read(*given)

    monkeypatch.setattr(strict, "read", note)
    with place.client("modeller") as user:
        columns = {"acme": [f"column {at}" for at in range(10_000)]}
        answer = user.post("/models/m/1/agreement-job", json={**TERMS, "columns": columns})
    assert answer.json()["error"]["code"] == "ATL-REG-001"
    assert len(threads) == 1
    assert "atoll-api" not in threads[0]


@pytest.mark.parametrize("operation", ASKED)
def test_each_list_and_map_of_a_request_is_bounded(operation: str) -> None:
    """But for the roles of a party, which are counted elsewhere, and values in any JSON."""
    kind = ASKED[operation]
    assert list(_unbounded(TypeAdapter(kind).json_schema(), "")) == []


def _unbounded(schema: Any, place: str) -> Iterator[str]:
    if isinstance(schema, list):
        for one in schema:
            yield from _unbounded(one, place)
    if not isinstance(schema, dict):
        return
    values = schema.get("additionalProperties") or next(
        iter(schema.get("patternProperties", {}).values()), None
    )
    free = values == {"$ref": "#/$defs/JsonValue"} and place.startswith(".$defs.Step")
    if schema.get("type") == "array" and not schema.keys() & {"maxItems", "uniqueItems"}:
        yield place
    if values and "maxProperties" not in schema and not free:
        yield place
    for name, part in schema.items():
        yield from _unbounded(part, f"{place}.{name}")


def test_a_body_that_is_right_is_taken(place: Site) -> None:
    with place.client("modeller") as user:
        made = user.post("/tokens", json={"name": "fine", "scopes": ["job.read"], "days": 1})
    assert isinstance(made, httpx.Response)
    assert (made.status_code, made.json()["scopes"]) == (201, ["job.read"])

"""The published description of the API: what FastAPI derives, and what each address declares."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from atoll import __version__
from atoll.flow.api import cookies
from atoll.flow.api.endpoints import PUBLIC, Endpoint
from atoll.flow.api.mounting import Mounted

_BEARER = {"type": "http", "scheme": "bearer", "description": "a token from login, or an API token"}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key and body give the same answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}


def description(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an app, made once."""
    mounted: Mounted = app.state.mounted
    if app.openapi_schema is None:
        whole = get_openapi(
            title="Atoll",
            version=__version__,
            description="The API of a node of a federated-learning platform.",
            routes=app.routes,
            tags=[dict(tag) for tag in mounted.tags] or None,
        )
        schemes = {"bearer": _BEARER, **cookies.schemes(app.state.settings)}
        whole.setdefault("components", {})["securitySchemes"] = schemes
        for path, methods in whole["paths"].items():
            for method, operation in methods.items():
                _complete(operation, mounted.endpoints[f"{method.upper()} {path}"])
        _drop_framework_schemas(whole)
        app.openapi_schema = whole
    return app.openapi_schema


def as_bytes(app: FastAPI) -> bytes:
    """Return the document as JSON, made once: anybody may ask for it, again and again."""
    if app.state.description is None:
        text = json.dumps(app.openapi(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        app.state.description = text.encode()
    made: bytes = app.state.description
    return made


def _complete(operation: dict[str, Any], endpoint: Endpoint) -> None:
    operation["x-permission"] = endpoint.permission
    if endpoint.permission != PUBLIC:
        operation["security"] = [{"bearer": []}, cookies.requirement(endpoint.method)]
    elif not endpoint.secret:
        # Only a login is refused to anybody.
        operation["responses"].pop("401", None)
        operation["responses"].pop("403", None)
    if endpoint.method == "POST":
        parameters = operation.setdefault("parameters", [])
        parameters[:] = [one for one in parameters if one["name"].lower() != "idempotency-key"]
        parameters.append(_KEY)


def _drop_framework_schemas(whole: dict[str, Any]) -> None:
    schemas = whole["components"].get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)

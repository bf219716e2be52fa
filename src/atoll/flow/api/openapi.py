"""The published description of the API: what FastAPI derives, with the table of permissions."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from atoll import __version__
from atoll.flow.api.permissions import PUBLIC, ROUTES

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
    if app.openapi_schema is None:
        whole = get_openapi(
            title="Atoll",
            version=__version__,
            description="The API of a node of a federated-learning platform.",
            routes=app.routes,
        )
        whole.setdefault("components", {})["securitySchemes"] = {"bearer": _BEARER}
        for path, methods in whole["paths"].items():
            for method, operation in methods.items():
                _complete(operation, f"{method.upper()} {path}")
        _drop_framework_schemas(whole)
        app.openapi_schema = whole
    return app.openapi_schema


def _complete(operation: dict[str, Any], place: str) -> None:
    permission = ROUTES[place]
    operation["x-permission"] = permission
    if permission == PUBLIC:
        operation["responses"].pop("403", None)
        if place.split(" ")[1].rsplit("/", 1)[-1] != "login":
            operation["responses"].pop("401", None)
    else:
        operation["security"] = [{"bearer": []}]
    if place.startswith("POST "):
        parameters = operation.setdefault("parameters", [])
        parameters[:] = [one for one in parameters if one["name"].lower() != "idempotency-key"]
        parameters.append(_KEY)


def _drop_framework_schemas(whole: dict[str, Any]) -> None:
    schemas = whole["components"].get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)

"""What the route files share: how a router is made, paging, and the errors that it declares."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from atoll.flow.api import views
from atoll.flow.api.guard import GuardedRoute
from atoll.flow.api.settings import PREFIX

PAGE = 50
MOST = 200

_MEANINGS = {
    400: "not JSON, or not a key",
    401: "no login, or a token that is no longer valid",
    403: "this user may not do this",
    404: "not found",
    405: "this address does not take this method",
    408: "the body came too slowly",
    409: "it does not go together with what is there",
    413: "the body is too large",
    422: "a field or the data is not right; code, place and hint say how",
    429: "too many attempts",
    500: "a fault of ours",
    502: "a partner could not be reached, refused or failed",
    503: "the node lacks something",
    504: "it took too long",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": views.ErrorAnswer, "description": text} for status, text in _MEANINGS.items()
}

Limit = Annotated[int, Query(ge=1, le=MOST, description="the most items of the page")]
After = Annotated[
    str | None, Query(max_length=1024, description="the page after this one: its next")
]
JobId = Annotated[str, Path(pattern=views.JOB_ID)]
StepName = Annotated[str, Path(pattern=views.ANY_STEP)]
ArtifactName = Annotated[str, Path(pattern=views.ARTIFACT_NAME)]
DataName = Annotated[str, Path(pattern=views.DATA_NAME)]
PartyName = Annotated[str, Path(pattern=views.PARTY_NAME)]
UserName = Annotated[str, Path(pattern=views.USER_NAME)]
ModelId = Annotated[str, Path(pattern=views.MODEL_ID)]
ModelVersion = Annotated[int, Path(ge=1, le=1 << 30)]
Attempt = Annotated[
    int | None, Query(ge=0, le=1 << 30, description="which attempt; absent: the last")
]


def router(tag: str) -> APIRouter:
    """Make a router whose routes are guarded and declare their errors."""
    tags: list[str | Enum] = [tag]
    return APIRouter(
        prefix=PREFIX,
        tags=tags,
        route_class=GuardedRoute,
        responses=ERRORS,
        generate_unique_id_function=lambda route: f"{tag}_{route.name}",
    )


def bytes_body(description: str) -> dict[str, Any]:
    """Declare a body of raw bytes."""
    schema = {"type": "string", "format": "binary"}
    content = {"application/octet-stream": {"schema": schema}}
    return {
        "requestBody": {"required": True, "description": description, "content": content},
    }

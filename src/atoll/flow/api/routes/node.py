"""The node itself: signs of life, version, figures, settings, schemas, self-test."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request, Response

from atoll import __version__
from atoll.flow.api import schemas, views
from atoll.flow.api.endpoints import PUBLIC
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import items, shape
from atoll.jobs.errors import EnvironmentFault

ROUTES = Routes("node")
API_VERSION = 1


@ROUTES.get("/health/live", may=PUBLIC)
async def live() -> views.Health:
    """Report that the process answers."""
    return views.Health(status="live")


@ROUTES.get("/health/ready", may=PUBLIC)
async def ready(services: At) -> views.Health:
    """Report that the node takes jobs."""
    if not services.status.ready():
        raise EnvironmentFault(
            "ATL-API-012", "the node is starting or stopping", hint="ask again in a moment"
        )
    return views.Health(status="ready")


@ROUTES.get("/version", may=PUBLIC)
async def version() -> views.Version:
    """Return the version of the package and of this interface."""
    return views.Version(version=__version__, api=API_VERSION)


@ROUTES.get(
    "/metrics",
    may="metrics.read",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(services: At, request: Request) -> Response:
    """Return figures in Prometheus' text form."""
    text = request.app.state.figures.text(services.status.gauges())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@ROUTES.get("/status", may="job.read")
def status(services: At) -> views.JsonObject:
    """Return how the node does: party, jobs, workers, partners, certificates."""
    return shape(views.JsonObject, services.status.view())


@ROUTES.get("/settings", may="settings.read")
def settings(services: At) -> views.Settings:
    """Return all settings with their sources; secrets are hidden."""
    return items(views.Settings, services.settings.list())


@ROUTES.post("/selftest", may="job.submit")
def selftest(services: At, by: By, asked: views.SelftestRequest) -> views.Selftest:
    """Run a small job, alone or with partners, and report what passed."""
    steps = [shape(views.SelftestStep, one) for one in services.status.selftest(asked.parties, by)]
    return views.Selftest(passed=all(step.passed for step in steps), steps=tuple(steps))


@ROUTES.get("/schemas", may=PUBLIC)
def list_schemas() -> views.SchemaList:
    """Return the names of the published JSON schemas."""
    return views.SchemaList(items=schemas.NAMES)


@ROUTES.get("/schemas/{name}", may=PUBLIC)
def schema(name: Annotated[str, Path(pattern=views.STEP_NAME)]) -> views.JsonObject:
    """Return a published JSON schema."""
    return shape(views.JsonObject, schemas.schema(name))

"""The model registry: stages, services, signed archives, predict jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request, Response
from fastapi.responses import StreamingResponse

from atoll.flow.api import keyed, views
from atoll.flow.api.common import PAGE, After, Limit, ModelId, ModelVersion
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes, bytes_body
from atoll.flow.api.sending import Pieces
from atoll.flow.api.shaping import paged, shape

ROUTES = Routes("models")
_ARCHIVE = {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}
ServiceName = Annotated[str, Path(pattern=views.DATA_NAME)]


@ROUTES.get("/models", may="model.read")
def list_(
    services: At,
    by: By,
    request: Request,
    stage: views.Stage | None = None,
    limit: Limit = PAGE,
    after: After = None,
) -> views.ModelPage:
    """Return models, the newest first."""
    page = paged(views.ModelPage, services.models.list(stage=stage, limit=limit, after=after))
    shown = tuple(keyed.model(request, by, row) for row in page.items)
    return page.model_copy(update={"items": shown})


@ROUTES.post(
    "/models/import",
    may="model.write",
    body="archive",
    status_code=201,
    openapi_extra=bytes_body("a signed archive"),
)
async def import_(services: At, by: By, request: Request) -> views.ModelView:
    """Take in an archive that this party or a pinned partner has signed."""
    found = await services.models.import_(request.stream())
    return keyed.model(request, by, shape(views.ModelView, found))


@ROUTES.get("/models/{id}/{version}", may="model.read")
def get(
    services: At, by: By, request: Request, id: ModelId, version: ModelVersion
) -> views.ModelView:
    """Return a model version: where this party's part comes from."""
    return keyed.model(request, by, shape(views.ModelView, services.models.get(id, version)))


@ROUTES.get("/models/{id}/{version}/card", may="report.read")
def card(services: At, id: ModelId, version: ModelVersion) -> views.JsonObject:
    """Return what a person is shown of this party's part: typed panels."""
    return shape(views.JsonObject, services.models.card(id, version))


@ROUTES.post("/models/{id}/{version}/stage", may="model.publish")
def stage(
    services: At,
    by: By,
    request: Request,
    id: ModelId,
    version: ModelVersion,
    asked: views.StageRequest,
) -> views.ModelView:
    """Make a version a candidate, published or archived."""
    found = services.models.stage(id, version, asked.stage)
    return keyed.model(request, by, shape(views.ModelView, found))


@ROUTES.post("/models/{id}/{version}/bind", may="model.publish")
def bind(
    services: At,
    id: ModelId,
    version: ModelVersion,
    asked: views.BindRequest,
) -> views.ServiceView:
    """Put a published version behind a service name."""
    return shape(views.ServiceView, services.models.bind(id, version, asked.service))


@ROUTES.get(
    "/models/{id}/{version}/export",
    may="model.write",
    watched=True,
    download=True,
    response_class=StreamingResponse,
    responses={200: {"content": _ARCHIVE}},
)
def export(services: At, id: ModelId, version: ModelVersion) -> Response:
    """Return this party's part as an archive that the party's key has signed."""
    pieces = services.models.export(id, version)
    name = f'attachment; filename="{id}-{version}.tar"'
    return Pieces(pieces, media_type="application/x-tar", headers={"Content-Disposition": name})


@ROUTES.post("/models/{id}/{version}/predict-job", may="model.read", quiet=True)
def predict_job(
    services: At,
    id: ModelId,
    version: ModelVersion,
    asked: views.PredictRequest,
) -> views.JobAnswer:
    """Return a job that scores tables with a model; it is not submitted."""
    job = services.models.predict_job(id, version, asked.tables)
    return views.JobAnswer(job=job.canonical())


@ROUTES.post("/models/{id}/{version}/agreement-job", may="model.read", quiet=True)
def agreement_job(
    services: At,
    id: ModelId,
    version: ModelVersion,
    asked: views.AgreementJobRequest,
) -> views.JobAnswer:
    """Return a job that proposes a standing agreement on scores; it is not submitted."""
    made = services.models.agreement_job(id, version, asked.tables, asked.terms())
    return views.JobAnswer(job=made.canonical())


@ROUTES.post("/models/{id}/{version}/migrate", may="admin", status_code=201)
def migrate(
    services: At,
    by: By,
    request: Request,
    id: ModelId,
    version: ModelVersion,
    asked: views.MigrateRequest,
) -> views.ModelView:
    """Make a new version in which parties have other ids."""
    found = services.models.migrate(id, version, asked.parties)
    return keyed.model(request, by, shape(views.ModelView, found))


@ROUTES.get("/services", may="model.read")
def list_services(services: At, limit: Limit = PAGE, after: After = None) -> views.ServicePage:
    """Return the service names with the versions behind them."""
    return paged(views.ServicePage, services.models.services(limit=limit, after=after))


@ROUTES.post("/services/{name}/rollback", may="model.publish")
def rollback(services: At, name: ServiceName) -> views.ServiceView:
    """Put the version that stood there before back."""
    return shape(views.ServiceView, services.models.rollback(name))

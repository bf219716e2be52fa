"""Jobs: planned, submitted, watched, approved, stopped, and what they leave."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from atoll.flow.api import keyed, views
from atoll.flow.api.common import (
    PAGE,
    After,
    ArtifactName,
    Attempt,
    JobId,
    Limit,
    StepName,
)
from atoll.flow.api.downloads import Form, download
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import items, paged, shape
from atoll.flow.api.watching import stream, wait_for

ROUTES = Routes("jobs")
_WORD = Query(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")
_STREAM = {"text/event-stream": {"schema": {"type": "string"}}}
_FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def _options(options: views.JobOptions) -> dict[str, Any]:
    return options.model_dump(exclude_none=True)


@ROUTES.post("/jobs/plan", may="job.submit")
def plan(services: At, by: By, asked: views.PlanRequest) -> views.PlanView:
    """Return what a job would do, read and reveal; nothing is kept."""
    return shape(views.PlanView, services.jobs.plan(asked.job, _options(asked.options), by))


@ROUTES.post("/jobs", may="job.submit", status_code=201)
def submit(
    services: At,
    by: By,
    asked: views.SubmitRequest,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> views.JobView:
    """Submit a job; with the same Idempotency-Key it is submitted once."""
    found = services.jobs.submit(
        asked.job, _options(asked.options), by, idempotency_key, asked.tags, asked.notes
    )
    return shape(views.JobView, found)


@ROUTES.get("/jobs", may="job.read")
def list_(
    services: At,
    state: views.JobState | None = None,
    name: Annotated[str | None, _WORD] = None,
    party: Annotated[str | None, _WORD] = None,
    tag: Annotated[str | None, _WORD] = None,
    limit: Limit = PAGE,
    after: After = None,
) -> views.JobPage:
    """Return jobs, the newest first."""
    found = services.jobs.list(
        state=state, name=name, party=party, tag=tag, limit=limit, after=after
    )
    return paged(views.JobPage, found)


@ROUTES.get("/jobs/{id}", may="job.read")
def get(services: At, id: JobId) -> views.JobView:
    """Return a job with its steps."""
    return shape(views.JobView, services.jobs.get(id))


@ROUTES.patch("/jobs/{id}", may="job.submit")
def annotate(
    services: At,
    by: By,
    id: JobId,
    asked: views.PatchJobRequest,
) -> views.JobView:
    """Change a job's tags or notes."""
    found = services.jobs.annotate(id, by, tags=asked.tags, notes=asked.notes)
    return shape(views.JobView, found)


@ROUTES.post("/jobs/{id}/stop", may="job.stop")
def stop(services: At, by: By, id: JobId) -> views.JobView:
    """Stop a job at all parties."""
    return shape(views.JobView, services.jobs.stop(id, by))


@ROUTES.post("/jobs/{id}/retry", may="job.submit")
def retry(services: At, by: By, id: JobId) -> views.JobView:
    """Try a failed job again from where it failed."""
    return shape(views.JobView, services.jobs.retry(id, by))


@ROUTES.post("/jobs/{id}/rerun", may="job.submit")
def rerun(
    services: At,
    by: By,
    id: JobId,
    asked: views.RerunRequest,
) -> views.JobView:
    """Run a job again from a step on."""
    return shape(views.JobView, services.jobs.rerun(id, asked.step, by))


@ROUTES.post("/jobs/{id}/approve", may="job.approve")
def approve(
    services: At,
    by: By,
    id: JobId,
    asked: views.DigestRequest,
) -> views.JobView:
    """Approve the plan of this digest."""
    return shape(views.JobView, services.jobs.approve(id, asked.digest, by))


@ROUTES.post("/jobs/{id}/refuse", may="job.approve")
def refuse(
    services: At,
    by: By,
    id: JobId,
    asked: views.RefuseRequest,
) -> views.JobView:
    """Refuse a partner's job."""
    return shape(views.JobView, services.jobs.refuse(id, asked.reason, by))


@ROUTES.get("/jobs/{id}/plan", may="job.read")
def plan_of(services: At, id: JobId) -> views.PlanView:
    """Return the plan that the parties agree on."""
    return shape(views.PlanView, services.jobs.plan_of(id))


@ROUTES.get(
    "/jobs/{id}/events",
    may="job.read",
    response_model=views.EventList,
    responses={200: {"content": _STREAM}},
)
async def events(
    services: At,
    request: Request,
    id: JobId,
    after: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait for the first")] = 0.0,
    kind: Annotated[
        str | None, Query(max_length=64, description="only events of this kind")
    ] = None,
) -> Any:
    """Return events after a number, waiting for the first; as a stream if that is accepted."""
    last = request.headers.get("last-event-id", "")
    if "text/event-stream" in request.headers.get("accept", ""):
        # An unknown job is refused before a stream begins.
        await run_in_threadpool(services.jobs.get, id)
        start = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else after
        return StreamingResponse(
            stream(request, services.jobs, id, start), media_type="text/event-stream"
        )
    found = await wait_for(request, services.jobs, id, after, wait, kind)
    shown = [shape(views.Event, event) for event in found]
    return views.EventList(items=tuple(shown), next=shown[-1].number if shown else after)


@ROUTES.get("/jobs/{id}/traffic", may="job.read")
def traffic(services: At, id: JobId) -> views.TrafficList:
    """Return what was sent and received, by peer, step and tag."""
    return items(views.TrafficList, services.jobs.traffic(id))


@ROUTES.get("/jobs/{id}/artifacts", may="job.read")
def artifacts(services: At, by: By, request: Request, id: JobId) -> views.ArtifactList:
    """Return what the job has made at this party."""
    return keyed.artifacts(request, by, items(views.ArtifactList, services.jobs.artifacts(id)))


@ROUTES.get("/jobs/{id}/steps/{step}/log", may="job.read")
def log(
    services: At, by: By, request: Request, id: JobId, step: StepName, attempt: Attempt = None
) -> views.Log:
    """Return the log of an attempt."""
    return keyed.log(request, by, items(views.Log, services.jobs.log(id, step, attempt)))


@ROUTES.get("/jobs/{id}/steps/{step}/metrics", may="report.read")
def metrics(
    services: At,
    id: JobId,
    step: StepName,
    attempt: Attempt = None,
) -> views.MetricList:
    """Return the metrics of an attempt."""
    return items(views.MetricList, services.jobs.metrics(id, step, attempt))


@ROUTES.get("/jobs/{id}/steps/{step}/report", may="report.read")
def report(
    services: At,
    id: JobId,
    step: StepName,
    attempt: Attempt = None,
) -> views.JsonObject:
    """Return the report of an attempt: typed panels."""
    return shape(views.JsonObject, services.jobs.report(id, step, attempt))


@ROUTES.get(
    "/jobs/{id}/artifacts/{step}/{name}",
    may="artifact.read",
    watched=True,
    download=True,
    response_class=Response,
    responses={200: {"content": _FILE}},
)
def artifact(
    services: At,
    id: JobId,
    step: StepName,
    name: ArtifactName,
    format: Form | None = None,
) -> Response:
    """Download an artifact; a table as CSV, Parquet or Arrow."""
    return download(services.jobs.open_artifact(id, step, name), format)

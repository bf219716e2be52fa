"""Calls about jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from atoll.flow.api import views
from atoll.jobs.definition import Job
from atoll.sdk.results import JobPage, Report
from atoll.sdk.wire import Call, Request, get, given, path, post


class MakesJob(Protocol):
    """What becomes a job: a ``Pipeline``."""

    def to_job(self) -> Job:
        """Return the job."""
        ...


Definition = Job | MakesJob | Mapping[str, Any]


def plain(job: Definition) -> dict[str, Any]:
    """Return a job, a pipeline or a job's plain form as plain values."""
    if isinstance(job, Mapping):
        return dict(job)
    whole = job if isinstance(job, Job) else job.to_job()
    return whole.canonical()


def plan(job: Definition, *, options: Mapping[str, Any] | None = None) -> Call[views.PlanView]:
    """Ask what a job would do; nothing starts."""
    return post(
        views.PlanView, "jobs", "plan", body={"job": plain(job), "options": dict(options or {})}
    )


def submit(
    job: Definition,
    *,
    options: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    notes: str = "",
    key: str | None = None,
) -> Call[views.JobView]:
    """Submit a job; the same ``key`` never starts a second one."""
    body = {
        "job": plain(job),
        "options": dict(options or {}),
        "tags": list(tags),
        "notes": notes,
    }
    return post(views.JobView, "jobs", body=body, key=key)


def listing(
    *,
    state: str | None = None,
    name: str | None = None,
    party: str | None = None,
    tag: str | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Call[JobPage]:
    """List jobs, the newest first, a page at a time."""
    return get(
        JobPage,
        "jobs",
        state=state,
        name=name,
        party=party,
        tag=tag,
        limit=limit,
        after=after,
    )


def show(job: str) -> Call[views.JobView]:
    """Read a job."""
    return get(views.JobView, "jobs", job)


def annotate(
    job: str, *, tags: Sequence[str] | None = None, notes: str | None = None
) -> Call[views.JobView]:
    """Change what people wrote about a job; None leaves it."""
    body = given(tags=None if tags is None else list(tags), notes=notes)
    return Call(Request("PATCH", path("jobs", job), body=body), views.JobView)


def stop(job: str, *, key: str | None = None) -> Call[views.JobView]:
    """Stop a job at all parties."""
    return post(views.JobView, "jobs", job, "stop", key=key)


def retry(job: str, *, key: str | None = None) -> Call[views.JobView]:
    """Try a failed job again from where it failed."""
    return post(views.JobView, "jobs", job, "retry", key=key)


def rerun(job: str, step: str | None = None, *, key: str | None = None) -> Call[views.JobView]:
    """Run a job again from a step on, or from the first."""
    return post(views.JobView, "jobs", job, "rerun", body={"step": step}, key=key)


def approve(job: str, digest: str, *, key: str | None = None) -> Call[views.JobView]:
    """Approve the plan of this digest."""
    return post(views.JobView, "jobs", job, "approve", body={"digest": digest}, key=key)


def refuse(job: str, reason: str = "", *, key: str | None = None) -> Call[views.JobView]:
    """Refuse a partner's job; the reason stays at this node."""
    return post(views.JobView, "jobs", job, "refuse", body={"reason": reason}, key=key)


def plan_of(job: str) -> Call[views.PlanView]:
    """Read a job's agreed plan."""
    return get(views.PlanView, "jobs", job, "plan")


def events(
    job: str, *, after: int = 0, wait: float = 0.0, kind: str | None = None
) -> Call[views.EventList]:
    """Read events (of a kind) after a number; where there are none, wait for the first."""
    return get(views.EventList, "jobs", job, "events", after=after, wait=wait or None, kind=kind)


def stream(job: str, after: int) -> Request:
    """Return the request for a stream of events after a number."""
    return Request("GET", path("jobs", job, "events"), {"after": after}, accept="text/event-stream")


def log(job: str, step: str, *, attempt: int | None = None) -> Call[views.Log]:
    """Read the log of an attempt; without one, of the last."""
    return get(views.Log, "jobs", job, "steps", step, "log", attempt=attempt)


def metrics(job: str, step: str, *, attempt: int | None = None) -> Call[views.MetricList]:
    """Read the metrics of an attempt; without one, of the last."""
    return get(views.MetricList, "jobs", job, "steps", step, "metrics", attempt=attempt)


def report(job: str, step: str, *, attempt: int | None = None) -> Call[Report]:
    """Read the report of an attempt; without one, of the last."""
    return get(Report, "jobs", job, "steps", step, "report", attempt=attempt)


def traffic(job: str) -> Call[views.TrafficList]:
    """Read what a job has sent and received."""
    return get(views.TrafficList, "jobs", job, "traffic")


def artifacts(job: str) -> Call[views.ArtifactList]:
    """List what a job has made at this party."""
    return get(views.ArtifactList, "jobs", job, "artifacts")


def artifact(job: str, step: str, name: str, *, form: str | None = None) -> Request:
    """Return the request for the bytes of an artifact; tables as ``csv`` or ``parquet``."""
    query = {"format": form}
    return Request("GET", path("jobs", job, "artifacts", step, name), query, accept="*/*")

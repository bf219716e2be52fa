"""A job of a node as an object: look, wait, follow, steer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from atoll.flow.api import views
from atoll.jobs.errors import NotFoundError
from atoll.sdk import flows
from atoll.sdk.binding import Bound, Runner, emitting, flowing, offered
from atoll.sdk.calls import jobs
from atoll.sdk.flows import Flow
from atoll.sdk.results import JobState, Report
from atoll.sdk.wire import Call

P = ParamSpec("P")
T = TypeVar("T")


def reading(
    build: Callable[Concatenate[str, P], Call[T]],
) -> Callable[Concatenate[Job, P], T]:
    """Return the method that asks something of this job."""

    def call(self: Job, /, *args: P.args, **named: P.kwargs) -> Flow[T]:
        return (yield from self._send(build(self.id, *args, **named)))

    return offered(flowing(call), build, "result", 1)


def changing(
    build: Callable[Concatenate[str, P], Call[views.JobView]],
) -> Callable[Concatenate[Job, P], Job]:
    """Return the method that changes this job, remembers its new state and returns it."""

    def call(self: Job, /, *args: P.args, **named: P.kwargs) -> Flow[Job]:
        self.view = yield from self._send(build(self.id, *args, **named))
        return self

    return offered(flowing(call), build, "job", 1)


class Job(JobState, Bound):
    """A job. ``view`` is what was last seen of it; ``refresh`` looks again."""

    def __init__(self, client: Runner, view: views.JobView) -> None:
        super().__init__(view)
        self._client = client

    refresh = changing(jobs.show)
    annotate = changing(jobs.annotate)
    stop = changing(jobs.stop)
    retry = changing(jobs.retry)
    rerun = changing(jobs.rerun)
    refuse = changing(jobs.refuse)
    plan = reading(jobs.plan_of)
    log = reading(jobs.log)
    metrics = reading(jobs.metrics)
    report = reading(jobs.report)
    traffic = reading(jobs.traffic)
    artifacts = reading(jobs.artifacts)
    events = reading(jobs.events)

    @flowing
    def approve(self, digest: str | None = None) -> Flow[Job]:
        """Approve the plan of this digest; without one, the plan that was last seen."""
        chosen = digest or self.view.plan_digest
        if not chosen:
            self.view = yield from self._send(jobs.show(self.id))
            chosen = self.view.plan_digest or ""
        self.view = yield from self._send(jobs.approve(self.id, chosen))
        return self

    @emitting
    def stream(self, after: int = 0) -> Flow[None]:
        """Give the events as they happen until the job has ended, each once."""
        yield from flows.follow(self.id, after)
        self.view = yield from self._send(jobs.show(self.id))

    @flowing
    def wait(self, timeout: float | None = None) -> Flow[Job]:
        """Wait until the job has ended, however it did. Errors: ATL-SDK-013 not in time."""
        self.view = yield from flows.wait(self.id, timeout)
        return self

    def check(self) -> Job:
        """Return the job if it has succeeded. Errors: its own code, ``JobFailedError``."""
        flows.succeeded(self.view)
        return self

    @flowing
    def reports(self) -> Flow[dict[str, Report]]:
        """Return the reports of all steps that have one here."""
        found = {}
        for step in self.view.steps:
            try:
                found[step] = yield from self._send(jobs.report(self.id, step))
            except NotFoundError:
                continue
        return found

    @flowing
    def download(
        self, step: str, name: str, file: str | Path, *, form: str | None = None
    ) -> Flow[int]:
        """Save an artifact, whole or not at all; tables as ``csv`` or ``parquet``."""
        asked = jobs.artifact(self.id, step, name, form=form)
        return (yield from flows.download(asked, Path(file)))

"""Jobs, their events and what they leave."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from atoll.core.limits import RETRIES
from atoll.flow.api.views.base import (
    AnyStep,
    Asked,
    Given,
    JobId,
    JobState,
    Line,
    Lines,
    StepName,
    Tags,
)
from atoll.jobs.definition import Job


class JobOptions(Asked):
    """How a job is driven; nothing here changes what it computes."""

    retries: int | None = Field(default=None, strict=True, ge=0, le=RETRIES)
    step_rule: Literal["parallel", "serial", "cost_first"] | None = None
    priority: int | None = Field(default=None, strict=True, ge=-100, le=100)
    progress_seconds: float | None = Field(default=None, strict=True, gt=0, le=86400 * 30)
    peer_seconds: float | None = Field(default=None, strict=True, gt=0, le=86400)
    reuse: bool | None = Field(default=None, strict=True)


class PlanRequest(Asked):
    """A job to be planned."""

    job: Job
    options: JobOptions = JobOptions()


class SubmitRequest(PlanRequest):
    """A job to be run."""

    tags: Tags = ()
    notes: Lines = ""


class PatchJobRequest(Asked):
    """What may be changed of a job: what people wrote about it."""

    tags: Tags | None = None
    notes: Lines | None = None


class RerunRequest(Asked):
    """From which step on (none: from the first)."""

    step: StepName | None = None


class RefuseRequest(Asked):
    """Why a partner's job is refused; the reason stays here."""

    reason: Line = ""


class PlanView(Given):
    """A plan, its digest, whether all signed it, and about how many seconds each step takes."""

    digest: str | None = None
    agreed: bool = False
    plan: dict[str, JsonValue]
    seconds: dict[str, float] = Field(default_factory=dict)


class JobRow(Given):
    """A job in a list."""

    id: JobId
    name: str
    state: JobState
    role: str = ""
    initiator: str = ""
    owner: str = ""
    reason: str | None = None
    code: str | None = None
    priority: int = 0
    tags: tuple[str, ...] = ()
    created: float = 0.0
    started: float | None = None
    ended: float | None = None


class StepView(Given):
    """A step of a job: the own task's state and what the peers report of theirs."""

    state: str
    attempt: int = 0
    component: str | None = None
    own: dict[str, JsonValue] | None = None
    peers: dict[str, JsonValue] = Field(default_factory=dict)


class JobView(JobRow):
    """A job with its steps."""

    phase: str | None = None
    party: str | None = None
    stated_by: str | None = None
    message: str | None = None
    place: str | None = None
    hint: str | None = None
    notes: str = ""
    parties: dict[str, str] = Field(default_factory=dict)
    steps: dict[AnyStep, StepView] = Field(default_factory=dict)
    order: tuple[AnyStep, ...] = ()
    progress: float | None = None
    plan_digest: str | None = None
    updated: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    job: dict[str, JsonValue] | None = None
    approvals: dict[str, JsonValue] = Field(default_factory=dict)
    spent_runs: int = 0
    aborted_tosses: int = 0


class JobPage(Given):
    """A page of jobs."""

    items: tuple[JobRow, ...]
    next: str | None = None


class Event(Given):
    """Something that happened in a job."""

    number: int
    time: float
    kind: str
    step: str | None = None
    attempt: int | None = None
    data: dict[str, JsonValue] = Field(default_factory=dict)


class EventList(Given):
    """Events in order; ``next`` is the number to ask on from."""

    items: tuple[Event, ...]
    next: int


class LogLine(Given):
    """A line that a worker logged."""

    time: float
    level: str = "info"
    message: str


class Log(Given):
    """The log of an attempt."""

    items: tuple[LogLine, ...]


class Metric(Given):
    """A figure of an attempt; ``number`` is its tree, round or epoch, 0 for a last figure."""

    name: str
    number: int = 0
    value: float
    time: float = 0.0


class MetricList(Given):
    """The metrics of an attempt."""

    items: tuple[Metric, ...]


class Traffic(Given):
    """What was sent to and received from a peer by a step."""

    step: str
    attempt: int = 0
    peer: str
    task: str = ""
    tag: str = ""
    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0


class TrafficList(Given):
    """The traffic of a job."""

    items: tuple[Traffic, ...]


class Artifact(Given):
    """Something that a step has made at this party."""

    step: AnyStep
    attempt: int = 0
    name: str
    kind: str
    digest: str
    bytes: int
    rows: int | None = None
    created: float | None = None


class ArtifactList(Given):
    """The artifacts of a job."""

    items: tuple[Artifact, ...]

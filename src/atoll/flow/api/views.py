"""What the API takes and gives: frozen classes without unknown fields, the source of its schema.

Names from outside are checked here, before any service sees them: they are short, printable, and
hold nothing that a path or a query could understand.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from atoll.flow.policy.grants import Grant
from atoll.jobs.definition import Job

JOB_ID = r"^[0-9]{14}-[0-9a-f]{8}$"
STEP_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
# Every job begins with a coin toss that no graph names.
ANY_STEP = r"^(coin toss|[a-z][a-z0-9_-]{0,62})$"
ARTIFACT_NAME = r"^[a-z0-9]([a-z0-9_.-]{0,126}[a-z0-9])?$"
DATA_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
PARTY_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
USER_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
MODEL_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
DIGEST = r"^[0-9a-f]{64}$"
# Printable text of one line; text of several may hold line feeds and tabs.
_LINE = r"^[^\x00-\x1f\x7f]*$"
_LINES = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"

Line = Annotated[str, Field(max_length=256, pattern=_LINE)]
Lines = Annotated[str, Field(max_length=4096, pattern=_LINES)]
DataName = Annotated[str, Field(pattern=DATA_NAME)]
PartyName = Annotated[str, Field(pattern=PARTY_NAME)]
UserName = Annotated[str, Field(pattern=USER_NAME)]
StepName = Annotated[str, Field(pattern=STEP_NAME)]
ColumnName = Annotated[str, Field(min_length=1, max_length=256, pattern=_LINE)]
Digest = Annotated[str, Field(pattern=DIGEST)]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=_LINE)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=32)]
RoleName = Literal["viewer", "modeller", "data owner", "approver", "auditor", "administrator"]
JobState = Literal[
    "awaiting approval", "waiting", "running", "success", "failed", "cancelled", "refused"
]
Stage = Literal["candidate", "published", "archived"]
Form = Literal["csv", "parquet", "ipc"]


class Asked(BaseModel):
    """A request's body: frozen, unknown fields refused, types not guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Given(BaseModel):
    """An answer: frozen; what a service tells beyond these fields is left out."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        from_attributes=True,
        json_schema_extra={"additionalProperties": False},
    )


# -- errors ---------------------------------------------------------------------------------------


class ErrorBody(Given):
    """What went wrong; ``code`` has a page in the documentation."""

    code: str = Field(pattern=r"^ATL-[A-Z]{2,4}-[0-9]{3}$")
    kind: str
    message: str
    party: str | None = None
    phase: str | None = None
    place: str | None = None
    hint: str | None = None


class ErrorAnswer(Given):
    """The body of every answer that is not a success."""

    error: ErrorBody


# -- session --------------------------------------------------------------------------------------


class LoginRequest(Asked):
    """A user's name and password."""

    user: Line
    password: str = Field(max_length=1024)


class LoginAnswer(Given):
    """A bearer token; ``expires`` is in seconds since 1970."""

    token: str
    expires: float


class Me(Given):
    """Who is asking, and what they may do."""

    user: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    must_change: bool = False


class PasswordRequest(Asked):
    """The present and the new password."""

    current: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


# -- node -----------------------------------------------------------------------------------------


class Health(Given):
    """A sign of life."""

    status: Literal["live", "ready"]


class Version(Given):
    """The version of the package and of this interface."""

    version: str
    api: int


class Setting(Given):
    """A setting: its value (hidden if secret), default, and where the value comes from."""

    key: str
    value: JsonValue = None
    default: JsonValue = None
    source: str = "default"
    description: str = ""


class Settings(Given):
    """All settings of the node."""

    items: tuple[Setting, ...]


class SelftestRequest(Asked):
    """With which partners to run it; none: with this node alone."""

    parties: Annotated[tuple[PartyName, ...], Field(max_length=16)] = ()


class SelftestStep(Given):
    """One thing that was tried."""

    name: str
    passed: bool
    seconds: float = 0.0
    message: str = ""
    code: str | None = None


class Selftest(Given):
    """What the self-test found."""

    passed: bool
    steps: tuple[SelftestStep, ...]


class ComponentView(Given):
    """An algorithm that jobs may use here."""

    name: str
    version: str
    approved: bool = True
    distribution: str | None = None
    digest: str | None = None
    roles: tuple[str, ...] = ()
    inputs: dict[str, JsonValue] = {}
    outputs: dict[str, str] = {}
    description: str = ""


class ComponentDetail(ComponentView):
    """A component with the JSON schema of its parameters."""

    parameters: dict[str, JsonValue] = {}


class ComponentList(Given):
    """The catalogue."""

    items: tuple[ComponentView, ...]


class DigestRequest(Asked):
    """The digest of what is approved or revoked."""

    digest: Digest


# -- jobs -----------------------------------------------------------------------------------------


class JobOptions(Asked):
    """How a job is driven; nothing here changes what it computes."""

    retries: int | None = Field(default=None, strict=True, ge=0, le=20)
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
    """A plan, its digest, and whether it is the agreed one or an estimate."""

    digest: str | None = None
    agreed: bool = False
    plan: dict[str, JsonValue]


class JobRow(Given):
    """A job in a list."""

    id: str
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
    """A step of a job: the own task's state and what the peers tell of theirs."""

    state: str
    attempt: int = 0
    component: str | None = None
    own: dict[str, JsonValue] | None = None
    peers: dict[str, JsonValue] = {}


class JobView(JobRow):
    """A job with its steps."""

    phase: str | None = None
    party: str | None = None
    message: str | None = None
    hint: str | None = None
    notes: str = ""
    parties: dict[str, str] = {}
    steps: dict[str, StepView] = {}
    order: tuple[str, ...] = ()
    progress: float | None = None
    plan_digest: str | None = None
    updated: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    job: dict[str, JsonValue] | None = None
    approvals: dict[str, JsonValue] = {}


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
    data: dict[str, JsonValue] = {}


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
    """A figure of an attempt; ``number`` counts the same name."""

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

    step: str
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


# -- data -----------------------------------------------------------------------------------------


class RegisterRequest(Asked):
    """A file on the node's machine, inside the allowed folders."""

    name: DataName
    path: Annotated[str, Field(min_length=1, max_length=4096, pattern=_LINE)]
    id: ColumnName = "id"
    label: ColumnName | None = None
    description: Lines = ""


class DataView(Given):
    """A registered table; ``columns`` are the features."""

    name: str
    format: str
    digest: str
    id_column: str
    label: str | None = None
    columns: tuple[str, ...]
    rows: int
    bytes: int
    owner: str = ""
    description: str = ""
    uploaded: bool = False
    created: float


class DataPage(Given):
    """A page of tables."""

    items: tuple[DataView, ...]
    next: str | None = None


class Preview(Given):
    """The first rows; ids as text, missing values null, escaped as in a CSV export."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]


class ColumnView(Given):
    """A column in sum."""

    name: str
    role: str
    type: str
    missing: int
    distinct: int
    many: bool
    minimum: float | None = None
    maximum: float | None = None


class ProblemView(Given):
    """A broken rule in a file."""

    code: str
    message: str
    row: int | None = None
    column: str | None = None
    line: int | None = None
    hint: str | None = None


class CheckView(Given):
    """What a look at the file found."""

    file: str
    format: str
    bytes: int
    rows: int
    ok: bool
    changed: bool = False
    columns: tuple[ColumnView, ...]
    problems: tuple[ProblemView, ...]
    complete: bool
    notes: tuple[str, ...] = ()


class GrantList(Given):
    """The grants over a table."""

    items: tuple[Grant, ...]


# -- models ---------------------------------------------------------------------------------------


class ModelView(Given):
    """This party's part of a model, with where it comes from."""

    id: str
    version: int
    job: str
    step: str
    role: str
    kind: str
    digest: str
    stage: Stage
    parameters_digest: str | None = None
    lineage: dict[str, JsonValue] = {}
    created: float


class ModelPage(Given):
    """A page of models."""

    items: tuple[ModelView, ...]
    next: str | None = None


class StageRequest(Asked):
    """The stage that a version comes to."""

    stage: Stage


class BindRequest(Asked):
    """The service name that the version stands behind."""

    service: DataName


class ServiceView(Given):
    """A service name, the version behind it, and what stood there before, the last first."""

    name: str
    model: str
    version: int
    updated: float
    history: tuple[dict[str, JsonValue], ...] = ()


class ServicePage(Given):
    """A page of service names."""

    items: tuple[ServiceView, ...]
    next: str | None = None


class PredictRequest(Asked):
    """The table of each party."""

    tables: Annotated[dict[PartyName, DataName], Field(min_length=1, max_length=64)]


class MigrateRequest(Asked):
    """New party ids by the old ones."""

    parties: Annotated[dict[PartyName, PartyName], Field(min_length=1, max_length=64)]


class JobAnswer(Given):
    """A job's definition."""

    job: dict[str, JsonValue]


# -- parties --------------------------------------------------------------------------------------


class PartyRequest(Asked):
    """A partner: its authority's certificate in PEM, and where it listens, if it does."""

    party: PartyName
    authority: Annotated[str, Field(min_length=1, max_length=16384, pattern=_LINES)]
    address: Line | None = None


class PartyView(Given):
    """A partner; ``fingerprint`` is for reading aloud."""

    party: str
    address: str | None = None
    fingerprint: str = ""
    added: float | None = None
    revoked: float | None = None
    seen: float | None = None
    connected: bool | None = None


class PartyPage(Given):
    """A page of partners."""

    items: tuple[PartyView, ...]
    next: str | None = None


class InvitationRequest(Asked):
    """Who is invited."""

    party: PartyName


class Invitation(Given):
    """A one-time code: shown once."""

    party: str = ""
    code: str
    expires: float | None = None


class AcceptRequest(Asked):
    """A partner's one-time code."""

    code: Annotated[str, Field(min_length=1, max_length=16384, pattern=_LINES)]


class Ping(Given):
    """A partner's sign of life."""

    party: str
    reachable: bool = True
    seconds: float = 0.0
    version: str | None = None


class Rotation(Given):
    """The node's new certificate."""

    fingerprint: str = ""
    expires: float | None = None


# -- people ---------------------------------------------------------------------------------------


class UserRequest(Asked):
    """A new user; without a password one is made, and shown once."""

    name: UserName
    password: str | None = Field(default=None, max_length=1024)
    roles: Annotated[tuple[RoleName, ...], Field(max_length=6)] = ()


class PatchUserRequest(Asked):
    """What is changed of a user; absent fields stay."""

    password: str | None = Field(default=None, max_length=1024)
    roles: Annotated[tuple[RoleName, ...], Field(max_length=6)] | None = None
    disabled: bool | None = Field(default=None, strict=True)


class UserView(Given):
    """A user."""

    name: str
    roles: tuple[str, ...]
    disabled: bool = False
    must_change: bool = False
    locked_until: float | None = None
    created: float = 0.0


class NewUser(UserView):
    """A new user, with the password where it was made here."""

    password: str | None = None


class UserPage(Given):
    """A page of users."""

    items: tuple[UserView, ...]
    next: str | None = None


class TokenRequest(Asked):
    """A new token of the asking user; ``scopes`` are permissions (none: all of the user's)."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=_LINE)]
    scopes: Annotated[tuple[Line, ...], Field(max_length=64)] | None = None
    days: float | None = Field(default=None, strict=True, gt=0, le=3650)


class TokenView(Given):
    """A token, but not its secret."""

    id: str
    name: str
    user: str
    scopes: tuple[str, ...] = ()
    session: bool = False
    expires: float
    created: float = 0.0
    used: float | None = None


class NewToken(TokenView):
    """A new token with its secret: shown once."""

    token: str


class TokenPage(Given):
    """A page of tokens."""

    items: tuple[TokenView, ...]
    next: str | None = None


class AuditLine(Given):
    """An entry of the audit log; each holds the hash of the one before."""

    number: int
    time: float
    actor: str
    action: str
    target: str = ""
    outcome: str = ""
    detail: JsonValue = None
    previous: str
    hash: str


class AuditPage(Given):
    """A page of the audit log."""

    items: tuple[AuditLine, ...]
    next: str | None = None


class LedgerLine(Given):
    """An entry of the leakage ledger."""

    number: int
    time: float
    kind: str
    body: JsonValue = None
    previous: str
    hash: str


class LedgerPage(Given):
    """A page of the leakage ledger."""

    items: tuple[LedgerLine, ...]
    next: str | None = None


class SchemaList(Given):
    """The names of the published schemas."""

    items: tuple[str, ...]


class JsonObject(Given):
    """Any JSON object."""

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra={})

    __pydantic_extra__: dict[str, Any]

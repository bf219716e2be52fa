"""What a party publishes of a job: one document that only grows. Frozen classes.

The hints of a class are what a peer's section is held to (``reading``).

The initiator's document holds the proposal, the offers and the commands; everybody's holds what
the party declares, approves and has done. ``run`` counts the runs of a job (a manual retry or rerun
begins the next one): ``stop``, ``refusal`` and ``end`` are those of the document's run.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    Field,
    PlainValidator,
    StrictBool,
    StrictBytes,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.core.limits import RETRIES
from atoll.core.strict import WireValue, at_most, read, reason, text
from atoll.flow.control.parsing import JOB_ID, Code, Count, Phase, malformed
from atoll.flow.planning import COIN_STEP
from atoll.jobs.approval import DOCUMENT_BYTES, NONCE_BYTES, SIGNATURE_BYTES
from atoll.jobs.audience import Audience, shown
from atoll.jobs.definition import JOB_FILE_BYTES, STEPS, Job, parse_job
from atoll.jobs.plan import ComponentFacts, TableFacts
from atoll.jobs.validation import order

StepRule = Literal["parallel", "serial", "cost_first"]
TaskState = Literal["waiting", "running", "success", "failed", "cancelled", "lost", "reused"]
Action = Literal["start", "reuse"]
StopKind = Literal["cancel", "stop"]
EndState = Literal["success", "failed", "cancelled", "refused"]

DONE: frozenset[str] = frozenset({"success", "reused"})
BROKEN: frozenset[str] = frozenset({"failed", "cancelled", "lost"})

DECLARATION_BYTES = 4 << 20
CERTIFICATE_BYTES = 64 << 10
ORIGINS = 8

_STEP = rf"(?:[a-z][a-z0-9_-]{{0,62}}|{COIN_STEP})"
StepName = Annotated[str, text(_STEP)]
Party = Annotated[str, text(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")]
Origin = Annotated[str, text(rf"{JOB_ID.pattern}/{_STEP}/[0-9]{{1,7}}")]
Digest = Annotated[str, text("[0-9a-f]{64}")]
PartName = Annotated[str, text("[a-z0-9_.-]{1,128}")]
Tag = Annotated[StrictStr, Field(min_length=1, max_length=64)]
Attempt = Annotated[StrictInt, Field(ge=1, le=1 << 20)]
Run = Annotated[StrictInt, Field(ge=1, le=1 << 16)]


class Section(WireValue):
    """A value whose canonical bytes are made once: it is saved and sent many times."""

    @functools.cached_property
    def encoded(self) -> bytes:
        """The canonical bytes."""
        return codec.encode(plain(self))


def _graph(value: Any) -> Job:
    """Read a job whose steps can be put in order. Errors: ATL-FLW-001."""
    try:
        job = parse_job(value)
        for step in job.steps.values():
            for source in step.inputs.values():
                at, dot, output = source.partition(".")
                if not dot or not output or at not in job.steps:
                    raise malformed("an input of the job names no step")
        order(job)
    except AtollError as error:
        raise malformed(f"the job ({error.code})") from error
    except (RecursionError, ValueError) as error:
        raise malformed("the job") from error
    return job


def _model(kind: type[BaseModel]) -> PlainValidator:
    def made(value: Any) -> Any:
        try:
            return read(kind, value)
        except ValidationError as error:
            raise ValueError(reason(error)) from None

    return PlainValidator(made)


_Table = Annotated[TableFacts, _model(TableFacts)]
_Code = Annotated[ComponentFacts, _model(ComponentFacts)]


@dataclass(frozen=True)
class Options(WireValue):
    """How a job is to be run. Seconds are of the monotonic clock of each party.

    ``retries`` per step and run, not counting lost workers and nodes (``rules.LOST_LIMIT``),
    ``progress_seconds`` without progress end a task, ``peer_seconds`` of silence make a party lost.
    """

    retries: Annotated[StrictInt, Field(ge=0, le=RETRIES)] = 1
    step_rule: StepRule = "parallel"
    priority: Annotated[StrictInt, Field(ge=-100, le=100)] = 0
    progress_seconds: Annotated[StrictFloat, Field(ge=1, le=7 * 86400)] = 600.0
    peer_seconds: Annotated[StrictFloat, Field(ge=1, le=3600)] = 60.0
    reuse: StrictBool = True
    tags: Annotated[tuple[Tag, ...], at_most(32)] = ()


@dataclass(frozen=True)
class Proposal(Section):
    """What the initiator proposes; it never changes. ``nonce`` is 32 fresh bytes."""

    job: Annotated[Job, PlainValidator(_graph)]
    nonce: Annotated[StrictBytes, Field(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    options: Options = field(default_factory=Options)

    @functools.cached_property
    def steps(self) -> tuple[str, ...]:
        """All steps in order, the hidden coin toss first."""
        return (COIN_STEP, *order(self.job))

    @functools.cached_property
    def upstream(self) -> Mapping[str, frozenset[str]]:
        """The steps that each step waits for; the roots wait for the coin toss."""
        found = {COIN_STEP: frozenset[str]()}
        for name, step in self.job.steps.items():
            sources = frozenset(source.partition(".")[0] for source in step.inputs.values())
            found[name] = sources or frozenset({COIN_STEP})
        return found


@dataclass(frozen=True)
class Declaration(Section):
    """What a party brings: its table facts by step, the code of its components, its certificate,
    and by step its commitments to own parts of registered models.
    """

    tables: Annotated[Mapping[StepName, _Table], at_most(STEPS + 1)]
    components: Annotated[Mapping[StrictStr, _Code], at_most(STEPS)]
    certificate: Annotated[StrictBytes, Field(min_length=1, max_length=CERTIFICATE_BYTES)]
    parts: Annotated[Mapping[StepName, Digest], at_most(STEPS)] | None = None

    def to(self, party: str, audience: Audience) -> Declaration:
        """Return what a party is sent of this, by who is sent the tables of each step."""
        kept = shown(self.tables, audience, party)
        return self if len(kept) == len(self.tables) else replace(self, tables=kept)


@dataclass(frozen=True)
class Refusal(Section):
    """A party does not take part. Peers learn the code and phase only."""

    code: Code
    phase: Phase | None = None


@dataclass(frozen=True)
class PlanFacts(Section):
    """The digest of the plan that a party made, and of each of its parts.

    Of a plan of which not all see everything only the parts that this party sees: no digest.
    """

    digest: Digest | None = None
    parts: Annotated[Mapping[PartName, Digest], at_most(64 + STEPS)] = field(default_factory=dict)


@dataclass(frozen=True)
class SignedApproval(Section):
    """An approval (``jobs.approval``) as it was signed; ``run`` is the first run it is for."""

    document: Annotated[StrictBytes, Field(min_length=1, max_length=DOCUMENT_BYTES)]
    signature: Annotated[StrictBytes, Field(min_length=1, max_length=SIGNATURE_BYTES)]
    run: Run = 1


@dataclass(frozen=True)
class Slot(Section):
    """Offers are numbered. The initiator's ``offer`` is open until ``withdrawn`` or ``started``.

    A party reports the last offer that it ``admitted``, and the last one whose slot it ``released``
    by itself since the initiator was silent.
    """

    offer: Count = 0
    withdrawn: Count = 0
    started: Count = 0
    admitted: Count = 0
    released: Count = 0


@dataclass(frozen=True)
class Reusable(WireValue):
    """Which earlier outputs of a step a party holds: origins (``job/step/attempt``) for a key."""

    key: Digest
    origins: Annotated[tuple[Origin, ...], at_most(ORIGINS)] = ()


@dataclass(frozen=True)
class StepCommand(WireValue):
    """The initiator's word on a step; ``origin`` says whose outputs to reuse."""

    attempt: Attempt
    action: Action = "start"
    origin: Origin | None = None

    @model_validator(mode="after")
    def _origin_of_reuse(self) -> Self:
        if (self.origin is None) != (self.action == "start"):
            raise ValueError("an origin goes with reuse")
        return self


@dataclass(frozen=True)
class TaskFact(WireValue):
    """The state of a party's task of the latest attempt that it knows."""

    attempt: Attempt
    state: TaskState
    code: Code | None = None
    phase: Phase | None = None


@dataclass(frozen=True)
class Stop(Section):
    """A party wants the job to end: a person's ``cancel`` or a ``stop`` for a fault.

    ``party`` and ``phase`` say where the fault is, if that is known.
    """

    kind: StopKind
    code: Code
    party: Party | None = None
    phase: Phase | None = None


@dataclass(frozen=True)
class End(Section):
    """How the job ended. The initiator's is the verdict; each other party's is its own end."""

    state: EndState
    code: Code | None = None
    party: Party | None = None
    phase: Phase | None = None


V = TypeVar("V")
BySteps = Annotated[Mapping[StepName, V], at_most(STEPS + 1)]


@dataclass(frozen=True)
class JobDocument:
    """One party's document of one job. A newer ``version`` replaces an older one."""

    job: str
    party: str
    version: int = 0
    run: Run = 1
    proposal: Proposal | None = None
    declaration: Declaration | None = None
    refusal: Refusal | None = None
    plan: PlanFacts | None = None
    approval: SignedApproval | None = None
    slot: Slot = field(default_factory=Slot)
    reusable: BySteps[Reusable] = field(default_factory=dict)
    commands: BySteps[StepCommand] = field(default_factory=dict)
    tasks: BySteps[TaskFact] = field(default_factory=dict)
    stop: Stop | None = None
    end: End | None = None

    @functools.cached_property
    def sections(self) -> dict[str, bytes]:
        """Every section that says something, as canonical bytes."""
        found: dict[str, bytes] = {}
        for name in SECTIONS:
            value = getattr(self, name)
            if value is not None and value != {} and value != Slot():
                found[name] = encode_section(value)
        return found


# How many bytes a section may have.
LIMITS: Mapping[str, int] = {
    "run": 16,
    "proposal": JOB_FILE_BYTES + (1 << 14),
    "declaration": DECLARATION_BYTES + (CERTIFICATE_BYTES << 1),
    "refusal": 1 << 10,
    "plan": 1 << 16,
    "approval": DOCUMENT_BYTES + SIGNATURE_BYTES + 256,
    "slot": 1 << 9,
    "reusable": 1 << 18,
    "commands": 1 << 17,
    "tasks": 1 << 17,
    "stop": 1 << 10,
    "end": 1 << 10,
}
SECTIONS = tuple(LIMITS)
# Taken back by an empty one, when the next run begins.
CLEARED = frozenset({"refusal", "stop", "end"})


def approval_nonce(job: str, nonce: bytes, party: str, run: int) -> bytes:
    """Return the nonce that a party's approval of a job must carry: it ties job id and proposal.

    ``nonce`` is the proposal's, ``run`` the first run that the approval is for.
    """
    return bytes.fromhex(codec.digest(["atoll/approval-nonce/v1", job, nonce, party, run]))


def plain(value: Any) -> Any:
    """Return the plain form of a section: what the codec takes. Absent fields are left out."""
    if isinstance(value, Job):
        return value.canonical()
    if isinstance(value, TableFacts | ComponentFacts):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "__dataclass_fields__"):
        fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
        return {name: plain(entry) for name, entry in fields.items() if entry is not None}
    return value


def encode_section(value: Any) -> bytes:
    """Return the canonical bytes of a section."""
    return value.encoded if isinstance(value, Section) else codec.encode(plain(value))

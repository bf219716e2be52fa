"""What a party publishes of a job: one document that only grows. Frozen classes.

The initiator's document holds the proposal, the offers and the commands; everybody's holds what
the party declares, approves and has done. ``run`` counts the runs of a job (a manual retry or rerun
begins the next one): ``stop``, ``refusal`` and ``end`` are those of the document's run.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from atoll.core import codec
from atoll.flow.planning import COIN_STEP
from atoll.jobs.audience import Audience, shown
from atoll.jobs.definition import Job
from atoll.jobs.plan import ComponentFacts, TableFacts
from atoll.jobs.validation import order

StepRule = Literal["parallel", "serial", "cost_first"]
TaskState = Literal["waiting", "running", "success", "failed", "cancelled", "lost", "reused"]
Action = Literal["start", "reuse"]
StopKind = Literal["cancel", "stop"]
EndState = Literal["success", "failed", "cancelled", "refused"]

TASK_STATES: tuple[TaskState, ...] = (
    "waiting",
    "running",
    "success",
    "failed",
    "cancelled",
    "lost",
    "reused",
)
DONE: frozenset[str] = frozenset({"success", "reused"})
BROKEN: frozenset[str] = frozenset({"failed", "cancelled", "lost"})


class Section:
    """A value whose canonical bytes are made once: it is saved and sent many times."""

    @functools.cached_property
    def encoded(self) -> bytes:
        """The canonical bytes."""
        return codec.encode(plain(self))


@dataclass(frozen=True)
class Options:
    """How a job is to be run. Seconds are of the monotonic clock of each party.

    ``retries`` per step and run, not counting lost workers and nodes (``rules.LOST_LIMIT``),
    ``progress_seconds`` without progress end a task, ``peer_seconds`` of silence make a party lost.
    """

    retries: int = 1
    step_rule: StepRule = "parallel"
    priority: int = 0
    progress_seconds: float = 600.0
    peer_seconds: float = 60.0
    reuse: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal(Section):
    """What the initiator proposes; it never changes. ``nonce`` is 32 fresh bytes."""

    job: Job
    nonce: bytes
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
    """What a party brings: its table facts by step, the code of its components, its certificate."""

    tables: Mapping[str, TableFacts]
    components: Mapping[str, ComponentFacts]
    certificate: bytes

    def to(self, party: str, audience: Audience) -> Declaration:
        """Return what a party is told of this, by who is told of the tables of each step."""
        kept = shown(self.tables, audience, party)
        return self if len(kept) == len(self.tables) else replace(self, tables=kept)


@dataclass(frozen=True)
class Refusal(Section):
    """A party does not take part. Peers learn the code and phase only."""

    code: str
    phase: str | None = None


@dataclass(frozen=True)
class PlanFacts(Section):
    """The digest of the plan that a party made, and of each of its parts.

    Of a plan of which not all see everything only the parts that this party sees: no digest.
    """

    digest: str | None
    parts: Mapping[str, str]


@dataclass(frozen=True)
class SignedApproval(Section):
    """An approval (``jobs.approval``) as it was signed; ``run`` is the first run it is for."""

    document: bytes
    signature: bytes
    run: int = 1


@dataclass(frozen=True)
class Slot(Section):
    """Offers are numbered. The initiator's ``offer`` is open until ``withdrawn`` or ``started``.

    A party tells the last offer that it ``admitted``, and the last one whose slot it ``released``
    by itself since the initiator was silent.
    """

    offer: int = 0
    withdrawn: int = 0
    started: int = 0
    admitted: int = 0
    released: int = 0


@dataclass(frozen=True)
class Reusable:
    """Which earlier outputs of a step a party holds: origins (``job/step/attempt``) for a key."""

    key: str
    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepCommand:
    """The initiator's word on a step; ``origin`` says whose outputs to reuse."""

    attempt: int
    action: Action = "start"
    origin: str | None = None


@dataclass(frozen=True)
class TaskFact:
    """The state of a party's task of the latest attempt that it knows."""

    attempt: int
    state: TaskState
    code: str | None = None
    phase: str | None = None


@dataclass(frozen=True)
class Stop(Section):
    """A party wants the job to end: a person's ``cancel`` or a ``stop`` for a fault.

    ``party`` and ``phase`` say where the fault is, if that is known.
    """

    kind: StopKind
    code: str
    party: str | None = None
    phase: str | None = None


@dataclass(frozen=True)
class End(Section):
    """How the job ended. The initiator's is the verdict; each other party's is its own end."""

    state: EndState
    code: str | None = None
    party: str | None = None
    phase: str | None = None


@dataclass(frozen=True)
class JobDocument:
    """One party's document of one job. A newer ``version`` replaces an older one."""

    job: str
    party: str
    version: int = 0
    run: int = 1
    proposal: Proposal | None = None
    declaration: Declaration | None = None
    refusal: Refusal | None = None
    plan: PlanFacts | None = None
    approval: SignedApproval | None = None
    slot: Slot = field(default_factory=Slot)
    reusable: Mapping[str, Reusable] = field(default_factory=dict)
    commands: Mapping[str, StepCommand] = field(default_factory=dict)
    tasks: Mapping[str, TaskFact] = field(default_factory=dict)
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


SECTIONS = (
    "run",
    "proposal",
    "declaration",
    "refusal",
    "plan",
    "approval",
    "slot",
    "reusable",
    "commands",
    "tasks",
    "stop",
    "end",
)


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

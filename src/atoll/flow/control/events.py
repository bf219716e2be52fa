"""What happens to a job at one node. Frozen; the machine takes nothing else from outside.

``now`` is a ``Moment``: deadlines use its monotonic part only, so clock jumps do nothing; the wall
part is compared with the expiry of approvals and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from atoll.flow.control.facts import Options, StopKind, TaskState
from atoll.flow.control.sync import Update
from atoll.jobs.audience import Audience
from atoll.jobs.commitment import Opening
from atoll.jobs.definition import Job
from atoll.jobs.plan import ComponentFacts, TableFacts


@dataclass(frozen=True)
class Moment:
    """Seconds of this process's monotonic clock, and seconds since 1970."""

    monotonic: float
    wall: float


@dataclass(frozen=True)
class Submitted:
    """The own user submits a checked job. ``nonce``: 32 fresh random bytes. Record: None."""

    job_id: str
    job: Job
    options: Options
    nonce: bytes
    now: Moment


@dataclass(frozen=True)
class FactsReceived:
    """A party's facts came, over a connection with that party's certificate.

    For an unknown job the record is None and the facts must hold a proposal.
    """

    party: str
    update: Update
    now: Moment


@dataclass(frozen=True)
class StaleRecord:
    """A party holds a newer version of the own facts than the own record: a backup came back."""

    party: str
    version: int
    now: Moment


@dataclass(frozen=True)
class Declared:
    """Answer to ``Declare``: the own tables by step, the components used, the certificate.

    ``audience`` states who is sent the facts of the tables of a step, where that is not every
    party. ``parts`` are commitments to own parts of registered models by step; ``opening`` opens
    these and those to the tables, and stays at home.
    """

    tables: Mapping[str, TableFacts]
    components: Mapping[str, ComponentFacts]
    certificate: bytes
    now: Moment
    audience: Audience = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    opening: Opening | None = None


@dataclass(frozen=True)
class DeclareFailed:
    """Answer to ``Declare``: this node cannot take part. ``place`` stays at home."""

    code: str
    place: str | None
    now: Moment


@dataclass(frozen=True)
class Decided:
    """Answer to ``Decide``: by a policy, or later by a person.

    ``approve`` carries the signed document (with the command's nonce), ``refuse`` a code, and
    ``queue``: a person is asked. ``run`` is the command's: an answer for another run
    than the present one is left aside (zero: the present one).
    """

    kind: Literal["approve", "queue", "refuse"]
    now: Moment
    document: bytes = b""
    signature: bytes = b""
    code: str | None = None
    run: int = 0


@dataclass(frozen=True)
class Admitted:
    """The node's queue gave the slot of an offer."""

    offer: int
    now: Moment


@dataclass(frozen=True)
class ReusableFound:
    """Answer to ``FindReusable``: whose outputs (``job/step/attempt``) this node holds for keys."""

    origins: Mapping[str, tuple[str, ...]]
    now: Moment


@dataclass(frozen=True)
class TaskReported:
    """A task ended: ``success``, ``reused``, ``failed``, ``cancelled``, or its worker ``lost``.

    ``revealed``: whether anything left this party that the plan calls revealed, or no one knows.
    """

    step: str
    attempt: int
    state: TaskState
    now: Moment
    code: str | None = None
    phase: str | None = None
    revealed: bool = True


@dataclass(frozen=True)
class Progressed:
    """A task of this node reported progress."""

    now: Moment


@dataclass(frozen=True)
class StopAsked:
    """A person (``cancel``) or this node itself (``stop``, with a code) ends the job.

    ``party`` is whose fault it is, where that is another party. ``voids``: as after a ``cancel``, a
    host's approval is worth nothing in later runs.
    """

    kind: StopKind
    by: str
    now: Moment
    code: str | None = None
    party: str | None = None
    voids: bool = False


@dataclass(frozen=True)
class RetryAsked:
    """The initiator's user wants the steps that are not done run again."""

    now: Moment


@dataclass(frozen=True)
class RerunAsked:
    """The initiator's user wants a step and all below it (None: everything) run again."""

    step: str | None
    now: Moment


@dataclass(frozen=True)
class Tick:
    """Time passed: about once a second. ``last_contact``: the monotonic time of each party's last
    message.
    """

    now: Moment
    last_contact: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Restarted:
    """The node came up again with the saved record: no task of before runs any more."""

    now: Moment


Event = (
    Submitted
    | FactsReceived
    | StaleRecord
    | Declared
    | DeclareFailed
    | Decided
    | Admitted
    | ReusableFound
    | TaskReported
    | Progressed
    | StopAsked
    | RetryAsked
    | RerunAsked
    | Tick
    | Restarted
)

"""What the machine wants done. The caller saves the record first and carries these out after it.

All may come again after a restart. ``StartTask`` never comes twice for the same step and attempt:
that is why the record must be on disk before a task starts or facts are published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from atoll.flow.control.facts import EndState
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan


@dataclass(frozen=True)
class Declare:
    """Check the job and collect own tables and code: answer ``Declared`` or ``DeclareFailed``."""

    job: Job
    initiator: str


@dataclass(frozen=True)
class Decide:
    """Decide on the plan: answer ``Decided``. An approval must carry ``nonce``; it is for ``run``
    and those after it, as many as its ``runs``.
    """

    plan: Plan
    nonce: bytes
    run: int


@dataclass(frozen=True)
class Explain:
    """Keep why the job fails here: what a person of this party is shown, and no one else."""

    code: str
    message: str
    party: str | None = None
    place: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class FindReusable:
    """Look up which earlier outputs are held for keys (by step): answer ``ReusableFound``.

    The origins are by step; at most eight of each, newest first, none if there is none.
    """

    keys: Mapping[str, str]


@dataclass(frozen=True)
class Enqueue:
    """Ask the node's queue for a slot: answer ``Admitted`` with this offer, some day.

    ``held``: the slot was held before a restart and is to be counted at once (no answer).
    """

    offer: int
    role: Literal["initiator", "host"]
    initiator: str
    priority: int
    held: bool = False


@dataclass(frozen=True)
class Release:
    """Give the slot of an offer back, or leave the queue.

    ``used``: whether a step began here in the slot; None where none was held.
    """

    offer: int
    used: bool | None = None


@dataclass(frozen=True)
class StartTask:
    """Run the own task of a step. ``key`` is what to store as the reuse key when it succeeds.

    ``spends``: it takes one of the approved runs, since one before it in the run was not in vain.
    """

    step: str
    attempt: int
    key: str
    spends: bool = False


@dataclass(frozen=True)
class ReuseTask:
    """Take the outputs of ``origin`` as those of this attempt: answer ``TaskReported``.

    ``reused``, or ``failed`` with ATL-FLW-017 if they are gone.
    """

    step: str
    attempt: int
    origin: str
    key: str


@dataclass(frozen=True)
class KillTask:
    """End a running task: answer ``TaskReported`` when it is gone."""

    step: str
    attempt: int


@dataclass(frozen=True)
class Publish:
    """The own facts changed: sync with these parties soon."""

    peers: tuple[str, ...]


@dataclass(frozen=True)
class Complain:
    """A party broke the rules: for log and audit; the job goes on or ends by other commands."""

    party: str
    code: str
    place: str


@dataclass(frozen=True)
class Ended:
    """The run has ended at this node: nothing of it runs here any more.

    Sent once: a node that was killed before it was done with this goes on at its start.
    """

    state: EndState
    code: str | None = None
    party: str | None = None
    phase: str | None = None
    steps: Mapping[str, int] = field(default_factory=dict)


Command = (
    Declare
    | Decide
    | Explain
    | FindReusable
    | Enqueue
    | Release
    | StartTask
    | ReuseTask
    | KillTask
    | Publish
    | Complain
    | Ended
)

"""What a worker is sent for a task, as one JSON line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue, ValidationError

from atoll.core.errors import UserError
from atoll.core.limits import Limits
from atoll.core.names import Role, addresses, parse_seat, party_of
from atoll.flow.work.seat_keys import SeatKey
from atoll.jobs.definition import JOB_FILE_BYTES, Frozen, Job
from atoll.jobs.participation import Edges

TASK_LINE_BYTES = 4 * JOB_FILE_BYTES

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
StepName = Annotated[str, Field(pattern="^(coin toss|[a-z][a-z0-9_-]{0,62})$")]
JobId = Annotated[str, Field(pattern="^[0-9]{14}-[0-9a-f]{8}$")]


class InputArtifact(Frozen):
    """An artifact of an earlier step: its kind, the SHA-256 of its file, and where that lies."""

    kind: str
    digest: Digest
    path: Path


class OwnTable(Frozen):
    """A table that the step may open: its file, and what was approved of it.

    ``digest`` is that of the content (``Table.digest``); the task fails if the file holds another.
    """

    path: Path
    id: str
    label: str | None = None
    digest: Digest | None = None


class Gateway(Frozen):
    """How the worker reaches its peers: the gateway's socket, its own, and which it can dial.

    ``token`` is hexadecimal. ``dialable`` names every other party that the task communicates with.
    """

    socket: Path
    own_socket: Path
    token: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    label: Annotated[str, Field(min_length=1, max_length=128)]
    dialable: dict[str, bool]


class TaskLimits(Frozen):
    """Seconds to wait, threads, and how many bytes of decoded artifacts a worker keeps."""

    receive_seconds: float = Field(default=600.0, gt=0)
    silence_seconds: float = Field(default=30.0, gt=0)
    connect_seconds: float = Field(default=60.0, gt=0)
    heartbeat_seconds: float = Field(default=2.0, gt=0)
    threads: int = Field(default=0, ge=0)
    cache_bytes: int = Field(default=512 << 20, ge=0)

    def limits(self) -> Limits:
        """Return them as role code is given them."""
        return Limits(
            receive_seconds=self.receive_seconds,
            silence_seconds=self.silence_seconds,
            connect_seconds=self.connect_seconds,
            threads=self.threads,
        )


class TaskSpec(Frozen):
    """One party's share of a step, complete: nothing else is looked up anywhere.

    ``parameters`` are filled; ``component`` is empty for the coin toss. ``code`` and ``platform``
    are the digests of code in the signed plan (empty: it is from before they were in it).
    ``inputs`` holds an entry for each input that this party has. ``seats`` are those of the step
    (``party:role``; none: each party of the job has one), ``edges`` which roles communicate with
    each other (None: all), and ``quorum`` how many of a role must stay where not all must;
    ``rows`` is the most that each seat brings and ``columns`` how many it has, where that is known.
    ``seed_path`` is the job's seed (None for the coin toss and nothing else); ``gateway`` is None
    where this party communicates with no other. ``approved`` names the installed components of
    others that this node approved, by digest. ``checkpoints`` is the folder of this step's
    checkpoints in this run (None: none are kept). ``most`` bounds, by message and field, the
    elements that this party sends one other. With ``standing`` the task is a session: it serves
    requests under the agreement of the step. ``seat_keys`` are what own seats sign with in a star,
    by address, and ``certificates`` the digests of the parties' public keys, as in the plan.
    """

    job_id: JobId
    job: Job
    step: StepName
    attempt: int = Field(ge=0)
    party: str
    plan_digest: Digest
    implementation: str = ""
    component: str = ""
    code: str = ""
    platform: str = ""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: dict[str, InputArtifact] = Field(default_factory=dict)
    tables: dict[str, OwnTable] = Field(default_factory=dict)
    seed_path: Path | None = None
    gateway: Gateway | None = None
    limits: TaskLimits = Field(default_factory=TaskLimits)
    outputs_folder: Path
    checkpoints: Path | None = None
    approved: dict[str, str] = Field(default_factory=dict)
    seats: tuple[str, ...] = ()
    edges: tuple[str, ...] | None = None
    quorum: dict[Role, int] = Field(default_factory=dict)
    rows: dict[str, int] = Field(default_factory=dict)
    columns: dict[str, int] = Field(default_factory=dict)
    most: dict[str, dict[str, float]] = Field(default_factory=dict)
    standing: bool = False
    seat_keys: dict[str, SeatKey] = Field(default_factory=dict, repr=False)
    certificates: dict[str, Digest] = Field(default_factory=dict)

    @property
    def roles(self) -> dict[str, Role]:
        """The role of each seat of the step by its address. Errors: ATL-NAM-001."""
        if self.seats:
            return addresses(parse_seat(text) for text in self.seats)
        return self.job.first_roles

    @property
    def mine(self) -> tuple[str, ...]:
        """The addresses of this party's seats."""
        return tuple(address for address in self.roles if party_of(address) == self.party)

    @property
    def peers(self) -> frozenset[str]:
        """The other parties that this party's seats communicate with."""
        edges, roles = Edges.of_plain(self.edges), self.roles
        found = {party_of(peer) for address in self.mine for peer in edges.peers(address, roles)}
        return frozenset(found - {self.party})

    @property
    def label(self) -> str:
        """The name of the task's conversation on the wire."""
        return f"{self.job_id}/{self.step}/{self.attempt}"

    def line(self) -> bytes:
        """Return this as the line that a worker reads."""
        whole = {"do": "task", **self.model_dump(mode="json")}
        return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read_task(value: Any) -> TaskSpec:
    """Make a specification of a decoded line. Errors: ATL-WRK-003 if it has another shape."""
    try:
        return TaskSpec.model_validate({k: v for k, v in value.items() if k != "do"})
    except (ValidationError, AttributeError) as error:
        place = None
        if isinstance(error, ValidationError):
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
        raise UserError("ATL-WRK-003", "this is no task for a worker", place=place) from error

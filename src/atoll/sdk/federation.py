"""``local``: a whole federation in one process, for notebooks and tests.

    with local({"bank": "guest", "shop": "host"}) as federation:
        federation.table("bank", "people", loans)       # pandas, polars, Arrow, Table, or a file
        federation.table("shop", "people", visits)
        outcome = federation.run(pipeline)
    outcome["bank"].metrics, outcome["bank"].reports["boosting"], outcome["shop"].reveals

Every party is a node: its own keys, database, gateway and workers, joined by mTLS on loopback, in a
folder that goes with the federation. It protects nothing from whoever owns the process, who is also
the person that approves a plan at each node. While a job runs here (and only then), parts for
simulation may be used: the ``ideal`` implementations, which are fast and hide nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atoll.components.api import Catalogue
from atoll.components.scores import Scores
from atoll.core.errors import UserError
from atoll.core.names import Role, Roles, party_id, ranked, roles_text
from atoll.flow.work.events import Events
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from atoll.sdk.calls.jobs import Definition, plain
from atoll.sdk.frames import FrameTables
from atoll.sdk.results import Report
from atoll.table import Table

if TYPE_CHECKING:
    from atoll.sdk.client import Client
    from atoll.sdk.driving import Driver
    from atoll.sim.nodes import LocalNode

RoleNames = str | Role | Sequence[str | Role]
_INSECURE = "ATOLL_INSECURE_SIMULATION"


class _Permission:
    """Counts the runs that are on, so that the first allows and the last forbids again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._before: str | None = None

    @contextmanager
    def given(self) -> Iterator[None]:
        """Allow parts for simulation for the length of a block, in this process."""
        with self._lock:
            if self._runs == 0:
                self._before = os.environ.get(_INSECURE)
                os.environ[_INSECURE] = "1"
            self._runs += 1
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if self._runs == 0:
                    os.environ.pop(_INSECURE, None)
                    if self._before is not None:
                        os.environ[_INSECURE] = self._before


_SIMULATION = _Permission()


@dataclass(frozen=True)
class PartyOutcome:
    """What one party has after a job.

    ``outputs`` are by ``step.output``; ``tables`` and ``scores`` are those of them that are such;
    ``metrics`` are figures by ``step.name``; ``files`` are bytes by ``step/name``; ``reveals`` are
    the ledger's lines of what this party sent others.
    """

    party: str
    role: str
    plan: Plan
    outputs: Mapping[str, Any] = field(repr=False)
    reports: Mapping[str, Report] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    reveals: tuple[Mapping[str, Any], ...] = field(repr=False)

    @property
    def tables(self) -> dict[str, Table]:
        """The tables among the outputs."""
        return {name: value for name, value in self.outputs.items() if isinstance(value, Table)}

    @property
    def scores(self) -> dict[str, Scores]:
        """The scores among the outputs."""
        return {name: value for name, value in self.outputs.items() if isinstance(value, Scores)}

    @property
    def metrics(self) -> dict[str, float]:
        """Every figure of the evaluations, by ``step.part.figure``."""
        found: dict[str, float] = {}
        for name, value in self.outputs.items():
            step, _, output = name.partition(".")
            if output == "metrics":
                found |= _figures(step, value)
        return found


def _figures(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, Mapping):
        found: dict[str, float] = {}
        for key, entry in value.items():
            found |= _figures(f"{name}.{key}", entry)
        return found
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {name: float(value)} if number else {}


class Outcomes(dict[str, PartyOutcome]):
    """Each party's outcome."""

    def _repr_html_(self) -> str:
        from atoll.sdk import markup

        return markup.outcomes({party: found.metrics for party, found in self.items()})


class Federation:
    """Parties in one process. Use ``local``."""

    def __init__(
        self,
        parties: Mapping[str, RoleNames],
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        catalogue: Catalogue | None = None,
        events: Callable[[str], Events] | None = None,
    ) -> None:
        """Name the parties with their roles. Errors: ATL-NAM-001, ATL-SDK-030."""
        self._roles = {party_id(name): _roles_of(roles) for name, roles in parties.items()}
        self._tables = {name: FrameTables({}) for name in self._roles}
        for party, frames in (tables or {}).items():
            for name, data in frames.items():
                self.table(party, name, data)
        self.catalogue = catalogue
        self._events = events
        self._lock = threading.Lock()
        self._stack = ExitStack()
        # Whoever forgets to close it has it closed at the end of the process that opened it.
        self._closing = weakref.finalize(self, _close, self._stack, os.getpid())
        self._nodes: dict[str, LocalNode] = {}

    @property
    def parties(self) -> dict[str, str]:
        """Each party's role, or its roles."""
        return {name: roles_text(roles) for name, roles in self._roles.items()}

    def table(self, party: str, name: str, data: Any) -> Federation:
        """Give a party a table: a frame of pandas or polars, Arrow, a ``Table``, or a file."""
        if party not in self._tables:
            raise UserError("ATL-SDK-030", "this federation has no such party", party=party)
        self._tables[party].add(name, data)
        return self

    def client(self, party: str) -> Client:
        """Return a client of a party's node, as its administrator. Errors: ATL-SDK-030."""
        from atoll.sdk.client import Client

        node = self._opened().get(party)
        if node is None:
            raise UserError("ATL-SDK-030", "this federation has no such party", party=party)
        found = node.folder.read_http() or {}
        return Client(found["url"], token=found["token"])

    def plan(self, job: Definition) -> Plan:
        """Return the plan that the parties would make of a job; nothing runs."""
        made = self._job(job)
        with _SIMULATION.given():
            return self._driver(made).plan()

    def run(self, job: Definition) -> Outcomes:
        """Run a job (or pipeline, or plain form) to its end and return each party's outcome.

        Errors: the first cause at any party; ATL-SDK-030 the job has other parties than this.
        """
        made = self._job(job)
        with _SIMULATION.given():
            driver = self._driver(made)
            name = driver.run(self._events)
        return Outcomes({party: self._outcome(party, name) for party in self._roles})

    def _job(self, definition: Definition) -> Job:
        job = parse_job(plain(definition))
        self._opened()
        if job.parties != self._roles:
            raise UserError(
                "ATL-SDK-030",
                "the job has other parties or roles than this federation",
                place="parties",
                hint=f"here: {', '.join(f'{n} {r}' for n, r in self.parties.items())}",
            )
        return job

    def _opened(self) -> dict[str, LocalNode]:
        """Return the nodes; the first who asks has them started."""
        from atoll.sim.nodes import nodes

        with self._lock:
            if not self._closing.alive:
                raise UserError("ATL-SDK-030", "this federation is closed")
            if not self._nodes:
                folder = Path(tempfile.mkdtemp(prefix="atoll-local-"))
                self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
                # Components of the caller live in this process, so their workers do.
                own = None if self.catalogue is None else lambda: self.catalogue or {}
                self._nodes = self._stack.enter_context(nodes(folder, list(self._roles), own))
            return self._nodes

    def _driver(self, job: Job) -> Driver:
        from atoll.sdk.driving import Driver

        driver = Driver(self._opened(), job)
        with self._lock:
            driver.register(self._tables)
        return driver

    def _outcome(self, party: str, job: str) -> PartyOutcome:
        from atoll.sdk.driving import left

        node = self._nodes[party]
        found = left(node, job)
        return PartyOutcome(
            party=party,
            role=roles_text(self._roles[party]),
            plan=Plan.model_validate(node.services.jobs.plan_of(job)["plan"]),
            outputs=found.outputs,
            reports=found.reports,
            files=found.files,
            reveals=tuple(
                line
                for line in node.services.ledger.entries()
                if line["kind"] == "reveal" and line["run"] == job
            ),
        )

    def close(self) -> None:
        """Stop the nodes and forget everything that was written."""
        with self._lock:
            self._nodes = {}
            self._closing()

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<federation of {', '.join(f'{n} ({r})' for n, r in self.parties.items())}>"


def _close(stack: ExitStack, process: int) -> None:
    """Close what a process opened; one that split off it has nothing to close."""
    if os.getpid() == process:
        stack.close()


def _roles_of(roles: RoleNames) -> Roles:
    several = [roles] if isinstance(roles, str) else roles
    try:
        return ranked(Role(role) for role in several)
    except ValueError as error:
        raise UserError(
            "ATL-SDK-030",
            f"there is no role {str(roles)!r}",
            hint=f"roles: {', '.join(known.value for known in Role)}",
        ) from error


def local(
    parties: Mapping[str, RoleNames],
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    catalogue: Catalogue | None = None,
    events: Callable[[str], Events] | None = None,
) -> Federation:
    """Open parties in one process; ``tables`` are by party and name, ``parties`` hold the roles,
    of each one or a list.

    ``catalogue`` takes other components than the installed ones, for instance one that is being
    written; they run on threads of this process. ``events`` returns for a party what receives its
    events. Close it, or use ``with``.
    """
    return Federation(parties, tables, catalogue=catalogue, events=events)

"""``local``: a whole federation in one process, for notebooks and tests.

    with local({"bank": "guest", "shop": "host"}) as federation:
        federation.table("bank", "people", loans)       # pandas, polars, Arrow, Table, or a file
        federation.table("shop", "people", visits)
        outcome = federation.run(pipeline)
    outcome["bank"].metrics, outcome["bank"].reports["boosting"], outcome["shop"].reveals

Every party runs the real components, agreement, ledger and messages on a thread of its own; only
the network is memory and keys are made for the day. It protects nothing from whoever owns the
process. While a job runs here (and only then), parts for simulation may be used: the ``ideal``
implementations, which are fast and hide nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atoll.channel.party import Cancel, Party
from atoll.components.api import Catalogue
from atoll.components.scores import Scores
from atoll.core.errors import PeerError, UserError
from atoll.core.names import Role, Roles, party_id, ranked, roles_text
from atoll.flow import runner
from atoll.flow.approving import everything
from atoll.flow.events import Events
from atoll.flow.ledger import Ledger
from atoll.flow.runner import Outcome, Run
from atoll.jobs.approval import PublicKey
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from atoll.sdk.calls.jobs import Definition, plain
from atoll.sdk.frames import FrameTables
from atoll.sdk.results import Report
from atoll.sim import world
from atoll.table import Table

Held = str | Role | Sequence[str | Role]
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


class _Keys:
    """A party's key for the day; a certificate is the public key itself, known beforehand."""

    def __init__(self, party: str, known: Mapping[str, ed25519.Ed25519PrivateKey]) -> None:
        self._key = known[party]
        self._known = {
            name: key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            for name, key in known.items()
        }
        self.certificate = self._known[party]

    def sign(self, document: bytes) -> bytes:
        return self._key.sign(document)

    def public_key(self, party: str, certificate: bytes) -> PublicKey:
        if certificate != self._known.get(party):
            raise PeerError("ATL-PLN-002", "not the key of this party", party=party)
        return ed25519.Ed25519PublicKey.from_public_bytes(certificate)


@dataclass(frozen=True)
class PartyOutcome:
    """What one party has after a job.

    ``outputs`` are by ``step.output``; ``tables`` and ``scores`` are those of them that are such;
    ``metrics`` are figures by ``step.name``; ``files`` are bytes by ``step/name``; ``reveals`` are
    the ledger's lines of what this party told others.
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
        parties: Mapping[str, Held],
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        catalogue: Catalogue | None = None,
        events: Callable[[str], Events] | None = None,
    ) -> None:
        """Name the parties with their roles. Errors: ATL-NAM-001, ATL-SDK-030."""
        self._roles = {party_id(name): _held(roles) for name, roles in parties.items()}
        self._tables = {name: FrameTables({}) for name in self._roles}
        for party, frames in (tables or {}).items():
            for name, data in frames.items():
                self.table(party, name, data)
        self._catalogue = catalogue or _installed()
        self._events = events
        self._keys = {name: ed25519.Ed25519PrivateKey.generate() for name in self._roles}
        self._folder: Path | None = Path(tempfile.mkdtemp(prefix="atoll-local-"))

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

    def plan(self, job: Definition) -> Plan:
        """Return the plan that the parties would make of a job; nothing runs."""
        plans: dict[str, Plan] = self._play(job, runner.plan_only)
        return next(iter(plans.values()))

    def run(self, job: Definition) -> Outcomes:
        """Run a job (or pipeline, or plain form) to its end and return each party's outcome.

        Errors: the first cause at any party; ATL-SDK-030 the job has other parties than this.
        """
        done: dict[str, Outcome] = self._play(job, runner.run)
        return Outcomes({party: self._outcome(party, done[party]) for party in self._roles})

    def _play(self, definition: Definition, act: Callable[[Run], Any]) -> dict[str, Any]:
        job = parse_job(plain(definition))
        self._place()
        if job.parties != self._roles:
            raise UserError(
                "ATL-SDK-030",
                "the job has other parties or roles than this federation",
                place="parties",
                hint=f"here: {', '.join(f'{n} {r}' for n, r in self.parties.items())}",
            )
        # One each: a party whose lanes end each other does not cancel the others' work.
        cancels = {name: Cancel() for name in self._roles}

        def live(party: Party) -> Any:
            return act(self._bring(party, job, cancels[party.name]))

        with _SIMULATION.given():
            try:
                return world.run(job.first_roles, live).check().results
            except KeyboardInterrupt:
                for cancel in cancels.values():
                    cancel.request()
                raise

    def _place(self) -> Path:
        if self._folder is None:
            raise UserError("ATL-SDK-030", "this federation is closed")
        return self._folder

    def _bring(self, party: Party, job: Job, cancel: Cancel) -> Run:
        folder = self._place() / party.name
        folder.mkdir(exist_ok=True)
        made = Run(
            party=party.name,
            job=job,
            catalogue=self._catalogue,
            transport=party.channel.transport,
            credentials=_Keys(party.name, self._keys),
            tables=self._tables[party.name].anew(),
            folder=folder,
            approve=everything,
            limits=party.limits,
            clock=party.clock,
            cancel=cancel,
        )
        return made if self._events is None else replace(made, events=self._events(party.name))

    def _outcome(self, party: str, done: Outcome) -> PartyOutcome:
        results = done.results
        ledger = Ledger(self._place() / party)
        return PartyOutcome(
            party=party,
            role=roles_text(self._roles[party]),
            plan=done.plan,
            outputs={
                f"{step}.{name}": value
                for step, result in results.items()
                for name, value in result.outputs.items()
            },
            reports={
                step: Report.model_validate(result.report.model_dump())
                for step, result in results.items()
                if result.report is not None
            },
            files={
                f"{step}/{name}": data
                for step, result in results.items()
                for name, data in result.files.items()
            },
            reveals=tuple(
                line
                for line in ledger.entries()
                if line["kind"] == "reveal" and line["run"] in ("", done.folder.name)
            ),
        )

    def close(self) -> None:
        """Forget everything that was written."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Federation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<federation of {', '.join(f'{n} ({r})' for n, r in self.parties.items())}>"


def _held(roles: Held) -> Roles:
    several = [roles] if isinstance(roles, str) else roles
    try:
        return ranked(Role(role) for role in several)
    except ValueError as error:
        raise UserError(
            "ATL-SDK-030",
            f"there is no role {str(roles)!r}",
            hint=f"roles: {', '.join(known.value for known in Role)}",
        ) from error


def _installed() -> Catalogue:
    from atoll.components.catalogue import CATALOGUE

    return CATALOGUE


def local(
    parties: Mapping[str, Held],
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    catalogue: Catalogue | None = None,
    events: Callable[[str], Events] | None = None,
) -> Federation:
    """Open parties in one process; ``tables`` are by party and name, ``parties`` say the roles,
    of each one or a list.

    ``catalogue`` takes other components than the installed ones, for instance one that is being
    written; ``events`` returns for a party who hears its events. Close it, or use ``with``.
    """
    return Federation(parties, tables, catalogue=catalogue, events=events)

"""All that a node knows of one job: frozen, and JSON-safe for the database."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from atoll.core.errors import AtollError, InternalError
from atoll.flow.control.facts import End, JobDocument, Options, Proposal
from atoll.flow.control.reading import read_facts
from atoll.jobs.audience import Audience
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan

FORMAT = 1


@dataclass(frozen=True)
class ApprovedRuns:
    """What a checked approval allows: runs ``first`` to ``first + runs - 1``, until ``expires``."""

    first: int
    runs: int
    expires: int

    def covers(self, run: int) -> bool:
        """Return whether a run is among those approved."""
        return self.first <= run < self.first + self.runs


@dataclass(frozen=True)
class Fault:
    """What a party did against the rules."""

    party: str
    code: str
    place: str


@dataclass(frozen=True)
class JobRecord:
    """One job at one node.

    ``facts`` holds each party's document, the own one too; ``since`` the version at which each own
    section changed last; ``ticket`` the offer whose slot is asked for or ``holding``; ``running``
    the attempts of own tasks that are alive, ``killing`` those of them that are being ended;
    ``fences`` the highest attempt ever commanded, ``earlier`` the own attempts of earlier runs;
    ``asked`` what was already asked of the node, ``gone`` the parties that are not waited for any
    more in this run (known to the initiator); ``audience`` who is told of the tables of a step,
    where that is not every party (from the own declaration on).
    ``marks`` are monotonic moments; they are worth nothing after a restart and are not saved.
    """

    id: str
    party: str
    initiator: str
    created: float
    facts: Mapping[str, JobDocument]
    since: Mapping[str, int] = field(default_factory=dict)
    plan: Plan | None = None
    approved: Mapping[str, ApprovedRuns] = field(default_factory=dict)
    queued: bool = False
    begun: int = 0
    ticket: int = 0
    holding: bool = False
    running: Mapping[str, int] = field(default_factory=dict)
    killing: frozenset[str] = frozenset()
    fences: Mapping[str, int] = field(default_factory=dict)
    earlier: Mapping[str, int] = field(default_factory=dict)
    retried: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()
    place: str | None = None
    closed: bool = False
    gone: frozenset[str] = frozenset()
    audience: Audience = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def own(self) -> JobDocument:
        """This node's document."""
        return self.facts[self.party]

    @property
    def lead(self) -> JobDocument:
        """The initiator's document."""
        return self.facts[self.initiator]

    @property
    def drives(self) -> bool:
        """Whether this node is the initiator's."""
        return self.party == self.initiator

    @property
    def proposal(self) -> Proposal:
        """What the initiator proposed. Errors: ATL-FLW-015 there is nothing."""
        if self.lead.proposal is None:
            raise _broken("there is no proposal")
        return self.lead.proposal

    @property
    def job(self) -> Job:
        """The job as it was proposed."""
        return self.proposal.job

    @property
    def options(self) -> Options:
        """The options that the initiator chose."""
        return self.proposal.options

    @property
    def run(self) -> int:
        """The number of the present run."""
        return self.own.run

    @property
    def version(self) -> int:
        """The version of the own document."""
        return self.own.version

    @property
    def end(self) -> End | None:
        """How the present run ended here, once nothing runs any more."""
        return self.own.end if self.closed else None

    @property
    def peers(self) -> tuple[str, ...]:
        """The other parties, in the order of their names."""
        return tuple(sorted(self.job.parties.keys() - {self.party}))

    def held(self, party: str) -> int:
        """Return the version of a party's facts that this node holds."""
        return self.facts[party].version if party in self.facts else 0

    def to_plain(self) -> dict[str, Any]:
        """Return the JSON-safe form."""
        return {
            "format": FORMAT,
            "id": self.id,
            "party": self.party,
            "initiator": self.initiator,
            "created": self.created,
            "facts": {party: _facts_to_plain(facts) for party, facts in self.facts.items()},
            "plan": None if self.plan is None else self.plan.canonical(),
            "approved": {party: asdict(entry) for party, entry in self.approved.items()},
            "killing": sorted(self.killing),
            "fresh": sorted(self.fresh),
            "asked": sorted(self.asked),
            "gone": sorted(self.gone),
            "audience": {step: list(parties) for step, parties in self.audience.items()},
            "faults": [asdict(fault) for fault in self.faults],
            **{name: getattr(self, name) for name in _SIMPLE},
            **{name: dict(getattr(self, name)) for name in _MAPPINGS},
        }

    @classmethod
    def from_plain(cls, value: Any) -> JobRecord:
        """Read the JSON-safe form. Errors: ATL-FLW-015 it is none of ours."""
        try:
            if value["format"] != FORMAT:
                raise _broken("it is of another version")
            return _from_plain(value)
        except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
            raise _broken("a field is missing or wrong") from error

    def forget_marks(self) -> JobRecord:
        """Return this without moments of another process's clock."""
        return replace(self, marks={})


_SIMPLE = ("queued", "begun", "ticket", "holding", "place", "closed")
_MAPPINGS = ("since", "running", "fences", "earlier", "retried", "lost")


def _broken(reason: str) -> InternalError:
    return InternalError("ATL-FLW-015", f"the saved record of a job cannot be used: {reason}")


def _facts_to_plain(facts: JobDocument) -> dict[str, Any]:
    sections = {n: base64.b64encode(d).decode("ascii") for n, d in facts.sections.items()}
    return {"version": facts.version, "sections": sections}


def _facts(job: str, party: str, value: Any) -> JobDocument:
    try:
        sections = {n: base64.b64decode(d, validate=True) for n, d in value["sections"].items()}
        return read_facts(job, party, value["version"], sections)
    except (AtollError, binascii.Error) as error:
        raise _broken(f"the facts of {party}") from error


def _from_plain(value: dict[str, Any]) -> JobRecord:
    plan = value["plan"]
    simple: dict[str, Any] = {name: value[name] for name in _SIMPLE}
    simple |= {name: dict(value[name]) for name in _MAPPINGS}
    return JobRecord(
        id=value["id"],
        party=value["party"],
        initiator=value["initiator"],
        created=value["created"],
        facts={party: _facts(value["id"], party, e) for party, e in value["facts"].items()},
        plan=None if plan is None else Plan.model_validate(plan),
        approved={party: ApprovedRuns(**entry) for party, entry in value["approved"].items()},
        killing=frozenset(value["killing"]),
        gone=frozenset(value.get("gone", ())),
        audience={step: tuple(held) for step, held in value.get("audience", {}).items()},
        fresh=frozenset(value["fresh"]),
        asked=frozenset(value["asked"]),
        faults=tuple(Fault(**fault) for fault in value["faults"]),
        **simple,
    )

"""All that a node knows of one job: frozen, and JSON-safe for the database."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from pydantic import PlainSerializer, TypeAdapter, ValidationError

from atoll.core.errors import AtollError, InternalError
from atoll.flow.control.facts import End, JobDocument, Options, Proposal
from atoll.flow.control.reading import read_facts
from atoll.jobs.audience import Audience
from atoll.jobs.commitment import Opening
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan

FORMAT = 1


# Records from before these were known do without.
_LATER = ("gone", "audience", "tried", "exposed", "spent", "aborted", "opening", "ask_person")


def _document(facts: JobDocument) -> dict[str, Any]:
    sections = {n: base64.b64encode(d).decode("ascii") for n, d in facts.sections.items()}
    return {"version": facts.version, "sections": sections}


Names = Annotated[frozenset[str], PlainSerializer(sorted)]


@dataclass(frozen=True)
class ApprovedRuns:
    """What a checked approval allows: so many ``runs``, the first of them ``first``, until
    ``expires``.
    """

    first: int
    runs: int
    expires: int

    def covers(self, run: int, spent: int = 0) -> bool:
        """Return whether a run is among those approved, less those spent on further attempts."""
        return self.first <= run and run + spent < self.first + self.runs


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
    more in this run (known to the initiator); ``audience`` who is sent the tables' facts of a step,
    where that is not every party (from the own declaration on). ``tried`` counts the own attempts
    of each step in this run; ``exposed`` are the steps whose last one revealed something or ended
    well, so that another spends an approved run; ``spent`` counts those since the own approval,
    ``aborted`` the coin tosses that broke off after this party had opened its value.
    ``opening`` is what opens the own commitments; it is never sent. ``ask_person``: a person of
    this party stopped the job, so a person decides on its next run, whatever grants cover.
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
    killing: Names = frozenset()
    fences: Mapping[str, int] = field(default_factory=dict)
    earlier: Mapping[str, int] = field(default_factory=dict)
    retried: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    fresh: Names = frozenset()
    asked: Names = frozenset()
    faults: tuple[Fault, ...] = ()
    place: str | None = None
    closed: bool = False
    gone: Names = frozenset()
    audience: Audience = field(default_factory=dict)
    tried: Mapping[str, int] = field(default_factory=dict)
    exposed: Names = frozenset()
    spent: int = 0
    aborted: int = 0
    opening: Opening | None = None
    ask_person: bool = False
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
    def covered(self) -> bool:
        """Whether the own approval is there and covers the present run."""
        mine = self.approved.get(self.party)
        return mine is not None and mine.covers(self.run, self.spent)

    @property
    def may_spend(self) -> bool:
        """Whether the own approval has a run left for an attempt that spends one."""
        mine = self.approved.get(self.party)
        return mine is not None and mine.covers(self.run, self.spent + 1)

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
        # What is plain already is not gone through again: a record is saved at every event.
        rest = _adapter().dump_python(self, mode="json", exclude={"marks", "facts", "plan"})
        facts = {party: _document(facts) for party, facts in self.facts.items()}
        plan = None if self.plan is None else self.plan.canonical()
        return {"format": FORMAT, "facts": facts, "plan": plan, **rest}

    @classmethod
    def from_plain(cls, value: Any) -> JobRecord:
        """Read the JSON-safe form. Errors: ATL-FLW-015 it is none of ours."""
        try:
            if value["format"] != FORMAT:
                raise _broken("it is of another version")
            if not value.keys() >= _NEEDED:
                raise _broken("a field is missing")
            facts = {party: _facts(value["id"], party, e) for party, e in value["facts"].items()}
            return _adapter().validate_python({**value, "facts": facts, "marks": {}})
        except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
            raise _broken("a field is missing or wrong") from error


@functools.cache
def _adapter() -> TypeAdapter[JobRecord]:
    return TypeAdapter(JobRecord)


_NEEDED = {entry.name for entry in fields(JobRecord)} - {"marks", *_LATER}


def _broken(reason: str) -> InternalError:
    return InternalError("ATL-FLW-015", f"the saved record of a job cannot be used: {reason}")


def _facts(job: str, party: str, value: Any) -> JobDocument:
    try:
        sections = {n: base64.b64decode(d, validate=True) for n, d in value["sections"].items()}
        return read_facts(job, party, value["version"], sections)
    except (AtollError, binascii.Error) as error:
        raise _broken(f"the facts of {party}") from error

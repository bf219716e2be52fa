"""What a component is: a parameter class, ports, an entry, and what it states for the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel

from atoll.channel.party import Party
from atoll.components.dishonest import Cheat
from atoll.components.lineage import Lineage
from atoll.components.predict import Apply, Drop, Predict, Repeat
from atoll.components.references import Lookup
from atoll.components.standing import Request, Requests
from atoll.core import codec
from atoll.core.errors import UserError
from atoll.core.exposure import Exposure
from atoll.core.names import LABELLED, Role
from atoll.core.report import Report
from atoll.core.reveal import Reveal
from atoll.core.work import Rate, Work
from atoll.jobs.participation import ALL, VERTICAL, Edges, Participants
from atoll.jobs.plan import StandingTerms, TableFacts
from atoll.jobs.schema import Port, Refusal, Schema
from atoll.models.catalogue import KINDS
from atoll.models.kinds import Kinds, ModelKind
from atoll.operators.setting import Setting

if TYPE_CHECKING:
    from atoll.table import Table
    from atoll.table.labels import LabelFacts

__all__ = [
    "Apply",
    "ArtifactFacts",
    "Catalogue",
    "Cheat",
    "Component",
    "Drop",
    "Exposure",
    "Facts",
    "KnownComponents",
    "Origin",
    "OwnFacts",
    "Port",
    "Rate",
    "Repeat",
    "Report",
    "Request",
    "Requests",
    "Result",
    "Reveal",
    "Role",
    "Standing",
    "StandingTerms",
    "TableDeclaration",
    "Tables",
    "Task",
    "Terms",
    "Work",
]


class Tables(Protocol):
    """This party's tables by the names that its own folder gives them."""

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Read a table, or return it again. Errors: ATL-JOB-010 unknown, those of the reader."""
        ...


def numbered(ports: Iterable[str]) -> list[str]:
    """Return ports in the order of their numbers: ``tables.2`` before ``tables.10``."""
    return sorted(ports, key=lambda port: (len(port), port))


@dataclass(frozen=True)
class Task:
    """One party's share of a step: who it is, its inputs by port, and its own tables.

    ``kinds`` are those of models and transforms that are known here.
    """

    step: str
    party: Party
    inputs: Mapping[str, Any]
    tables: Tables
    kinds: Kinds = field(default_factory=lambda: KINDS)

    def agreed(self, table: Table, output: str, *sources: Table) -> Table:
        """Return a table whose rows are the same, in the same order, at all parties of this step.

        The caller vouches for it: all parties chose these rows alike, from ``sources`` (if any)
        whose rows were agreed on before; if those were not, the result is not either.
        """
        parents = [source.alignment for source in sources]
        if None in parents:
            return table.with_alignment(None)
        made = ["atoll/alignment/v1", self.party.session, output, table.num_rows, parents]
        return table.with_alignment(codec.digest(made))

    def several(self, port: str) -> list[Any]:
        """Return the inputs of a port that takes many, in the order of their numbers."""
        named = {key: value for key, value in self.inputs.items() if key.partition(".")[0] == port}
        return [named[key] for key in numbered(named)]


@dataclass(frozen=True)
class Result:
    """What a task leaves: outputs for later steps, files and a report for this party's folder."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    report: Report | None = None


# Values of a label, each once, and the most rows that each may have.
Classes = tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class ArtifactFacts:
    """What a plan knows of an artifact at one party before it is there.

    ``rows`` is the most that it may have (0: not known), ``columns`` are its features (a model's:
    those of its training; None: not known), ``label`` is the label's column if it has one.
    ``aligned``: the parties agreed on its rows. ``sources`` are the steps that bring the rows in.
    ``classes`` are those that its label may have, with the most rows of each: known to the party
    whose label it is, in its own planning alone. ``lineage`` is what the planning makes of
    ``Component.rows``, ``shaped`` of ``Component.by_row``: the steps in which rows came to depend
    on others, and whether on those of other parties or of earlier jobs.
    """

    kind: str
    rows: int = 0
    columns: tuple[str, ...] | None = None
    label: str | None = None
    aligned: bool = False
    sources: tuple[str, ...] = ()
    classes: Classes | None = None
    lineage: Lineage | None = None
    shaped: Mapping[str, bool] = field(default_factory=dict)

    def within(self, rows: int, classes: Classes | None = None) -> ArtifactFacts:
        """Return what is known of some of these rows: at most ``rows`` (0: not known) are left.

        ``classes`` take the place of its own, where they are known.
        """
        known = self.classes if classes is None else classes
        sizes = [count for count in (self.rows, rows) if count]
        if known is not None:
            sizes.append(sum(count for _, count in known))
        most = min(sizes, default=0)
        if known is not None:
            known = tuple((value, min(count, most)) for value, count in known)
        return replace(self, rows=most, classes=known)


# What each party has, by its name; a party that is not named has nothing.
ByParty = Mapping[str, ArtifactFacts]


@dataclass(frozen=True)
class Facts:
    """What is known of a step before it runs.

    ``roles`` are the seats that take part, by address: a party, or ``party:role`` for a further
    seat of a party. ``inputs`` are the connected inputs, numbered where there are several
    (``tables.0``), and what each seat has there; ``tables`` are those that the step itself brings
    in, where it is known. ``labels`` are what a party knows of their labels in its own planning,
    and empty in the common. ``kinds`` are those of models and transforms that are known here,
    ``own`` the parameters of the parties that have their own.
    """

    step: str
    roles: Mapping[str, Role]
    inputs: Mapping[str, ByParty] = field(default_factory=dict)
    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    labels: Mapping[str, LabelFacts] = field(default_factory=dict)
    kinds: Kinds = field(default_factory=lambda: KINDS)
    own: Mapping[str, BaseModel] = field(default_factory=dict)

    def having(self, role: Role) -> tuple[str, ...]:
        """Return the seats of a role, in the order of their addresses."""
        return tuple(sorted(name for name, held in self.roles.items() if held == role))

    @property
    def guest(self) -> str:
        """The label holder. Errors: ATL-JOB-002 unless there is exactly one."""
        return the_guest(self.having(Role.GUEST), f"steps.{self.step}")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The feature providers, in the order of their names."""
        return self.having(Role.HOST)

    @property
    def labelled(self) -> tuple[str, ...]:
        """The seats whose tables have the label, in the order of their addresses."""
        return tuple(sorted(name for name, role in self.roles.items() if role in LABELLED))

    def input(self, party: str) -> ArtifactFacts | None:
        """Return a party's first table among the inputs, else the first that it has there."""
        found = [held[party] for held in self.inputs.values() if party in held]
        tables = [facts for facts in found if facts.kind == "table"]
        return next(iter([*tables, *found]), None)

    def rows(self, party: str) -> int:
        """Return the most rows of that input; 0 if it is not known."""
        found = self.input(party)
        return 0 if found is None else found.rows

    def least_rows(self) -> int:
        """Return the fewest of the parties' most rows, of those that are known; 0 if none is."""
        return min((rows for party in self.roles if (rows := self.rows(party))), default=0)

    @property
    def setting(self) -> Setting:
        """What an operator's implementation is chosen by."""
        return Setting(self.roles, {address: self.rows(address) for address in self.roles})

    def width(self, party: str) -> int:
        """Return the number of feature columns of that input; 0 if it is not known."""
        found = self.input(party)
        return 0 if found is None else len(found.columns or ())

    def everyone(self, kind: str) -> dict[str, ArtifactFacts]:
        """Return facts for every party: an artifact of which only the kind is known."""
        return {party: ArtifactFacts(kind) for party in sorted(self.roles)}


def the_guest(found: tuple[str, ...], place: str) -> str:
    """Return the only guest. Errors: ATL-JOB-002."""
    if len(found) != 1:
        raise UserError(
            "ATL-JOB-002", f"this takes exactly 1 guest, and there are {len(found)}", place=place
        )
    return found[0]


@dataclass(frozen=True)
class OwnFacts:
    """What one party knows of a step before it runs, for its own planning: nothing is sent.

    ``inputs`` are by port what the party has there, ``labels`` by port the labels of the tables
    that those rows come from, ``tables`` those tables; ``declared`` is one that the step itself
    brings in. ``part`` returns the party's own part of a registered model. For a partner's job that
    a grant covers labels are empty and tables cannot be opened: values must not decide the answer.
    """

    step: str
    party: str
    roles: Mapping[str, Role]
    inputs: Mapping[str, ArtifactFacts]
    labels: Mapping[str, tuple[LabelFacts, ...]]
    part: Lookup
    tables: Mapping[str, tuple[TableDeclaration, ...]] = field(default_factory=dict)
    kinds: Kinds = field(default_factory=lambda: KINDS)
    declared: TableDeclaration | None = None

    def classes(self, port: str) -> frozenset[float] | None:
        """Return the classes that a port's label may have; None if not known."""
        found = self.inputs[port].classes if port in self.inputs else None
        return None if found is None else frozenset(value for value, _ in found)


@dataclass(frozen=True)
class TableDeclaration:
    """A table that a step brings in: the facts that all parties are sent, and those of its owner.

    ``open`` returns the table, or what stands for it until rows are used.
    """

    facts: TableFacts
    label: LabelFacts | None = None
    open: Callable[[], Table] | None = None


@dataclass(frozen=True)
class Terms:
    """What a step adds to the plan that the parties sign.

    ``outputs`` are the seats that get each output, and its facts; it is then their party's.
    Where the component states a general kind (``model``), they state which one it is. ``exposure``
    is what an attempt exposes at most, in units that caps count; ``costs`` are its work, with
    rates. ``standing`` are the terms of a component with a ``standing`` part, and of no other.
    """

    implementation: str = "local"
    trust_model: str = "local"
    reveals: tuple[Reveal, ...] = ()
    minimums: Mapping[str, int] = field(default_factory=dict)
    estimated_bytes: int = 0
    outputs: Mapping[str, ByParty] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    exposure: tuple[Exposure, ...] = ()
    costs: tuple[Work, ...] = ()
    standing: StandingTerms | None = None

    @property
    def owners(self) -> dict[str, tuple[str, ...]]:
        """The parties that keep each output."""
        return {output: tuple(sorted(held)) for output, held in self.outputs.items()}


Entry = Callable[[Task, Any], Result]
Declare = Callable[[str, Role, Any, Tables], TableDeclaration | None]
Describe = Callable[[Facts, Any], Terms]
Check = Callable[[OwnFacts, Any], None]
# How the rows of an output follow from an input: all of them (of all its sources, where it takes
# many), some of them, or those that all parties have in common.
Follows = Literal["all", "some", "common"]


@dataclass(frozen=True)
class Standing:
    """What a component does after its job, in sessions that its plan agreed to.

    ``serve(task, parameters, requests)`` runs at each seat of the step until the session ends: at
    the seat of the terms' role ``asks`` it takes and answers requests, at the others it follows.
    ``task`` holds inputs and tables as in a job; tables are those that the party has now.
    """

    serve: Callable[[Task, Any, Requests], None]


@dataclass(frozen=True)
class Origin:
    """The installed distribution that a component of others comes from, pinned by its digest."""

    distribution: str
    version: str
    digest: str


@dataclass(frozen=True)
class Component:
    """An algorithm as a step of a job.

    ``sources`` are the packages whose code it runs: their files enter the plan as one digest.
    ``describe`` states for the plan what is revealed and what comes out; it raises a ``UserError``
    for what cannot run. ``declare`` is for components that bring in a table: given the party, its
    role, parameters and tables, it returns that table's facts. ``check`` refuses, with the party's
    own parameters and knowledge, what only that party can see. ``rows`` states about outputs, by
    input, how their rows follow from it. ``predict`` states what becomes of it in a predict job
    (None: no such job is made). ``model_kinds`` come with a component of others, ``<its
    name>.<name>``. ``origin`` is set for components of others. ``brings`` states which parties
    must declare a table where there is ``declare``. ``standing`` serves requests after the job.

    ``roles`` are those that take part and how many of each; ``takes_part`` may leave parties out,
    by name and parameters. ``edges`` are the pairs that exchange (``ALL``, ``NO_EDGES``, ``star``,
    ``pairs``), ``quorum`` how many seats of a role must stay to the end (else all must); both may
    be functions of the parameters. Where no messages are exchanged, a seat takes no part without
    each input that is neither optional nor asked for everywhere. ``apart`` are roles that must not
    be one party's for the secrets to hold: a plan that joins them warns. ``cuts`` are parameters
    that bound values: a plan that sets them above a step that reveals something warns.
    ``dishonest`` states what a party gains that lies. ``public_codes`` are refusals that follow
    from the plan and messages alone: partners are sent these codes, and of all others only that
    this party failed. ``by_row``: whether each row of an output follows from one row alone, and
    not from which others there are.
    """

    name: str
    version: str
    parameters: type[BaseModel]
    run: Entry
    describe: Describe
    sources: tuple[str, ...]
    inputs: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    roles: Participants = field(default_factory=lambda: VERTICAL)
    takes_part: Callable[[str, Any], bool] = lambda party, parameters: True
    edges: Edges | Callable[[Any], Edges] = ALL
    quorum: Callable[[Any], Mapping[Role, int]] = lambda parameters: {}
    apart: tuple[frozenset[Role], ...] = ()
    cuts: frozenset[str] = frozenset()
    declare: Declare | None = None
    brings: Callable[[str, Any], bool] = lambda party, parameters: True
    check: Check | None = None
    rows: Mapping[str, tuple[str, Follows]] = field(default_factory=dict)
    predict: Predict | None = None
    model_kinds: tuple[ModelKind, ...] = ()
    origin: Origin | None = None
    standing: Standing | None = None
    dishonest: tuple[Cheat, ...] = ()
    public_codes: frozenset[str] = frozenset()
    by_row: Callable[[Any], bool] = lambda parameters: False

    def edges_of(self, parameters: Any) -> Edges:
        """Return which roles communicate under these parameters."""
        return self.edges if isinstance(self.edges, Edges) else self.edges(parameters)

    def schema(self) -> Schema:
        """Return what a job may know of this component."""
        return Schema(
            self.name,
            self.version,
            self.parameters,
            self.inputs,
            self.outputs,
            self.roles,
            self.edges_of,
        )


Catalogue = Mapping[str, Component]


class KnownComponents(dict[str, Component]):
    """A catalogue that also knows why other components are ``refused`` here."""

    def __init__(self, known: Catalogue, refused: Mapping[str, Refusal] | None = None) -> None:
        super().__init__(known)
        self.refused = dict(refused or {})

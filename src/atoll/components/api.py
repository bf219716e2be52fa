"""What a component is: a parameter class, ports, an entry, and what it says for the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.core.report import Report
from atoll.core.reveal import Reveal
from atoll.jobs.plan import TableFacts
from atoll.jobs.schema import Port, Refusal, Schema

if TYPE_CHECKING:
    from atoll.table import Table

__all__ = [
    "Catalogue",
    "Component",
    "Facts",
    "KnownComponents",
    "Origin",
    "Port",
    "Report",
    "Result",
    "Reveal",
    "Role",
    "Tables",
    "Task",
    "Terms",
]


class Tables(Protocol):
    """This party's tables by the names that its own folder gives them."""

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Read a table, or return it again. Errors: ATL-JOB-010 unknown, those of the reader."""
        ...


@dataclass(frozen=True)
class Task:
    """One party's share of a step: who it is, its inputs by port, and its own tables."""

    step: str
    party: Party
    inputs: Mapping[str, Any]
    tables: Tables

    def several(self, port: str) -> list[Any]:
        """Return the inputs of a port that takes many, in the order of their numbers."""
        named = {key: value for key, value in self.inputs.items() if key.partition(".")[0] == port}
        return [named[key] for key in sorted(named, key=lambda key: (len(key), key))]


@dataclass(frozen=True)
class Result:
    """What a task leaves: outputs for later steps, files and a report for this party's folder."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    report: Report | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of a step before it runs; ``tables`` are those that its rows come from.

    ``inputs`` are the step's connected inputs, numbered where there are several (``tables.0``).
    """

    step: str
    roles: Mapping[str, Role]
    tables: Mapping[str, TableFacts]
    inputs: tuple[str, ...] = ()

    @property
    def guest(self) -> str:
        """The label holder."""
        return next(name for name, role in self.roles.items() if role == Role.GUEST)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The feature providers, in the order of their names."""
        return tuple(sorted(name for name, role in self.roles.items() if role == Role.HOST))

    def rows(self, party: str) -> int:
        """Return the rows of a party's table."""
        return self.tables[party].rows

    def width(self, party: str) -> int:
        """Return the number of feature columns of a party's table."""
        return len(self.tables[party].columns)


@dataclass(frozen=True)
class Terms:
    """What a step adds to the plan that the parties sign."""

    implementation: str = "local"
    trust_model: str = "local"
    reveals: tuple[Reveal, ...] = ()
    minimums: Mapping[str, int] = field(default_factory=dict)
    estimated_bytes: int = 0
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


Entry = Callable[[Task, Any], Result]
Declare = Callable[[str, str, Any, Tables], TableFacts | None]
Describe = Callable[[Facts, Any], Terms]


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
    ``declare`` is for components that bring in a table: given the party, the guest, parameters
    and tables, it tells that table's facts. ``origin`` is set for components of others.
    """

    name: str
    version: str
    parameters: type[BaseModel]
    run: Entry
    describe: Describe
    sources: tuple[str, ...]
    inputs: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    roles: frozenset[Role] = frozenset({Role.GUEST, Role.HOST})
    declare: Declare | None = None
    origin: Origin | None = None

    def schema(self) -> Schema:
        """Return what a job may know of this component."""
        return Schema(
            self.name, self.version, self.parameters, self.inputs, self.outputs, self.roles
        )


Catalogue = Mapping[str, Component]


class KnownComponents(dict[str, Component]):
    """A catalogue that also knows why other components are ``refused`` here."""

    def __init__(self, known: Catalogue, refused: Mapping[str, Refusal] | None = None) -> None:
        super().__init__(known)
        self.refused = dict(refused or {})

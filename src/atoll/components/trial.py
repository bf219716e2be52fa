"""Runs one component as every party in one process, in virtual time: for tests of components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import BaseModel

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.alignment import check_inputs, takes
from atoll.components.api import ArtifactFacts, Component, Facts, Result, Tables, Task, Terms
from atoll.components.kinds import declared
from atoll.components.scores import Scores
from atoll.components.taking_part import taking_part
from atoll.core.errors import AtollError
from atoll.core.names import Role, addresses
from atoll.core.settings import require_insecure
from atoll.jobs.errors import NotFoundError
from atoll.jobs.plan import TableFacts
from atoll.models.catalogue import KINDS
from atoll.models.kinds import Kinds, kind_of
from atoll.table import Table

ROLES: Mapping[str, Role] = {"bank": Role.GUEST, "shop": Role.HOST}
STEP = "trial"


class NoTables:
    """The tables of a party that has none of its own to read."""

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Refuse. Errors: ATL-JOB-010."""
        raise NotFoundError("ATL-JOB-010", "this trial has no such table", place=name)


@dataclass(frozen=True)
class Case:
    """One run on tiny data.

    ``inputs`` and ``own`` (parameters that differ) are by party; ``sizes`` are the counts that the
    size formulas of reveals name, beside ``rows_guest``, ``rows_host`` and ``rows`` (each party's
    first table). ``code`` is set if the run must be refused with it; ``unsent`` names declared
    reveals, (message, field), that this case does not bring about.
    """

    inputs: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=lambda: dict(ROLES))
    tables: Mapping[str, Tables] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    unsent: frozenset[tuple[str, str]] = frozenset()
    code: str | None = None


@dataclass(frozen=True)
class Trial:
    """What became of each party, what the plan stated, and each revealing field that was sent."""

    terms: Terms
    results: Mapping[str, Result]
    errors: Mapping[str, BaseException]
    sent: tuple[Mapping[str, Any], ...]

    def check(self) -> Trial:
        """Raise the first cause if a party failed, else return the trial."""
        causes = sorted(self.errors.values(), key=_is_consequence)
        if causes:
            raise causes[0]
        return self

    @property
    def causes(self) -> tuple[BaseException, ...]:
        """The errors that are not only the echo of another party's."""
        return tuple(error for error in self.errors.values() if not _is_consequence(error))


def _is_consequence(error: BaseException) -> bool:
    return isinstance(error, AtollError) and error.code in {"ATL-NET-003", "ATL-NET-004"}


def parameters_of(component: Component, case: Case) -> dict[str, BaseModel]:
    """Return each party's parameters, filled. Errors: pydantic's for what does not fit."""
    return {
        party: component.parameters.model_validate({**case.parameters, **case.own.get(party, {})})
        for party in case.roles
    }


def seats_of(component: Component, case: Case) -> dict[str, Role]:
    """Return the roles of the parties that take part. Errors: ATL-PLN-007 no party has an input."""
    named = {port for inputs in case.inputs.values() for port in inputs}
    held = {
        port: [p for p, inputs in case.inputs.items() if inputs.get(port) is not None]
        for port in named
    }
    parties = {party: (role,) for party, role in case.roles.items()}
    common = component.parameters.model_validate(dict(case.parameters))
    return addresses(taking_part(STEP, component, parties, common, held))


def facts_of(component: Component, case: Case) -> Facts:
    """Return what a plan would know of the case's inputs, and of the tables that it brings in."""
    named = sorted({port for inputs in case.inputs.values() for port in inputs})
    inputs = {
        port: {
            party: artifact_facts(_kind(component, port), held[port], kinds_of(component))
            for party, held in case.inputs.items()
            if held.get(port) is not None
        }
        for port in named
    }
    roles = seats_of(component, case)
    artifacts = _declared(component, case, roles)
    filled = parameters_of(component, case)
    own = {party: filled[party] for party in case.own}
    return Facts(STEP, roles, inputs, artifacts, kinds=kinds_of(component), own=own)


def kinds_of(component: Component) -> Kinds:
    """Return the kinds of models and transforms that are known where a component is tried."""
    return declared({component.name: component})


def _inputs(component: Component, case: Case, party: str, role: Role) -> dict[str, Any]:
    """Return a seat's inputs by port, as a job would: None where another party alone has one."""
    named = {port for inputs in case.inputs.values() for port in inputs}
    held = {**dict.fromkeys(sorted(named)), **case.inputs.get(party, {})}
    return {port: value for port, value in held.items() if takes(component, port, role)}


def _kind(component: Component, name: str) -> str:
    port = component.inputs.get(name.partition(".")[0])
    return "" if port is None else port.kind


def _declared(component: Component, case: Case, roles: Mapping[str, Role]) -> dict[str, TableFacts]:
    if component.declare is None:
        return {}
    found = {}
    parameters = parameters_of(component, case)
    for party, role in roles.items():
        tables = case.tables.get(party, NoTables())
        made = component.declare(party, role, parameters[party], tables)
        if made is not None:
            found[party] = made.facts
    return found


def artifact_facts(kind: str, value: Any, kinds: Kinds = KINDS) -> ArtifactFacts:
    """Return what a plan would state about a value that is there."""
    if isinstance(value, Table):
        aligned = value.alignment is not None
        return ArtifactFacts("table", value.num_rows, value.columns, value.label_name, aligned)
    if isinstance(value, Scores):
        label = None if np.isnan(value.label).any() else "label"
        return ArtifactFacts("scores", len(value.score), label=label)
    found = kind_of(value, kinds)
    if found is not None:
        return ArtifactFacts(found.name, columns=found.columns(value))
    return ArtifactFacts(kind)


def play(component: Component, case: Case, *, seed: int = 1) -> Trial:
    """Run the case once; equal seeds give equal randomness, the secret kind included.

    Errors: ATL-SET-001 outside tests and simulation; errors of parties land in the trial.
    """
    require_insecure("a trial of a component")
    parameters = parameters_of(component, case)
    common = component.parameters.model_validate(dict(case.parameters))
    try:
        roles = seats_of(component, case)
    except AtollError as error:
        return Trial(Terms(), {}, {"plan": error}, ())

    known = facts_of(component, case)
    rows = {seat: known.rows(seat) for seat in roles if known.rows(seat)}
    columns = {seat: known.width(seat) for seat in roles if known.width(seat)}

    def entry(party: Party) -> Result:
        party = replace(party, rows=rows, columns=columns)
        tables = case.tables.get(party.name, NoTables())
        inputs = _inputs(component, case, party.name, party.role)
        task = Task(STEP, party, inputs, tables, kinds_of(component))
        check_inputs(component, task)
        return component.run(task, parameters[party.name])

    edges = component.edges_of(common)
    made = world.run(
        roles, entry, seed=seed, task=STEP, reachable=lambda name: edges.peers(name, roles)
    )
    sent = [line for channel in made.channels.values() for line in channel.disclosures.to_list()]
    errors = dict(made.errors)
    try:
        terms = component.describe(facts_of(component, case), common)
    except AtollError as error:
        # What a plan refuses is tried all the same: whoever runs a step checks it again.
        terms, errors["plan"] = Terms(), error
    return Trial(terms, made.results, errors, tuple(sent))

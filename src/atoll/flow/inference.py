"""What a plan knows of each artifact before it is there, and what cannot run. Pure functions.

From the sources down, each component states what comes out at which party. Every party does so with
what all of them declared, and alone before, with what it knows of its own tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from atoll.components.alignment import absent, unaligned
from atoll.components.api import (
    ArtifactFacts,
    ByParty,
    Catalogue,
    Component,
    Facts,
    OwnFacts,
    TableDeclaration,
    Terms,
)
from atoll.components.kinds import declared as declared_kinds
from atoll.components.labels import refuse_other_classes
from atoll.components.lineage import Lineage
from atoll.components.references import Lookup
from atoll.components.taking_part import taking_part
from atoll.core import codec
from atoll.core.errors import AtollError, DataError, InternalError, PeerError, UserError
from atoll.core.names import Role, Seat, addresses, party_of
from atoll.jobs.definition import Job, Step
from atoll.jobs.plan import TableFacts
from atoll.jobs.schema import Port
from atoll.jobs.validation import fill, order
from atoll.models.kinds import is_general

if TYPE_CHECKING:
    from atoll.table.labels import LabelFacts

Declared = Mapping[str, Mapping[str, TableFacts]]
Parameters = Mapping[str, BaseModel]
# What a component of others may raise where it reckons with sizes that are not known yet.
_UNFORESEEN = (ArithmeticError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Inference:
    """What each step adds to the plan, from what inputs, and who takes part, in their order."""

    facts: Mapping[str, Facts]
    terms: Mapping[str, Terms]
    seats: Mapping[str, tuple[Seat, ...]]


def infer(
    job: Job,
    catalogue: Catalogue,
    parameters: Parameters,
    declared: Declared,
    hidden: Collection[str] = (),
) -> Inference:
    """Describe every step that is not ``hidden`` with what all parties declared.

    Errors: ATL-PLN-005 a table was not declared, ATL-PLN-007 a party would get no input,
    ATL-PLN-008 rows that no parties agreed on, ATL-PLN-009 no label, those of the components.
    """
    for party, tables in declared.items():
        for name, facts in tables.items():
            # No honest node has such a table, and none would mean that its rows are not known.
            if not facts.rows:
                raise PeerError(
                    "ATL-PLN-005", "a party declared a table without rows", party=party, phase=name
                )
    made = _infer(job, catalogue, parameters, declared, hidden=hidden)
    for name, step in job.steps.items():
        component = catalogue[step.component]
        if component.declare is not None and name not in hidden:
            for seat in made.seats[name]:
                brings = component.brings(seat.party, parameters[name])
                if brings and name not in declared.get(seat.party, {}):
                    raise PeerError(
                        "ATL-PLN-005",
                        "a party declared no table for a step that needs one",
                        party=seat.party,
                        phase=name,
                    )
    return made


def _infer(
    job: Job,
    catalogue: Catalogue,
    parameters: Parameters,
    declared: Declared,
    labels: Mapping[str, Mapping[str, LabelFacts]] | None = None,
    hidden: Collection[str] = (),
) -> Inference:
    known: dict[str, ByParty] = {}
    facts: dict[str, Facts] = {}
    terms: dict[str, Terms] = {}
    seats: dict[str, tuple[Seat, ...]] = {}
    kinds = declared_kinds(catalogue)
    for name in order(job):
        # Whatever follows from a hidden step is hidden, too.
        if name in hidden:
            continue
        step = job.steps[name]
        component = catalogue[step.component]
        held = {port: known[source] for port, source in sorted(step.inputs.items())}
        seats[name] = taking_part(name, component, job.parties, parameters[name], held, step.inputs)
        roles = addresses(seats[name])
        inputs = {port: _at_seats(component, port, roles, found) for port, found in held.items()}
        tables = {
            party: made[name] for party, made in declared.items() if name in made and party in roles
        }
        given = (labels or {}).get(name, {})
        own = {party: fill(name, step, component.schema(), party) for party in step.overrides}
        facts[name] = Facts(name, roles, inputs, tables, given, kinds, own)
        _check_ports(component, step, facts[name])
        with placed(name, component):
            terms[name] = component.describe(facts[name], parameters[name])
        _check_standing(component, terms[name], roles)
        known |= _outputs(component, facts[name], terms[name], parameters[name])
    return Inference(facts, terms, seats)


def _check_standing(component: Component, terms: Terms, roles: Mapping[str, Role]) -> None:
    """Check that a component that serves requests, and no other, declares which party may ask."""
    asks = None if terms.standing is None else terms.standing.asks
    asking = {party_of(address) for address, role in roles.items() if role.value == asks}
    if len(asking) != (component.standing is not None) or (asks is None) != (not asking):
        raise InternalError("ATL-INT-001", f"{component.name} has other standing terms")


def _at_seats(
    component: Component, port: str, roles: Mapping[str, Role], found: ByParty
) -> dict[str, ArtifactFacts]:
    """Return what each seat has at a port: what its party has, where its role takes that."""
    taking = component.inputs[port.partition(".")[0]].roles
    return {
        address: found[party_of(address)]
        for address, role in roles.items()
        if party_of(address) in found and (taking is None or role in taking)
    }


@contextmanager
def placed(step: str, component: Component) -> Iterator[None]:
    """State in the place of an error which step of the job it is about."""
    try:
        yield
    except AtollError as error:
        first = (error.place or "").partition(".")[0]
        if error.place is None:
            error.place = f"steps.{step}"
        elif first in component.inputs:
            error.place = f"steps.{step}.inputs.{error.place}"
        elif first in component.parameters.model_fields:
            error.place = f"steps.{step}.parameters.{error.place}"
        elif first == "parameters":
            error.place = f"steps.{step}.{error.place}"
        raise


def _outputs(
    component: Component, facts: Facts, terms: Terms, parameters: BaseModel
) -> dict[str, ByParty]:
    unknown = terms.outputs.keys() - component.outputs.keys()
    strangers = {party for held in terms.outputs.values() for party in held} - facts.roles.keys()
    if unknown or strangers:
        raise InternalError("ATL-INT-001", f"{component.name} describes what it does not give out")
    for output, entries in terms.outputs.items():
        general = component.outputs[output]
        if any(e.kind != general and not is_general(general, e.kind) for e in entries.values()):
            raise InternalError("ATL-INT-001", f"{component.name} describes another kind")
    made: dict[str, ByParty] = {}
    for output in component.outputs:
        held: dict[str, ArtifactFacts] = {}
        for address, entry in terms.outputs.get(output, {}).items():
            party = party_of(address)
            if party in held:
                text = f"{component.name} gives {output} to two seats of one party"
                raise InternalError("ATL-INT-001", text, party=party)
            held[party] = replace(
                entry,
                lineage=_lineage(component, facts, output, address),
                shaped=_shaped(component, facts, parameters, address),
            )
        made[f"{facts.step}.{output}"] = held
    return made


def _shaped(
    component: Component, facts: Facts, parameters: BaseModel, address: str
) -> dict[str, bool]:
    """Return the steps up to this one in which a party's rows came to depend on others."""
    found: dict[str, bool] = {}
    for held in facts.inputs.values():
        if address in held:
            found |= held[address].shaped
    if not component.by_row(parameters):
        # Without an input it was made in an earlier job, of no one knows whose rows.
        silent = component.edges_of(parameters).silent
        found[facts.step] = not silent or not component.inputs
    return found


def _lineage(component: Component, facts: Facts, output: str, party: str) -> Lineage | None:
    """Follow the rows of an output at a party; None if it is not known how they come about."""
    name = f"{facts.step}.{output}"
    if component.declare is not None:
        known = facts.tables.get(party)
        return Lineage.of_source(name if known is None else known.digest)
    if output not in component.rows:
        return None
    port, follows = component.rows[output]
    inputs = [held for at, held in facts.inputs.items() if at.partition(".")[0] == port]
    parts = [held[party].lineage if party in held else None for held in inputs]
    own = [part for part in parts if part is not None]
    if len(own) < len(parts):
        return None
    if follows == "all":
        return Lineage.of_all(name, own)
    if follows == "common":
        sets = {p: e.lineage and e.lineage.name for held in inputs for p, e in held.items()}
        name = codec.digest(["atoll/common-rows/v1", sets])
    return own[0].some(name)


def _check_ports(component: Component, step: Step, facts: Facts) -> None:
    for name, held in facts.inputs.items():
        port = component.inputs[name.partition(".")[0]]
        for party, entry in held.items():
            if not port.accepts(entry.kind):
                raise _other_kind(facts.step, name, party, port, entry.kind)
        if port.everywhere:
            takers = {
                a for a, role in facts.roles.items() if port.roles is None or role in port.roles
            }
            for address in sorted(takers - held.keys()):
                raise absent(facts.step, name, port.kind, party_of(address), step.inputs[name])
        if port.aligned and not all(entry.aligned for entry in held.values()):
            raise unaligned(facts.step, name)
        for holder in facts.labelled if port.label else ():
            if holder in held and held[holder].label is None:
                raise UserError(
                    "ATL-PLN-009",
                    "the rows have no label here",
                    party=party_of(holder),
                    place=f"steps.{facts.step}.inputs.{name}",
                    hint="name the label's column in the reader, or leave this step out",
                )


def _other_kind(step: str, name: str, party: str, port: Port, kind: str) -> UserError:
    return UserError(
        "ATL-PLN-012",
        f"takes {' or '.join(port.kinds)}, but a {kind} comes in",
        party=party,
        place=f"steps.{step}.inputs.{name}",
        hint="state the kind that the step takes, or wire another output",
    )


def structure(job: Job, catalogue: Catalogue, parameters: Parameters) -> Inference | None:
    """Describe every step as far as no table is needed; None if a component cannot.

    Errors: those of ``infer``, for what cannot run whatever the tables hold.
    """
    try:
        return _infer(job, catalogue, parameters, {})
    except _UNFORESEEN:
        return None


def check_own(
    job: Job,
    catalogue: Catalogue,
    party: str,
    parameters: tuple[Parameters, Parameters],
    tables: Mapping[str, TableDeclaration],
    part: Lookup,
    others: Declared | None = None,
    hidden: Collection[str] = (),
    *,
    values: bool = True,
) -> None:
    """Refuse what this party can see to be wrong with its own tables, parameters and models.

    ``parameters`` are the common ones and the party's; ``part`` returns its part of a registered
    model; ``others`` is what the other parties declared, if they did; ``hidden`` are the steps that
    this party does not see. Without ``values`` nothing is looked at that depends on the values of a
    table: labels, and ids that tables share. Errors: those of ``infer``;
    ATL-PLN-011 what depends on private facts, whatever it is: the code is sent to partners, the
    message is for the own people.
    """
    common, own = parameters
    if not values:
        tables = {name: replace(table, label=None, open=None) for name, table in tables.items()}
    own_facts = {name: table.facts for name, table in tables.items()}
    declared = {**(others or {}), party: own_facts}
    labels = {name: {party: t.label} for name, t in tables.items() if t.label is not None}
    try:
        _infer(job, catalogue, common, declared, hidden=hidden)
        # Once more with what is hidden from partners: what fails now fails for a private reason.
        with _privately(party):
            made = _infer(job, catalogue, common, declared, labels, hidden)
    except _UNFORESEEN:
        return
    with _privately(party):
        _check_private(job, catalogue, party, made, own, tables, part)


@contextmanager
def _privately(party: str) -> Iterator[None]:
    """Give partners one code for whatever is refused. Errors: ATL-PLN-011."""
    try:
        yield
    except UserError as error:
        raise DataError(
            "ATL-PLN-011",
            f"{error.message} ({error.code})",
            party=party,
            place=error.place,
            hint=error.hint,
        ) from error


def _check_private(
    job: Job,
    catalogue: Catalogue,
    party: str,
    made: Inference,
    own: Parameters,
    tables: Mapping[str, TableDeclaration],
    part: Lookup,
) -> None:
    for name, facts in made.facts.items():
        if party not in facts.roles:
            continue
        component = catalogue[job.steps[name].component]
        inputs = {port: held[party] for port, held in facts.inputs.items() if party in held}
        brought = {
            port: [tables[source] for source in entry.sources if source in tables]
            for port, entry in inputs.items()
        }
        for port, found in brought.items():
            if component.inputs[port.partition(".")[0]].label == "binary":
                refuse_other_classes(name, port, inputs[port], party, found)
        labels = {
            port: tuple(table.label for table in found if table.label is not None)
            for port, found in brought.items()
        }
        given = {port: tuple(found) for port, found in brought.items()}
        seen = OwnFacts(
            name, party, facts.roles, inputs, labels, part, given, facts.kinds, tables.get(name)
        )
        if component.check is not None:
            with placed(name, component):
                component.check(seen, own[name])

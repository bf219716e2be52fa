"""From a job and what the parties declared to the plan that they sign. A pure function."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from pydantic import BaseModel, JsonValue

from atoll.components.api import (
    Catalogue,
    Component,
    KnownComponents,
    TableDeclaration,
    Tables,
    Terms,
)
from atoll.components.code import component_code, platform_digest
from atoll.components.fitted import reference_of
from atoll.components.references import Lookup, ModelRef
from atoll.core.errors import InternalError, PeerError, UserError
from atoll.core.exposure import EPSILON, OPENED_SUMS, Exposure, at_least
from atoll.core.names import Role, Seat, addresses, party_of, roles_text
from atoll.core.reveal import Reveal
from atoll.flow.apart import set_apart
from atoll.flow.inference import Declared, Inference, check_own, infer, placed, structure
from atoll.jobs.audience import audience, hidden_steps
from atoll.jobs.definition import Job
from atoll.jobs.participation import Edges, seats_of, star
from atoll.jobs.plan import ComponentFacts, Plan
from atoll.jobs.schema import KnownSchemas, Schemas
from atoll.jobs.validation import fill, order, plain, schema_of, validate
from atoll.operators import coin_toss
from atoll.operators.setting import Setting

PlainParameters = Mapping[str, Mapping[str, Any]]
AGREEMENT_STEP = "agreement"
COIN_STEP = "coin toss"
DECLARED = Reveal(
    "everyone",
    "everyone",
    "flow.declaration",
    "tables",
    "bytes",
    "the name, commitment, row count, column names and id rule of each table (in bytes)",
)
DECLARED_APART = replace(
    DECLARED, what=f"{DECLARED.what}, to who takes part in its step or in one that follows from it"
)


def schemas(catalogue: Catalogue) -> Schemas:
    """Return the schema of each component of a catalogue, and why others were refused."""
    known = {name: component.schema() for name, component in catalogue.items()}
    refused = catalogue.refused if isinstance(catalogue, KnownComponents) else None
    return KnownSchemas(known, refused)


def component_facts(job: Job, catalogue: Catalogue) -> dict[str, ComponentFacts]:
    """Return version and code digest of each component that a job uses."""
    used = {step.component for step in job.steps.values()}
    return {
        name: ComponentFacts(version=catalogue[name].version, code=component_code(catalogue[name]))
        for name in sorted(used)
    }


def filled(job: Job, catalogue: Catalogue, party: str | None = None) -> dict[str, BaseModel]:
    """Return every step's parameters with all defaults: the common ones, or those of a party.

    Errors: ATL-JOB-004 to ATL-JOB-006, ATL-JOB-015.
    """
    known = schemas(catalogue)
    return {
        name: fill(name, step, schema_of(name, step, known), party)
        for name, step in job.steps.items()
    }


def _by_party(job: Job, catalogue: Catalogue) -> dict[str, dict[str, dict[str, JsonValue]]]:
    """Return each party's parameters of the steps where some party has its own."""
    known = schemas(catalogue)
    return {
        name: {
            party: dict(plain(fill(name, step, schema_of(name, step, known), party)))
            for party in job.parties
        }
        for name, step in job.steps.items()
        if step.overrides
    }


def build(
    job: Job,
    catalogue: Catalogue,
    declared: Declared,
    certificates: Mapping[str, str],
    party: str | None = None,
) -> Plan:
    """Make the plan; all parties make the same one from the same declarations.

    ``declared`` holds the table facts by party and step, ``certificates`` the public-key hash of
    each party. With ``party`` it is the plan as this party may see it, where not all are sent
    the facts of all tables; None sees everything. Errors: those of ``infer``, for what cannot run.
    """
    check_declared(job, catalogue, declared)
    parameters = filled(job, catalogue)
    made, shown_to = _inferred(job, catalogue, parameters, declared, party)
    hidden = job.steps.keys() - made.terms.keys()
    terms = made.terms
    edges = _edges(job, catalogue, made, parameters)
    hub = None if job.seed is not None else _hub(job, made, edges)
    toss = coin_toss.choose(Setting(job.first_roles), job.seed, hub=hub)
    met = {} if hub is None else {COIN_STEP: hub}
    return Plan(
        version=2 if shown_to else 1,
        job=job,
        parameters={name: dict(plain(value)) for name, value in parameters.items()},
        tables={
            at: {name: facts for name, facts in steps.items() if name not in hidden}
            for at, steps in declared.items()
        },
        components=component_facts(job, catalogue),
        implementations={COIN_STEP: toss}
        | {name: term.implementation for name, term in terms.items()},
        trust_models={name: term.trust_model for name, term in terms.items()},
        reveals=_reveals(terms, toss, apart=bool(shown_to)),
        minimums={name: dict(term.minimums) for name, term in terms.items() if term.minimums},
        certificates=dict(certificates),
        estimated_bytes={name: term.estimated_bytes for name, term in terms.items()},
        owners=_owners(terms),
        warnings=(
            *(f"{COIN_STEP}: {text}" for text in coin_toss.warnings(job.seed)),
            *_joined_seats(job, catalogue, made),
            *set_apart(job, catalogue, parameters, made.terms),
            *(f"{name}: {text}" for name, term in terms.items() for text in term.warnings),
            *_idle(job, made, apart=bool(shown_to)),
        ),
        party_parameters=_by_party(job, catalogue),
        seats={name: tuple(map(str, seats)) for name, seats in made.seats.items()}
        | {name: tuple(str(seat) for seat in first_seats(job)) for name in met},
        edges=edges | {name: star(job.first_roles[hub]).plain() or () for name, hub in met.items()},
        quorum=_quorum(job, catalogue, parameters),
        exposure=_exposure(job, catalogue, made, parameters),
        costs={name: term.costs for name, term in terms.items() if term.costs},
        standing={name: term.standing for name, term in terms.items() if term.standing},
        audience=shown_to,
        hidden=dict.fromkeys(sorted(hidden)),
        rows=_rows(job, catalogue, made, parameters),
        columns=_columns(made),
        platform=platform_digest(),
    )


def references(job: Job, parameters: PlainParameters, party: str) -> dict[str, ModelRef]:
    """Return what each step takes out of a party's own registry, by step.

    ``parameters`` are those of the party. It follows from the job alone.
    """
    found = {
        name: reference_of(step, parameters.get(name, {}), party)
        for name, step in job.steps.items()
    }
    return {name: reference for name, reference in found.items() if reference is not None}


def own_references(job: Job, catalogue: Catalogue, party: str) -> dict[str, ModelRef]:
    """Return what each step of a checked job takes out of a party's own registry, by step."""
    own = {name: plain(value) for name, value in filled(job, catalogue, party).items()}
    return references(job, own, party)


def parameters_of(plan: Plan, party: str) -> PlainParameters:
    """Return the filled parameters of each step as they are for a party."""
    own = plan.party_parameters
    return {name: own.get(name, {}).get(party, held) for name, held in plan.parameters.items()}


def with_parts(plan: Plan, parts: Mapping[str, Mapping[str, str]]) -> Plan:
    """Return a plan with what each party committed to of its parts of registered models, by step.

    Errors: ATL-PLN-005 a party committed to none that a step takes, or to one that no step does.
    """
    for party in sorted(plan.job.parties):
        due = references(plan.job, parameters_of(plan, party), party).keys()
        wrong = due ^ parts.get(party, {}).keys()
        if wrong:
            raise PeerError(
                "ATL-PLN-005",
                "a party committed to other parts of models than the job takes from it",
                party=party,
                phase=min(wrong),
            )
    return plan.with_model_parts(parts)


def check_declared(job: Job, catalogue: Catalogue, declared: Declared) -> None:
    """Refuse facts that no step asks for: they would be in a plan, and in the digest of none.

    Errors: ATL-PLN-005 facts of a table for a step that is none, or that brings none in.
    """
    for party, steps in sorted(declared.items()):
        for name in sorted(steps):
            step = job.steps.get(name)
            if step is None or catalogue[step.component].declare is None:
                raise PeerError(
                    "ATL-PLN-005",
                    "a party declared a table for a step that takes none",
                    party=party,
                    phase="declaration",
                )


def _inferred(
    job: Job,
    catalogue: Catalogue,
    parameters: Mapping[str, BaseModel],
    declared: Declared,
    party: str | None,
) -> tuple[Inference, dict[str, tuple[str, ...]]]:
    """Describe the steps that a party sees, with the seats of all steps; and who is sent which
    facts.

    Errors: those of ``infer``; ATL-INT-001 who takes part in a step depends on facts of tables.
    """
    bare = None if party is None else structure(job, catalogue, parameters)
    shown_to = {} if bare is None else _audience(job, catalogue, bare)
    hidden = frozenset() if party is None else hidden_steps(job, shown_to, party)
    made = infer(job, catalogue, parameters, declared, hidden)
    if bare is None or not shown_to:
        return made, {}
    for name, seats in made.seats.items():
        # The audience follows from these, and parties that see less must sign the same.
        if seats != bare.seats[name]:
            raise InternalError(
                "ATL-INT-001", f"who takes part in {name} is another with the facts of tables"
            )
    return replace(made, seats=bare.seats), shown_to


def audience_of(job: Job, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Return who is sent the facts of the tables of each step, where that is not every party of
    the job.

    It follows from the job and the catalogue alone. Where a component cannot know without a table
    who gets its outputs, all parties are sent the facts of all tables. Errors: those of ``check``.
    """
    made = structure(job, catalogue, filled(job, catalogue))
    return {} if made is None else _audience(job, catalogue, made)


def _audience(job: Job, catalogue: Catalogue, made: Inference) -> dict[str, tuple[str, ...]]:
    taking = {name: {seat.party for seat in seats} for name, seats in made.seats.items()}
    bringing = [n for n, step in job.steps.items() if catalogue[step.component].declare is not None]
    return audience(job, taking, bringing)


def _exposure(
    job: Job, catalogue: Catalogue, made: Inference, parameters: Mapping[str, BaseModel]
) -> dict[str, tuple[Exposure, ...]]:
    """Return what steps expose: as ours declare it; no less than their reveals with others."""
    found = {}
    for name, term in made.terms.items():
        component, exposure = catalogue[job.steps[name].component], term.exposure
        if component.origin is not None:
            sends = not component.edges_of(parameters[name]).silent and len(made.seats[name]) > 1
            exposure = at_least(exposure, term.reveals, sends=sends)
        if exposure:
            found[name] = exposure
    return found


def _rows(
    job: Job, catalogue: Catalogue, made: Inference, parameters: Mapping[str, BaseModel]
) -> dict[str, dict[str, int]]:
    """Return the most rows that each seat brings into steps in which seats communicate."""
    found = {}
    for name, facts in made.facts.items():
        silent = catalogue[job.steps[name].component].edges_of(parameters[name]).silent
        known = {address: facts.rows(address) for address in facts.roles}
        known = {address: rows for address, rows in known.items() if rows}
        if known and not silent:
            found[name] = known
    return found


def _columns(made: Inference) -> dict[str, dict[str, int]]:
    """Return how many columns each seat has in steps that open sums, where that is known.

    Sums with noise count too: what is charged for these is ε.
    """
    found = {}
    for name, facts in made.facts.items():
        known = {address: width for address in facts.roles if (width := facts.width(address))}
        units = {entry.unit for entry in made.terms[name].exposure}
        if known and units & {OPENED_SUMS, EPSILON}:
            found[name] = known
    return found


def _edges(
    job: Job, catalogue: Catalogue, made: Inference, parameters: Mapping[str, BaseModel]
) -> dict[str, tuple[str, ...]]:
    """Return which roles communicate with each other in steps where not all do.

    Errors: ATL-INT-001 seats that exchange messages, and none of them with all others.
    """
    found = {}
    for name, seats in made.seats.items():
        edges = catalogue[job.steps[name].component].edges_of(parameters[name])
        if not edges.silent:
            edges.hub(addresses(seats))
        shown_to = edges.plain()
        if shown_to is not None:
            found[name] = shown_to
    return found


def _hub(job: Job, made: Inference, edges: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the party through which coins are tossed; None where all communicate with all anyhow.

    It communicates with every other in some step, and is the only one that has its role first.
    """
    linked: dict[str, set[str]] = {party: set() for party in job.parties}
    for name, seats in made.seats.items():
        roles, joined = addresses(seats), Edges.of_plain(edges.get(name))
        for address in roles:
            peers = {party_of(peer) for peer in joined.peers(address, roles)}
            linked[party_of(address)] |= peers - {party_of(address)}
    others = len(job.parties) - 1
    if all(len(peers) in (0, others) for peers in linked.values()):
        return None
    held = list(job.first_roles.values())
    for party, peers in sorted(linked.items()):
        if len(peers) == others and held.count(job.first_roles[party]) == 1:
            return party
    return None


def first_seats(job: Job) -> tuple[Seat, ...]:
    """Return each party's seat in what every job does besides its steps: that of its first role."""
    return tuple(Seat(party, role) for party, role in sorted(job.first_roles.items()))


def _quorum(
    job: Job, catalogue: Catalogue, parameters: Mapping[str, BaseModel]
) -> dict[str, dict[str, int]]:
    """Return how many seats of which roles must stay in steps that need not keep all.

    After such a step, parties that were lost there are not waited for where no messages are
    exchanged.
    """
    found: dict[str, dict[str, int]] = {}
    for name in order(job):
        component = catalogue[job.steps[name].component]
        least = component.quorum(parameters[name])
        after = any(source in found for source in job.steps[name].sources())
        if least:
            found[name] = {role.value: count for role, count in least.items()}
        elif after and component.edges_of(parameters[name]).silent:
            found[name] = {role.value: 0 for role in component.roles}
    return found


def _joined_seats(job: Job, catalogue: Catalogue, made: Inference) -> list[str]:
    """Warn where one party has seats that the protocol of a step keeps apart."""
    found = []
    for name, seats in made.seats.items():
        component = catalogue[job.steps[name].component]
        for party in sorted({seat.party for seat in seats}):
            held = {seat.role for seat in seats if seat.party == party}
            found += [
                f"{name}: {party} IS BOTH {' AND '.join(sorted(r.value for r in roles))}: the "
                f"protocol of {component.name} hides nothing between these two, as it relies on "
                "their being different parties that do not share what they see"
                for roles in component.apart
                if roles <= held
            ]
    return found


def _idle(job: Job, made: Inference, *, apart: bool) -> list[str]:
    """Return a warning for each party that takes part in no step."""
    busy = {seat.party for seats in made.seats.values() for seat in seats}
    but = ", but of no table in it" if apart else ""
    return [
        f"{party} ({roles_text(roles)}) takes part in no step, and is sent this job all the "
        f"same{but}"
        for party, roles in job.parties.items()
        if party not in busy
    ]


def _reveals(
    terms: Mapping[str, Terms], toss: str, *, apart: bool
) -> dict[str, tuple[dict[str, str], ...]]:
    """Return what each step reveals to whom; the two steps that every job has come first."""
    shown_to = DECLARED_APART if apart else DECLARED
    whole = {AGREEMENT_STEP: (shown_to,), COIN_STEP: coin_toss.REVEALS[toss]}
    whole |= {name: term.reveals for name, term in terms.items()}
    return {name: tuple(entry.to_dict() for entry in shown_to) for name, shown_to in whole.items()}


def _owners(terms: Mapping[str, Terms]) -> dict[str, tuple[str, ...]]:
    return {
        f"{name}.{output}": tuple(sorted(parties))
        for name, term in terms.items()
        for output, parties in term.owners.items()
    }


def check(job: Job, catalogue: Catalogue) -> tuple[str, ...]:
    """Check a whole job without any table; return its steps in order.

    Errors: those of ``validate``, and of ``infer`` for what cannot run whatever the tables hold.
    """
    steps = validate(job, schemas(catalogue))
    structure(job, catalogue, filled(job, catalogue))
    return steps


def bringing(job: Job, catalogue: Catalogue, party: str) -> dict[str, Role]:
    """Return the steps of a checked job into which a party brings a table, in order, and its role.

    It follows from the job alone: no table is looked at.
    """
    common, found = filled(job, catalogue), {}
    for step in order(job):
        component = catalogue[job.steps[step].component]
        role = _role_in(job, component, party, common[step])
        if component.declare is not None and role is not None:
            found[step] = role
    return found


def declare(
    job: Job,
    catalogue: Catalogue,
    party: str,
    tables: Tables,
    steps: Collection[str] | None = None,
) -> dict[str, TableDeclaration]:
    """Return what a party declares, by step (None: of all steps). Errors: those of its tables."""
    own = filled(job, catalogue, party)
    found: dict[str, TableDeclaration] = {}
    for step, role in bringing(job, catalogue, party).items():
        component = catalogue[job.steps[step].component]
        if component.declare is not None and (steps is None or step in steps):
            with placed(step, component):
                made = component.declare(party, role, own[step], tables)
            if made is not None:
                found[step] = made
    return found


def _role_in(job: Job, component: Component, party: str, parameters: BaseModel) -> Role | None:
    """Return the role in which a party brings its table into a step; None if it brings none."""
    if not component.takes_part(party, parameters):
        return None
    seats = seats_of(job.parties, component.roles, component.edges_of(parameters))
    return next((seat.role for seat in seats if seat.party == party), None)


def verify(
    job: Job,
    catalogue: Catalogue,
    party: str,
    declared: Mapping[str, TableDeclaration],
    part: Lookup,
    others: Declared | None = None,
    hidden: Collection[str] = (),
    *,
    values: bool = True,
) -> None:
    """Check what a party alone can see of a job that it is about to agree to.

    ``others`` is what the other parties declared, where that is known already; ``hidden`` are the
    steps that this party does not see.

    Whether this fails reveals something of private facts, so a partner learns of it only where it
    was let so far, and never of ``values``. Errors: those of ``check_own``.
    """
    parameters = (filled(job, catalogue), filled(job, catalogue, party))
    check_own(job, catalogue, party, parameters, declared, part, others, hidden, values=values)


def no_registry(reference: ModelRef) -> NoReturn:
    """Refuse a registered model where no node holds one. Errors: ATL-REG-010."""
    raise UserError(
        "ATL-REG-010",
        "there is no part of this model here",
        place=reference.model,
        hint="registered models are held by nodes; submit the job to one",
    )

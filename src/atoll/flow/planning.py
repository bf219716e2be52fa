"""From a job and what the parties declared to the plan that they sign. A pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from pydantic import BaseModel, JsonValue

from atoll.components.api import Catalogue, KnownComponents, TableDeclaration, Tables, Terms
from atoll.components.references import Lookup, ModelRef
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.flow.code import component_code
from atoll.flow.inference import Declared, check_own, check_structure, infer, placed
from atoll.jobs.definition import Job
from atoll.jobs.plan import ComponentFacts, Plan
from atoll.jobs.schema import KnownSchemas, Schemas
from atoll.jobs.validation import fill, order, plain, schema_of, validate
from atoll.operators import coin_toss

AGREEMENT_STEP = "agreement"
COIN_STEP = "coin toss"
TOLD = Reveal(
    "everyone",
    "flow.declaration",
    "tables",
    "bytes",
    "the name, digest, row count, column names and id rule of each table (in bytes)",
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
    job: Job, catalogue: Catalogue, declared: Declared, certificates: Mapping[str, str]
) -> Plan:
    """Make the plan; all parties make the same one from the same declarations.

    ``declared`` holds the table facts by party and step, ``certificates`` the public-key hash of
    each party. Errors: those of ``infer``, for what cannot run.
    """
    parameters = filled(job, catalogue)
    terms = infer(job, catalogue, parameters, declared).terms
    toss = coin_toss.choose(len(job.parties), job.seed)
    return Plan(
        job=job,
        parameters={name: dict(plain(value)) for name, value in parameters.items()},
        tables={party: dict(steps) for party, steps in declared.items()},
        components=component_facts(job, catalogue),
        implementations={COIN_STEP: toss}
        | {name: term.implementation for name, term in terms.items()},
        trust_models={name: term.trust_model for name, term in terms.items()},
        reveals=_reveals(terms, toss),
        minimums={name: dict(term.minimums) for name, term in terms.items() if term.minimums},
        certificates=dict(certificates),
        estimated_bytes={name: term.estimated_bytes for name, term in terms.items()},
        owners=_owners(terms),
        warnings=(
            *(f"{COIN_STEP}: {text}" for text in coin_toss.warnings(job.seed)),
            *(f"{name}: {text}" for name, term in terms.items() for text in term.warnings),
        ),
        party_parameters=_by_party(job, catalogue),
    )


def _reveals(terms: Mapping[str, Terms], toss: str) -> dict[str, tuple[dict[str, str], ...]]:
    """Return what each step tells whom; the two steps that every job has come first."""
    whole = {AGREEMENT_STEP: (TOLD,), COIN_STEP: coin_toss.REVEALS[toss]}
    whole |= {name: term.reveals for name, term in terms.items()}
    return {name: tuple(entry.to_dict() for entry in told) for name, told in whole.items()}


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
    check_structure(job, catalogue, filled(job, catalogue))
    return steps


def declare(
    job: Job, catalogue: Catalogue, party: str, tables: Tables
) -> dict[str, TableDeclaration]:
    """Return what a party declares, by step. Errors: those of its tables."""
    own = filled(job, catalogue, party)
    guest = next(name for name, role in job.parties.items() if role == Role.GUEST)
    found: dict[str, TableDeclaration] = {}
    for step in order(job):
        component = catalogue[job.steps[step].component]
        if component.declare is not None:
            with placed(step, component):
                made = component.declare(party, guest, own[step], tables)
            if made is not None:
                found[step] = made
    return found


def verify(
    job: Job,
    catalogue: Catalogue,
    party: str,
    declared: Mapping[str, TableDeclaration],
    part: Lookup,
    others: Declared | None = None,
) -> None:
    """Check what a party alone can see of a job that it is about to agree to.

    ``others`` is what the other parties declared, where that is known already.

    Whether this fails says something of private facts, so a partner hears of it only where it was
    let so far. Errors: those of ``check_own``.
    """
    parameters = (filled(job, catalogue), filled(job, catalogue, party))
    check_own(job, catalogue, party, parameters, declared, part, others)


def no_registry(reference: ModelRef) -> NoReturn:
    """Refuse a registered model where no node holds one. Errors: ATL-REG-010."""
    raise UserError(
        "ATL-REG-010",
        "there is no part of this model here",
        place=reference.model,
        hint="registered models are held by nodes; submit the job to one",
    )

"""Checks a job against the schemas of the known components, and puts its steps in order."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from atoll.core.errors import UserError
from atoll.core.strict import read
from atoll.jobs.definition import INPUTS, RESERVED, Job, Step
from atoll.jobs.errors import DeniedError
from atoll.jobs.participation import check_counts, seats_of
from atoll.jobs.schema import KnownSchemas, Port, Schema, Schemas

_SHOWN = 20


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known name, or all of them."""
    names = sorted(known)
    found = difflib.get_close_matches(name, names, n=1)
    if found:
        return f"did you mean {found[0]}?"
    more = ", …" if len(names) > _SHOWN else ""
    return f"known: {', '.join(names[:_SHOWN])}{more}" if names else "none is known"


def validate(job: Job, schemas: Schemas) -> tuple[str, ...]:
    """Check a whole job and return its steps in the order in which they run.

    Errors: ATL-JOB-002 too few or many seats of a role in a step, ATL-JOB-003 a reserved name,
    ATL-JOB-004 unknown component (or the code with which it was refused here), ATL-JOB-005 unknown
    parameter, ATL-JOB-006 parameter out of bounds, ATL-JOB-007 inputs, ATL-JOB-008 a cycle,
    ATL-JOB-009 a step in which no one takes part, ATL-JOB-015 a parameter that may not differ.
    """
    for name, step in job.steps.items():
        _check_name(name)
        schema = schema_of(name, step, schemas)
        _check_inputs(job, name, step, schemas)
        edges = schema.edges(fill(name, step, schema))
        check_counts(name, schema.name, seats_of(job.parties, schema.roles, edges), schema.roles)
        _check_overrides(job, name, step, schema)
    return order(job)


def schema_of(name: str, step: Step, schemas: Schemas) -> Schema:
    """Return the schema of a step's component. Errors: ATL-JOB-004, or why it was refused."""
    schema = schemas.get(step.component)
    if schema is not None:
        return schema
    place = f"steps.{name}.component"
    refused = schemas.refused.get(step.component) if isinstance(schemas, KnownSchemas) else None
    if refused is not None:
        raise DeniedError(refused.code, refused.message, place=place, hint=refused.hint)
    raise UserError(
        "ATL-JOB-004",
        f"there is no component {step.component!r}",
        place=place,
        hint=near(step.component, schemas),
    )


def _check_name(step: str) -> None:
    # Not a matter of a job's form: jobs from before these names were taken can still be read.
    if step in RESERVED:
        raise UserError(
            "ATL-JOB-003",
            f"{step!r} is reserved: what every job does has this name",
            place=f"steps.{step}",
            hint="give the step another name",
        )


def _check_inputs(job: Job, name: str, step: Step, schemas: Schemas) -> None:
    schema = schemas[step.component]
    given: set[str] = set()
    for key, source in step.inputs.items():
        port, wanted = _port(name, key, schema)
        given.add(port)
        kind = _kind_of(job, name, key, source, schemas)
        if not wanted.may_accept(kind):
            kinds_text = " or ".join(f"a {known}" for known in wanted.kinds)
            raise _input(name, key, f"takes {kinds_text}, but {source} is a {kind}", None)
    for port, wanted in schema.inputs.items():
        if port not in given and not wanted.optional:
            raise _input(name, port, "this input is missing", f"name a step's {wanted.kind}")


def _port(name: str, key: str, schema: Schema) -> tuple[str, Port]:
    port, dot, number = key.partition(".")
    wanted = schema.inputs.get(port)
    if wanted is None:
        raise _input(name, key, f"{schema.name} has no such input", near(port, schema.inputs))
    if dot and not wanted.many:
        raise _input(name, key, "this input takes one source", f"write {port}: step.output")
    if dot and number not in _NUMBERS:
        raise _input(name, key, "sources are numbered from 0 on", f"write {port} as a list")
    return port, wanted


_NUMBERS = frozenset(str(at) for at in range(INPUTS))


def _kind_of(job: Job, name: str, port: str, source: str, schemas: Schemas) -> str:
    at, dot, output = source.partition(".")
    if not dot or at not in job.steps:
        hint = near(at, job.steps) if dot else "an input is written step.output"
        raise _input(name, port, f"{source!r} names no step", hint)
    outputs = schema_of(at, job.steps[at], schemas).outputs
    if output not in outputs:
        raise _input(name, port, f"step {at} has no output {output!r}", near(output, outputs))
    return outputs[output]


def _input(step: str, port: str, message: str, hint: str | None) -> UserError:
    return UserError("ATL-JOB-007", message, place=f"steps.{step}.inputs.{port}", hint=hint)


def fill(name: str, step: Step, schema: Schema, party: str | None = None) -> BaseModel:
    """Return a step's parameters with all defaults filled in: the common ones, or a party's.

    Errors: ATL-JOB-005 unknown parameter, ATL-JOB-006 wrong type or out of bounds, ATL-JOB-015
    an override of a parameter that is not a party's own.
    """
    _refuse_unknown(step.parameters, schema, f"steps.{name}.parameters")
    own = step.overrides.get(party, {}) if party is not None else {}
    place = f"steps.{name}.overrides.{party}" if own else f"steps.{name}.parameters"
    if own:
        _refuse_unknown(own, schema, place)
        _refuse_common(own, schema, place)
    try:
        return read(schema.parameters, {**step.parameters, **own})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        place += f".{field}" if field else ""
        raise UserError("ATL-JOB-006", first["msg"], place=place) from error


def _refuse_unknown(given: Iterable[str], schema: Schema, place: str) -> None:
    known = schema.parameters.model_fields
    for parameter in given:
        if parameter not in known:
            raise UserError(
                "ATL-JOB-005",
                f"{schema.name} has no parameter {parameter!r}",
                place=f"{place}.{parameter}",
                hint=near(parameter, known),
            )


def _refuse_common(given: Iterable[str], schema: Schema, place: str) -> None:
    own = schema.party_local
    for parameter in given:
        if parameter not in own:
            raise UserError(
                "ATL-JOB-015",
                f"{parameter} is part of what the parties agree on and cannot differ",
                place=f"{place}.{parameter}",
                hint=f"may differ: {', '.join(sorted(own))}" if own else "set it for all parties",
            )


def _check_overrides(job: Job, name: str, step: Step, schema: Schema) -> None:
    for party in step.overrides:
        if party not in job.parties:
            raise UserError(
                "ATL-JOB-015",
                "parameters are set for a party that is not in the job",
                place=f"steps.{name}.overrides.{party}",
                hint=near(party, job.parties),
            )
        fill(name, step, schema, party)


def order(job: Job) -> tuple[str, ...]:
    """Return the steps so that each comes after its sources; ties by name. Errors: ATL-JOB-008."""
    waiting = {name: len(step.sources()) for name, step in job.steps.items()}
    after: dict[str, list[str]] = {name: [] for name in job.steps}
    for name, step in job.steps.items():
        for source in step.sources():
            after[source].append(name)
    ready = sorted(name for name, count in waiting.items() if not count)
    done: list[str] = []
    while ready:
        step_name = heapq.heappop(ready)
        done.append(step_name)
        for name in after[step_name]:
            waiting[name] -= 1
            if not waiting[name]:
                heapq.heappush(ready, name)
    if len(done) < len(waiting):
        stuck = sorted(waiting.keys() - set(done))
        raise UserError(
            "ATL-JOB-008",
            f"these steps wait for each other: {', '.join(stuck[:_SHOWN])}",
            place="steps",
        )
    return tuple(done)


def plain(parameters: BaseModel) -> Mapping[str, Any]:
    """Return the plain form of a parameter object: what a plan signs."""
    return parameters.model_dump(mode="json")

"""Checks a job against the schemas of the known components, and puts its steps in order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.jobs.definition import Job, Step
from atoll.jobs.schema import Schema, Schemas


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known name, or all of them."""
    names = sorted(known)
    found = difflib.get_close_matches(name, names, n=1)
    if found:
        return f"did you mean {found[0]}?"
    return f"known: {', '.join(names)}" if names else "none is known"


def validate(job: Job, schemas: Schemas) -> tuple[str, ...]:
    """Check a whole job and return its steps in the order in which they run.

    Errors: ATL-JOB-002 not one guest, ATL-JOB-004 unknown component, ATL-JOB-005 unknown
    parameter, ATL-JOB-006 parameter out of bounds, ATL-JOB-007 inputs, ATL-JOB-008 a cycle,
    ATL-JOB-009 a role that a component has no part for.
    """
    _check_roles(job)
    for name, step in job.steps.items():
        schema = schema_of(name, step, schemas)
        _check_parties(job, name, schema)
        _check_inputs(job, name, step, schemas)
        fill(name, step, schema)
    return order(job)


def schema_of(name: str, step: Step, schemas: Schemas) -> Schema:
    """Return the schema of a step's component. Errors: ATL-JOB-004."""
    schema = schemas.get(step.component)
    if schema is None:
        raise UserError(
            "ATL-JOB-004",
            f"there is no component {step.component!r}",
            place=f"steps.{name}.component",
            hint=near(step.component, schemas),
        )
    return schema


def _check_roles(job: Job) -> None:
    guests = [party for party, role in job.parties.items() if role == Role.GUEST]
    if len(guests) != 1:
        raise UserError("ATL-JOB-002", "a vertical job has exactly one guest", place="parties")


def _check_parties(job: Job, name: str, schema: Schema) -> None:
    for party, role in job.parties.items():
        if role not in schema.roles:
            raise UserError(
                "ATL-JOB-009",
                f"{schema.name} has no part for the role {role.value}",
                party=party,
                place=f"steps.{name}",
                hint=f"it knows {', '.join(sorted(r.value for r in schema.roles))}",
            )


def _check_inputs(job: Job, name: str, step: Step, schemas: Schemas) -> None:
    schema = schemas[step.component]
    for port in step.inputs:
        if port not in schema.inputs:
            raise _input(name, port, f"{schema.name} has no such input", near(port, schema.inputs))
    for port, wanted in schema.inputs.items():
        source = step.inputs.get(port)
        if source is None:
            if wanted.optional:
                continue
            raise _input(name, port, "this input is missing", f"name a step's {wanted.kind}")
        kind = _kind_of(job, name, port, source, schemas)
        if kind != wanted.kind:
            raise _input(name, port, f"takes a {wanted.kind}, but {source} is a {kind}", None)


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


def fill(name: str, step: Step, schema: Schema) -> BaseModel:
    """Return a step's parameters with all defaults filled in.

    Errors: ATL-JOB-005 unknown parameter, ATL-JOB-006 wrong type or out of bounds.
    """
    known = schema.parameters.model_fields
    for parameter in step.parameters:
        if parameter not in known:
            raise UserError(
                "ATL-JOB-005",
                f"{schema.name} has no parameter {parameter!r}",
                place=f"steps.{name}.parameters.{parameter}",
                hint=near(parameter, known),
            )
    try:
        return schema.parameters.model_validate(step.parameters)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        place = f"steps.{name}.parameters" + (f".{field}" if field else "")
        raise UserError("ATL-JOB-006", first["msg"], place=place) from error


def order(job: Job) -> tuple[str, ...]:
    """Return the steps so that each comes after its sources; ties by name. Errors: ATL-JOB-008."""
    waiting = {name: _sources(step) for name, step in job.steps.items()}
    done: list[str] = []
    while waiting:
        ready = sorted(name for name, sources in waiting.items() if not sources & waiting.keys())
        if not ready:
            raise UserError(
                "ATL-JOB-008",
                f"these steps wait for each other: {', '.join(sorted(waiting))}",
                place="steps",
            )
        done.append(ready[0])
        del waiting[ready[0]]
    return tuple(done)


def _sources(step: Step) -> set[str]:
    return {source.partition(".")[0] for source in step.inputs.values()}


def plain(parameters: BaseModel) -> Mapping[str, Any]:
    """Return the plain form of a parameter object: what a plan signs."""
    return parameters.model_dump(mode="json")

"""A job written in Python: each component of the catalogue is a method, each output an attribute.

    p = Pipeline("credit", guest="bank", host="shop")
    rows = p.reader(tables={"bank": "loans", "shop": "visits"})
    common = p.psi(rows.table)
    parts = p.split(common.table, fraction=0.2)
    model = p.boosting(train=parts.train, trees=50)
    p.to_job()

Every call is checked at once: the component, its inputs and their kinds, its parameters. Nothing
runs here; the result is a frozen ``jobs.Job``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.jobs import definition
from atoll.jobs.definition import Job, Step, parse_job
from atoll.jobs.schema import Port, Schema, Schemas
from atoll.jobs.validation import fill, near, schema_of, validate
from atoll.sdk import documents

Parties = str | Iterable[str] | None
Sources = dict[str, tuple["Output", ...]]


@dataclass(frozen=True)
class Output:
    """What a step gives: hand it to another step as an input. ``kind`` is the artifact's kind."""

    step: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.step}.{self.name}"


class StepHandle:
    """A step of a pipeline; its outputs are its attributes (``rows.table``)."""

    def __init__(self, pipeline: Pipeline, name: str, schema: Schema) -> None:
        self._pipeline = pipeline
        self.name = name
        self.component = schema.name
        self.outputs = {
            output: Output(name, output, kind) for output, kind in schema.outputs.items()
        }

    def __getattr__(self, output: str) -> Output:
        if output.startswith("_"):
            raise AttributeError(output)
        found = self.outputs.get(output)
        if found is None:
            raise _no_output(self, output)
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.outputs]

    def override(self, party: str, **parameters: Any) -> StepHandle:
        """Give one party its own values of parameters that may differ (ATL-JOB-015 otherwise).

        Errors: ATL-SDK-002 unknown party, ATL-JOB-005, ATL-JOB-006.
        """
        self._pipeline._override(self.name, party, parameters)
        return self

    def __repr__(self) -> str:
        return f"<step {self.name}: {self.component}, gives {', '.join(self.outputs) or 'nothing'}>"


class _MissingOutput(UserError, AttributeError):
    """An output that a step does not have; also an AttributeError, as Python expects of one."""


def _no_output(step: StepHandle, output: str) -> _MissingOutput:
    return _MissingOutput(
        "ATL-SDK-001",
        f"{step.component} has no output {output!r}",
        place=f"steps.{step.name}",
        hint=near(output, step.outputs),
    )


class _MissingComponent(UserError, AttributeError):
    """A component that the catalogue does not have; also an AttributeError."""


class Pipeline:
    """Builds a job step by step.

    Each role takes one party or several, and a party may have several roles; ``seed`` repeats
    the public randomness from run to run (else coins are tossed); ``schemas`` are those of the
    installed catalogue unless given. Errors: ATL-JOB-003 a name that is none.
    """

    def __init__(
        self,
        name: str,
        *,
        guest: Parties = None,
        host: Parties = None,
        client: Parties = None,
        arbiter: Parties = None,
        aggregator: Parties = None,
        helper: Parties = None,
        seed: int | None = None,
        schemas: Schemas | None = None,
    ) -> None:
        self._schemas = _installed() if schemas is None else schemas
        self._name = name
        self._seed = seed
        self._parties: dict[str, list[str]] = {}
        given = (guest, host, client, arbiter, aggregator, helper)
        for role, parties in zip(Role, given, strict=True):
            for party in _listed(parties):
                self._parties.setdefault(party, []).append(role.value)
        self._steps: dict[str, dict[str, Any]] = {}

    @property
    def name(self) -> str:
        """The job's name."""
        return self._name

    @property
    def parties(self) -> Mapping[str, tuple[str, ...]]:
        """Each party's roles."""
        return {party: tuple(held) for party, held in self._parties.items()}

    @property
    def seed(self) -> int | None:
        """The job's seed, None where coins are tossed."""
        return self._seed

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps so far."""
        return tuple(self._steps)

    def __getattr__(self, component: str) -> Callable[..., StepHandle]:
        if component.startswith("_"):
            raise AttributeError(component)
        if component not in self._schemas:
            raise _MissingComponent(
                "ATL-JOB-004",
                f"there is no component {component!r}",
                hint=near(component, self._schemas),
            )

        def call(*inputs: Output, **named: Any) -> StepHandle:
            return self.add(component, *inputs, **named)

        call.__name__ = component
        call.__doc__ = describe(self._schemas[component])
        return call

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._schemas]

    def add(
        self,
        component: str,
        *inputs: Output,
        name: str | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        **named: Any,
    ) -> StepHandle:
        """Add a step. Outputs in order fill the component's inputs; named ones may be either.

        Errors: ATL-JOB-004 to ATL-JOB-007 (unknown component or parameter, out of bounds, inputs),
        ATL-SDK-003 a step of this name is there.
        """
        schema = self._schema(component)
        step = name or self._free_name(component)
        if step in self._steps:
            raise UserError("ATL-SDK-003", "a step of this name is there already", place=step)
        sources, parameters = _arguments(schema, step, inputs, named)
        made = {"component": component, "inputs": _written(sources), "parameters": parameters}
        self._check(step, schema, sources, made)
        self._steps[step] = made
        for party, chosen in (overrides or {}).items():
            self._override(step, party, chosen)
        return StepHandle(self, step, schema)

    def _schema(self, component: str) -> Schema:
        return schema_of(component, Step(component=component), self._schemas)

    def _free_name(self, component: str) -> str:
        name, number = component, 2
        while name in self._steps:
            name, number = f"{component}_{number}", number + 1
        return name

    def _check(self, step: str, schema: Schema, sources: Sources, made: dict[str, Any]) -> None:
        for port, outputs in sources.items():
            wanted = schema.inputs[port]
            for output in outputs:
                if output.step not in self._steps:
                    raise _bad_input(step, port, f"{output} is of another pipeline")
                if not wanted.accepts(output.kind):
                    wanted_kinds = " or ".join(wanted.kinds)
                    message = f"takes a {wanted_kinds}, but {output} is a {output.kind}"
                    raise _bad_input(step, port, message)
        fill(step, Step(component=schema.name, parameters=made["parameters"]), schema)

    def _override(self, step: str, party: str, parameters: Mapping[str, Any]) -> None:
        if party not in self._parties:
            raise UserError(
                "ATL-SDK-002",
                "this party does not take part",
                place=f"steps.{step}",
                hint=near(party, self._parties),
            )
        made = self._steps[step]
        schema = self._schemas[made["component"]]
        whole = {**made.get("overrides", {}).get(party, {}), **parameters}
        values = {"parameters": made["parameters"], "overrides": {party: whole}}
        fill(step, Step(component=schema.name, **values), schema, party)
        made.setdefault("overrides", {})[party] = whole

    def to_job(self) -> Job:
        """Return the job, checked as a whole. Errors: ATL-JOB-002 to ATL-JOB-009."""
        whole = {"name": self._name, "parties": self._parties, "steps": self._steps}
        job = parse_job({**whole, "seed": self._seed})
        validate(job, self._schemas)
        return job

    @classmethod
    def from_job(cls, job: Job, schemas: Schemas | None = None) -> Pipeline:
        """Return a pipeline with the steps of a job, to change or to extend it."""
        known = _installed() if schemas is None else schemas
        validate(job, known)
        made = cls.__new__(cls)
        made._schemas = known
        made._name = job.name
        made._seed = job.seed
        made._parties = {
            party: [role.value for role in roles] for party, roles in job.parties.items()
        }
        made._steps = {name: plain_step(step) for name, step in job.steps.items()}
        return made

    def step(self, name: str) -> StepHandle:
        """Return a step by its name. Errors: ATL-SDK-003."""
        if name not in self._steps:
            hint = near(name, self._steps)
            raise UserError("ATL-SDK-003", f"there is no step {name!r}", hint=hint)
        return StepHandle(self, name, self._schemas[self._steps[name]["component"]])

    def to_text(self, form: str = "yaml") -> str:
        """Return the job as ``yaml`` or ``json``; what is empty is left out."""
        return documents.dumps(plain_job(self.to_job()), form)

    @classmethod
    def from_text(
        cls, text: str | bytes, form: str = "yaml", schemas: Schemas | None = None
    ) -> Pipeline:
        """Read what ``to_text`` wrote, or a person. Errors: ATL-SDK-005, those of ``to_job``."""
        return cls.from_job(parse_job(documents.loads(text, form)), schemas)

    def save(self, path: str | Path) -> None:
        """Write the job to a file, YAML or JSON by its name. Errors: ATL-SDK-004."""
        place = Path(path)
        place.write_text(self.to_text(documents.format_of(place)), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, schemas: Schemas | None = None) -> Pipeline:
        """Read a job's file. Errors: ATL-JOB-003, those of ``to_job``."""
        return cls.from_job(read_job(path), schemas)

    def __repr__(self) -> str:
        roles = ", ".join(f"{party} {', '.join(held)}" for party, held in self._parties.items())
        return f"<pipeline {self._name} ({roles}): {' → '.join(self._steps) or 'no steps'}>"


def _installed() -> Schemas:
    from atoll.components.catalogue import CATALOGUE
    from atoll.flow.planning import schemas

    return schemas(CATALOGUE)


def _listed(parties: Parties) -> list[str]:
    if parties is None:
        return []
    return [parties] if isinstance(parties, str) else list(parties)


def _arguments(
    schema: Schema, step: str, inputs: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[Sources, dict[str, Any]]:
    ports = list(schema.inputs)
    if len(inputs) > len(ports):
        raise _bad_input(step, "*", f"{schema.name} has {len(ports)} inputs")
    given: dict[str, Any] = dict(zip(ports, inputs, strict=False))
    parameters: dict[str, Any] = {}
    for name, value in named.items():
        if name in schema.inputs or isinstance(value, Output | StepHandle):
            if name in given:
                raise _bad_input(step, name, "this input is given twice")
            given[name] = value
        else:
            parameters[name] = value
    sources: Sources = {}
    for port, value in given.items():
        wanted = schema.inputs.get(port)
        if wanted is None:
            message = f"{schema.name} has no such input"
            raise _bad_input(step, port, message, near(port, schema.inputs))
        if value is not None or not wanted.optional:
            sources[port] = _taken(value, step, port, wanted)
    missing = [n for n, port in schema.inputs.items() if not port.optional and n not in sources]
    if missing:
        raise _bad_input(step, missing[0], "this input is missing")
    return sources, parameters


def _taken(value: Any, step: str, port: str, wanted: Port) -> tuple[Output, ...]:
    """Return the outputs that an input was given: one, or several where it takes them."""
    several = isinstance(value, list | tuple)
    if several and not wanted.many:
        raise _bad_input(step, port, "this input takes one source")
    found = []
    for entry in value if several else (value,):
        if isinstance(entry, StepHandle):
            found.append(_only_output(entry, step, port, wanted))
        elif isinstance(entry, Output):
            found.append(entry)
        else:
            raise _bad_input(step, port, "an input is another step's output")
    return tuple(found)


def _only_output(source: StepHandle, step: str, port: str, wanted: Port) -> Output:
    """Return a step's one output of a fitting kind, so that ``p.psi(rows)`` may stand."""
    fitting = [output for output in source.outputs.values() if wanted.accepts(output.kind)]
    if len(fitting) != 1:
        hint = f"name one: {', '.join(f'{source.name}.{n}' for n in source.outputs)}"
        message = f"takes a {wanted.kind}, {source.name} has {len(fitting)}"
        raise _bad_input(step, port, message, hint)
    return fitting[0]


def _written(sources: Sources) -> dict[str, Any]:
    """Return inputs as a job's file has them: several sources of one input as a list."""
    return {
        port: str(outputs[0]) if len(outputs) == 1 else [str(output) for output in outputs]
        for port, outputs in sources.items()
    }


def _bad_input(step: str, port: str, message: str, hint: str | None = None) -> UserError:
    return UserError("ATL-JOB-007", message, place=f"steps.{step}.inputs.{port}", hint=hint)


def describe(schema: Schema) -> str:
    """Return a component's ports and parameters as text, for ``help()``."""
    lines = [f"{schema.name} {schema.version}"]
    for name, port in schema.inputs.items():
        lines.append(f"  input {name}: {port.kind}{' (optional)' if port.optional else ''}")
    for name, field in schema.parameters.model_fields.items():
        default = "" if field.is_required() else f" ({field.default})"
        lines.append(f"  {name}{default}: {field.description or ''}")
    lines += [f"  output {name}: {kind}" for name, kind in schema.outputs.items()]
    return "\n".join(lines)


def plain_step(step: Step) -> dict[str, Any]:
    """Return a step as plain values without what is empty."""
    whole = step.model_dump(mode="json")
    return {name: value for name, value in whole.items() if value or name == "component"}


def plain_job(job: Job) -> dict[str, Any]:
    """Return a job as plain values without what is empty: the form for files."""
    whole = job.model_dump(mode="json")
    whole["steps"] = {name: plain_step(step) for name, step in job.steps.items()}
    if job.seed is None:
        del whole["seed"]
    return whole


def read_job(path: str | Path) -> Job:
    """Read a job from a YAML, JSON or TOML file; it is not checked against any catalogue.

    Errors: ATL-JOB-003 not there, unreadable, or not a job.
    """
    return definition.read_job(Path(path))

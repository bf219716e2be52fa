"""A job: who takes part as what, and which steps run on what; frozen, with a canonical hash."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from atoll.core import codec
from atoll.core.errors import UserError
from atoll.core.names import Role, Roles, party_id, ranked
from atoll.core.strict import read
from atoll.jobs.reading import JOB_FILE_BYTES, read_plain

STEPS = 256
PARTIES = 256
INPUTS = 64
# Of all steps together: what a plan costs grows with them.
ALL_INPUTS = 1024
NAME_CHARACTERS = 200
SEED_BITS = 63

__all__ = [
    "INPUTS",
    "JOB_FILE_BYTES",
    "PARTIES",
    "RESERVED",
    "STEPS",
    "Frozen",
    "Job",
    "Step",
    "parse_job",
    "read_job",
]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# What every job does besides its steps, under these names in plans, ledgers, logs and errors.
RESERVED = frozenset({"agreement", "coin-toss", "coin_toss", "finish", "hello", "start"})


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name is a lower-case letter, then letters, digits, - or _, at most 63")
    return text


class Frozen(BaseModel):
    """A value that is not changed after it was made and has no fields but the declared ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which remembers nothing that was worked out from the original."""
        made = super().model_copy(update=update, deep=deep)
        for name in made.__dict__.keys() - type(made).model_fields.keys():
            del made.__dict__[name]
        return made


_KNOWN = tuple(role.value for role in Role)
_LISTED = ", ".join(_KNOWN)


def _roles(value: Any) -> Any:
    several = value if isinstance(value, list | tuple) else [value]
    if not 0 < len(several) <= len(_KNOWN) or len(set(map(str, several))) != len(several):
        raise ValueError("a party has at least one role, and each once")
    if any(role not in _KNOWN for role in several):
        raise PydanticCustomError("enum", "a role is one of {expected}", {"expected": _LISTED})
    return ranked(Role(role) for role in several)


def _plain_roles(value: Roles) -> str | list[str]:
    return value[0].value if len(value) == 1 else [role.value for role in value]


_ROLE = {"enum": list(_KNOWN), "type": "string"}
HeldRoles = Annotated[
    Roles,
    BeforeValidator(_roles),
    PlainSerializer(_plain_roles),
    WithJsonSchema(
        {"anyOf": [_ROLE, {"type": "array", "items": _ROLE, "minItems": 1, "uniqueItems": True}]}
    ),
]
Name = Annotated[str, Field(max_length=NAME_CHARACTERS)]
Values = dict[Name, JsonValue]


class Step(Frozen):
    """A node of the job's graph: a component, where its inputs come from, and its parameters.

    ``inputs`` maps the component's input to ``step.output`` of another step; an input that takes
    several is written as a list and kept as ``input.0``, ``input.1``, … ``overrides`` holds, by
    party, parameters that differ there; only those that the component marks as a party's own may.
    """

    component: Name
    inputs: Annotated[dict[Name, Name], Field(max_length=INPUTS)] = Field(default_factory=dict)
    parameters: Values = Field(default_factory=dict)
    overrides: Annotated[dict[Name, Values], Field(max_length=PARTIES)] = Field(
        default_factory=dict
    )

    @field_validator("inputs", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found: dict[Any, Any] = {}
        for port, source in value.items():
            several = list(source) if isinstance(source, list | tuple) else None
            if several is not None and len(several) > INPUTS:
                raise ValueError(f"an input takes at most {INPUTS} sources")
            named = {port: source}
            if several is not None:
                named = {f"{port}.{at}": entry for at, entry in enumerate(several)}
            if found.keys() & named.keys():
                raise ValueError("an input is given twice")
            found.update(named)
        return found

    def sources(self) -> frozenset[str]:
        """Return the names of the steps whose outputs this one takes."""
        return frozenset(source.partition(".")[0] for source in self.inputs.values())


class Job(Frozen):
    """What is to be done by whom. Equal jobs have equal digests.

    ``parties`` states which roles each party holds: one, or a list of them.
    With a ``seed`` no coins are tossed: whatever is public at random follows from the number.
    """

    version: Literal[1] = 1
    name: Annotated[str, Field(description="lower-case letters, digits, - and _")]
    parties: Annotated[dict[str, HeldRoles], Field(min_length=2, max_length=PARTIES)]
    steps: Annotated[dict[str, Step], Field(min_length=1, max_length=STEPS)]
    seed: Annotated[
        int | None,
        Field(
            strict=True,
            ge=0,
            lt=1 << SEED_BITS,
            description="repeats what is public at random; empty: the parties toss coins",
        ),
    ] = None

    @field_validator("name")
    @classmethod
    def _job_name(cls, value: str) -> str:
        return _name(value)

    @field_validator("steps")
    @classmethod
    def _step_names(cls, value: dict[str, Step]) -> dict[str, Step]:
        for step in value:
            _name(step)
        if sum(len(step.inputs) for step in value.values()) > ALL_INPUTS:
            raise ValueError(f"all steps together take at most {ALL_INPUTS} inputs")
        return value

    @field_validator("parties")
    @classmethod
    def _party_names(cls, value: dict[str, Roles]) -> dict[str, Roles]:
        for party in value:
            try:
                party_id(party)
            except UserError as error:
                raise ValueError(error.message) from error
        return value

    @functools.cached_property
    def _digest(self) -> str:
        return codec.digest(["atoll/job/v1", self.canonical()])

    @property
    def first_roles(self) -> dict[str, Role]:
        """The first role of each party."""
        return {party: roles[0] for party, roles in self.parties.items()}

    def canonical(self) -> dict[str, Any]:
        """Return the plain form that is hashed and signed."""
        # Jobs without a seed keep the digest under which they were signed before seeds were known.
        return self.model_dump(mode="json", exclude={"seed"} if self.seed is None else None)

    def parts(self) -> dict[str, str]:
        """Return the digest of each top-level part, so that a difference can be named."""
        whole = self.canonical() | {"seed": self.seed}
        return {f"job.{name}": codec.digest(value) for name, value in whole.items()}

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, in hexadecimal."""
        return self._digest


def read_job(path: Path) -> Job:
    """Read a job from a JSON, TOML (``.toml``) or YAML (``.yaml``, ``.yml``) file.

    Errors: ATL-JOB-003 not found, too large, of none of these forms, or not of a job's shape.
    """
    return parse_job(read_plain(path), place=str(path))


def parse_job(value: Any, *, place: str | None = None) -> Job:
    """Make a job of its plain form. Errors: ATL-JOB-003 if it has another shape."""
    try:
        return read(Job, value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        whole = f"{place}: {field}" if place else field
        raise UserError("ATL-JOB-003", f"not a job: {first['msg']}", place=whole) from error

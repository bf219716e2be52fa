"""A job: who takes part as what, and which steps run on what; frozen, with a canonical hash."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from atoll.core import codec
from atoll.core.errors import UserError
from atoll.core.names import Role, party_id
from atoll.jobs.errors import NotFoundError

JOB_FILE_BYTES = 1 << 20
STEPS = 256
PARTIES = 64

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name is a lower-case letter, then letters, digits, - or _, at most 63")
    return text


class Frozen(BaseModel):
    """A value that is not changed after it was made and has no fields but the declared ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Frozen):
    """A node of the job's graph: a component, where its inputs come from, and its parameters.

    ``inputs`` maps the component's input to ``step.output`` of another step.
    """

    component: str
    inputs: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class Job(Frozen):
    """What is to be done by whom. Equal jobs have equal digests."""

    version: Literal[1] = 1
    name: Annotated[str, Field(description="lower-case letters, digits, - and _")]
    parties: Annotated[dict[str, Role], Field(min_length=2, max_length=PARTIES)]
    steps: Annotated[dict[str, Step], Field(min_length=1, max_length=STEPS)]

    @field_validator("name")
    @classmethod
    def _job_name(cls, value: str) -> str:
        return _name(value)

    @field_validator("steps")
    @classmethod
    def _step_names(cls, value: dict[str, Step]) -> dict[str, Step]:
        for step in value:
            _name(step)
        return value

    @field_validator("parties")
    @classmethod
    def _party_names(cls, value: dict[str, Role]) -> dict[str, Role]:
        for party in value:
            try:
                party_id(party)
            except UserError as error:
                raise ValueError(error.message) from error
        return value

    def canonical(self) -> dict[str, Any]:
        """Return the plain form that is hashed and signed."""
        return self.model_dump(mode="json")

    def parts(self) -> dict[str, str]:
        """Return the digest of each top-level part, so that a difference can be named."""
        return {f"job.{name}": codec.digest(value) for name, value in self.canonical().items()}

    def digest(self) -> str:
        """Return the SHA-256 of the canonical form, in hexadecimal."""
        return codec.digest(["atoll/job/v1", self.canonical()])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def read_job(path: Path) -> Job:
    """Read a job from a JSON or TOML file.

    Errors: ATL-JOB-003 not found, too large, not JSON or TOML, or not of a job's shape.
    """
    if not path.is_file():
        raise NotFoundError("ATL-JOB-003", "there is no such job file", place=str(path))
    if path.stat().st_size > JOB_FILE_BYTES:
        raise UserError("ATL-JOB-003", "a job file has at most 1 MiB", place=str(path))
    try:
        text = path.read_text(encoding="utf-8")
        toml = path.suffix == ".toml"
        value = tomllib.loads(text) if toml else json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(
            "ATL-JOB-003",
            f"the job file cannot be read: {reason}",
            place=str(path),
            hint="a job is JSON (or TOML where the name ends in .toml)",
        ) from error
    return parse_job(value, place=str(path))


def parse_job(value: Any, *, place: str | None = None) -> Job:
    """Make a job of its plain form. Errors: ATL-JOB-003 if it has another shape."""
    try:
        return Job.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        whole = f"{place}: {field}" if place else field
        raise UserError("ATL-JOB-003", f"not a job: {first['msg']}", place=whole) from error

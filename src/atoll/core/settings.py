"""Settings of this process, from the environment (``ATOLL_SECTION__KEY``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atoll.core.errors import InternalError, UserError

_PREFIX = "ATOLL_"


class Settings(BaseModel):
    """Process-wide settings; every field is an environment variable ``ATOLL_<NAME>``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(default=0, ge=0, description="threads for kernels; 0 means all cores")

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Return the environment's settings. Errors: ATL-SET-011 a value that cannot be used."""
        given = os.environ if environment is None else environment
        named = {name: _PREFIX + name.upper() for name in cls.model_fields}
        values = {name: given[key] for name, key in named.items() if key in given}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            place = named.get(str(wrong["loc"][0]), "")
            raise UserError("ATL-SET-011", wrong["msg"], place=place) from error


def insecure_allowed() -> bool:
    """Return whether parts for tests and simulation (ideal, reference, seeded secrets) may run."""
    return os.environ.get("ATOLL_INSECURE_SIMULATION") == "1"


def require_insecure(what: str) -> None:
    """Refuse ``what`` outside tests and simulation. Errors: ATL-SET-001."""
    if not insecure_allowed():
        raise InternalError(
            "ATL-SET-001",
            f"{what} runs only in tests and simulation",
            hint="it protects nothing; never set ATOLL_INSECURE_SIMULATION on a real node",
        )

"""Settings of this process, from the environment (``ATOLL_SECTION__KEY``)."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from atoll.core.errors import InternalError


class Settings(BaseSettings):
    """Process-wide settings; every field is an environment variable ``ATOLL_<NAME>``."""

    model_config = SettingsConfigDict(
        env_prefix="ATOLL_", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    silence_seconds: float = Field(
        default=30.0, gt=0, description="a peer silent for so long is lost"
    )
    heartbeat_seconds: float = Field(
        default=2.0, gt=0, description="how often a sign of life is sent"
    )
    connect_seconds: float = Field(
        default=60.0, gt=0, description="how long to wait for a peer at start"
    )
    receive_seconds: float = Field(
        default=600.0, gt=0, description="how long to wait for one message"
    )
    threads: int = Field(default=0, ge=0, description="threads for kernels; 0 means all cores")


def insecure_allowed() -> bool:
    """Say whether parts for tests and simulation (ideal, reference, seeded secrets) may run."""
    return os.environ.get("ATOLL_INSECURE_SIMULATION") == "1"


def require_insecure(what: str) -> None:
    """Refuse ``what`` outside tests and simulation. Errors: ATL-SET-001."""
    if not insecure_allowed():
        raise InternalError(
            "ATL-SET-001",
            f"{what} runs only in tests and simulation",
            hint="it protects nothing; never set ATOLL_INSECURE_SIMULATION on a real node",
        )

"""The parameters, declared once: command line, API, board and plan all read them here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Parameters(BaseModel):
    """What happens when rows are not aligned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_rows: int = Field(
        default=1, ge=1, le=1 << 40, description="refuse aligned tables with fewer rows"
    )
    refuse: bool = Field(default=True, description="end the job where rows are not aligned")

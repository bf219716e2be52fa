"""What all views share: names from outside, the two kinds of class, errors.

Names are checked here, before any service sees them: they are short, printable, and hold nothing
that a path or a query could understand.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

JOB_ID = r"^[0-9]{14}-[0-9a-f]{8}$"
STEP_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
# Every job begins with a coin toss that no graph names.
ANY_STEP = r"^(coin toss|[a-z][a-z0-9_-]{0,62})$"
ARTIFACT_NAME = r"^[a-z0-9]([a-z0-9_.-]{0,126}[a-z0-9])?$"
DATA_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
PARTY_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
USER_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
MODEL_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
DIGEST = r"^[0-9a-f]{64}$"
# Printable text of one line; text of several may hold line feeds and tabs.
LINE = r"^[^\x00-\x1f\x7f]*$"
LINES = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"

Line = Annotated[str, Field(max_length=256, pattern=LINE)]
Lines = Annotated[str, Field(max_length=4096, pattern=LINES)]
DataName = Annotated[str, Field(pattern=DATA_NAME)]
PartyName = Annotated[str, Field(pattern=PARTY_NAME)]
UserName = Annotated[str, Field(pattern=USER_NAME)]
StepName = Annotated[str, Field(pattern=STEP_NAME)]
ColumnName = Annotated[str, Field(min_length=1, max_length=256, pattern=LINE)]
Digest = Annotated[str, Field(pattern=DIGEST)]
JobId = Annotated[str, Field(pattern=JOB_ID)]
ModelId = Annotated[str, Field(pattern=MODEL_ID)]
AnyStep = Annotated[str, Field(pattern=ANY_STEP)]
# What fits a header and a file; an end at which a calendar still has years.
TokenText = Annotated[str, Field(max_length=512, pattern=r"^[!-~]+$")]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=LINE)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=32)]
RoleName = Literal["viewer", "modeller", "data owner", "approver", "auditor", "administrator"]
JobState = Literal[
    "awaiting approval", "waiting", "running", "success", "failed", "cancelled", "refused"
]
Stage = Literal["candidate", "published", "archived"]
Form = Literal["csv", "parquet", "ipc"]


class Asked(BaseModel):
    """A request's body: frozen, unknown fields refused, types not guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Given(BaseModel):
    """An answer: frozen; what a service reports beyond these fields is left out."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        from_attributes=True,
        json_schema_extra={"additionalProperties": False},
    )


class ErrorBody(Given):
    """What went wrong; ``code`` has a page in the documentation."""

    code: str = Field(pattern=r"^ATL-[A-Z]{2,4}-[0-9]{3}$")
    kind: str
    message: str
    party: str | None = None
    phase: str | None = None
    place: str | None = None
    hint: str | None = None


class ErrorAnswer(Given):
    """The body of every answer that is not a success."""

    error: ErrorBody

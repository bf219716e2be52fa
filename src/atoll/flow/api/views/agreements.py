"""Standing agreements, and the job that proposes one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, RootModel

from atoll.flow.api.views.base import Asked, ColumnName, DataName, Given, Line, Lines, PartyName
from atoll.flow.policy.grants import MOST_NAMES
from atoll.jobs.plan import DAY

MOST_FIELDS = 256

AGREEMENT_ID = r"^[0-9]{14}-[0-9a-f]{8}\.[a-z][a-z0-9_-]{0,62}$"
AgreementState = Literal["live", "ended", "over", "used up"]


class AgreementView(Given):
    """A standing agreement as this node holds it.

    ``party`` may ask, ``per_day`` and ``most`` bound the units a UTC day and in all, ``until`` is
    the last day. ``used_today`` and ``used`` are what this node counted.
    """

    id: Annotated[str, Field(pattern=AGREEMENT_ID)]
    job: str
    step: str
    party: str
    state: AgreementState
    until: str
    unit: str
    per_day: int
    most: int
    used_today: int
    used: int
    model: str = ""
    version: int = 0
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    plan_digest: str
    created: float
    ended: float | None = None
    ended_by: str | None = None
    reason: str | None = None


class AgreementPage(Given):
    """A page of standing agreements."""

    items: tuple[AgreementView, ...]
    next: str | None = None


class EndRequest(Asked):
    """Why an agreement is ended; the reason stays at this node."""

    reason: Lines = ""


class StandingRequest(RootModel[Annotated[dict[Line, JsonValue], Field(max_length=MOST_FIELDS)]]):
    """A request under a standing agreement, in the form that its component takes."""


class AgreementJobRequest(Asked):
    """What is proposed: tables by party (the guest's may be missing), bounds, the last day.

    ``columns`` are those that a party lets be used (a party that is not named: all of its table),
    ``id`` is the column of the row ids.
    """

    tables: Annotated[dict[PartyName, DataName], Field(min_length=1, max_length=64)]
    per_day: Annotated[int, Field(strict=True, ge=1, lt=1 << 40)]
    most: Annotated[int, Field(strict=True, ge=1, lt=1 << 40)]
    until: Annotated[str, Field(pattern=DAY)]
    columns: dict[PartyName, Annotated[tuple[ColumnName, ...], Field(max_length=MOST_NAMES)]] = (
        Field(default_factory=dict, max_length=64)
    )
    id: ColumnName = "id"

    def terms(self) -> dict[str, Any]:
        """Return all but the tables, as parameters of the component."""
        return self.model_dump(mode="json", exclude={"tables"}, exclude_defaults=True)

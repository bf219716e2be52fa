"""What a client has done under its terms, on its own disk: it counts before an answer leaves it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atoll.core.errors import UserError
from atoll.core.files import atomic_output
from atoll.learning.horizontal.population.terms import PopulationTerms

USED_TODAY, USED_UP, LAST_DAY = "ATL-POP-024", "ATL-POP-025", "ATL-POP-026"
_BYTES = 4096

Count = Annotated[int, Field(ge=0)]


class Counts(BaseModel):
    """Tasks in all, those of the last day that was counted on, and the token of the last one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: Count = 0
    day: date = date.min
    today: Count = 0
    token: str = ""


@dataclass
class Book:
    """The counts in a file. ``wall`` is the time of day; a clock that is set back gives no day
    twice.
    """

    path: Path
    terms: PopulationTerms
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)

    def counts(self) -> Counts:
        """Return what was counted. Errors: ATL-POP-027 the file is damaged."""
        try:
            with self.path.open("rb") as stream:
                data = stream.read(_BYTES)
        except FileNotFoundError:
            return Counts()
        try:
            return Counts.model_validate_json(data)
        except ValidationError as error:
            raise UserError(
                "ATL-POP-027",
                "the count of this client's tasks is damaged",
                place=os.path.basename(self.path),
                hint="how much it has done is not known: leave, and join with another code",
            ) from error

    def require(self) -> Counts:
        """Return the counts as of today if the terms allow one more task.

        Errors: ATL-POP-024 none today, ATL-POP-025 none at all, ATL-POP-026 their last day passed.
        """
        known, terms = self.counts(), self.terms
        day = max(self.wall().date(), known.day)
        if day > terms.until:
            raise UserError(LAST_DAY, f"the terms ended on {terms.until}")
        if known.tasks >= terms.tasks:
            raise UserError(USED_UP, f"all {terms.tasks} tasks of the terms are done")
        today = known.today if day == known.day else 0
        if today >= terms.tasks_per_day:
            raise UserError(USED_TODAY, f"all {terms.tasks_per_day} tasks of the day are done")
        return known.model_copy(update={"day": day, "today": today})

    def spent(self, token: bytes) -> bool:
        """Return whether an answer to this task may have left already."""
        return self.counts().token == token.hex()

    def spend(self, token: bytes) -> None:
        """Count a task, durably, before anything of its answer leaves. Errors: see ``require``."""
        now = self.require()
        counted = {"tasks": now.tasks + 1, "today": now.today + 1, "token": token.hex()}
        after = now.model_copy(update=counted)
        with atomic_output(self.path) as stream:
            stream.write(json.dumps(after.model_dump(mode="json")).encode())

    def seconds_to_tomorrow(self) -> float:
        """Return the seconds until the next day begins (UTC)."""
        now = self.wall()
        return 86400.0 - (now.hour * 3600 + now.minute * 60 + now.second)

"""What a client has done under its terms, on its own disk: it counts before an answer leaves it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atoll.core.errors import UserError
from atoll.core.files import atomic_output
from atoll.learning.horizontal.population.terms import PopulationTerms

USED_TODAY, USED_UP, LAST_DAY = "ATL-POP-024", "ATL-POP-025", "ATL-POP-026"
# Data sets that are counted apart; a client whose file changes daily has these for years.
MOST_SETS = 1024
_BYTES = 1 << 18

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(max_length=64)]


class Counts(BaseModel):
    """Tasks in all, those of the last day that was counted on, and the token of the last one.

    A task may have shown the aggregator an update from the moment on that it is in ``tasks``;
    ``answered`` entered a round, ``refused`` were not taken, ``failed`` were not done. ``sets`` has
    the tasks by the digest of the rows, and those of sets that are counted apart no more are in
    ``others``. ``sent`` are the bytes of all requests, but for the last before a crash.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: Count = 0
    day: date = date.min
    today: Count = 0
    token: str = ""
    answered: Count = 0
    refused: Count = 0
    failed: Count = 0
    sent: Count = 0
    sets: dict[Digest, Count] = Field(default_factory=dict, max_length=MOST_SETS)
    others: Count = 0

    def with_set(self, digest: str) -> Counts:
        """Return these counts with one task more of this data set, which then is the last.

        A set that was not counted apart may have been among the others: it begins with theirs.
        """
        sets = dict(self.sets)
        sets[digest] = sets.pop(digest, self.others) + 1
        others = self.others
        while len(sets) > MOST_SETS:
            others += sets.pop(next(iter(sets)))
        return self.model_copy(update={"sets": sets, "others": others})


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

    def spend(self, token: bytes, data: str) -> None:
        """Count a task on rows of this digest, durably, before anything of its answer leaves.

        Errors: see ``require``.
        """
        now = self.require().with_set(data)
        counted = {"tasks": now.tasks + 1, "today": now.today + 1, "token": token.hex()}
        self._keep(now.model_copy(update=counted))

    def note(self, what: Literal["answered", "refused", "failed", "sent"], more: int = 1) -> None:
        """Count what became of a task, or bytes that were sent."""
        now = self.counts()
        self._keep(now.model_copy(update={what: getattr(now, what) + more}))

    def _keep(self, counts: Counts) -> None:
        with atomic_output(self.path) as stream:
            stream.write(json.dumps(counts.model_dump(mode="json")).encode())

    def seconds_to_tomorrow(self) -> float:
        """Return the seconds until the next day begins (UTC)."""
        now = self.wall()
        return 86400.0 - (now.hour * 3600 + now.minute * 60 + now.second)

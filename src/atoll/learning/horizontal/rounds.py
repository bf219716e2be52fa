"""When a round closes, and which answers it takes. The same rules hold on a real clock."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.learning.horizontal.selection.pool import Clients, Floats

LATE, REPEATED, UNASKED = "ATL-HOR-034", "ATL-HOR-035", "ATL-HOR-036"


class Closing(BaseModel):
    """When a round closes: once all are accounted for, or by progress, or at its limit.

    By progress: ``first`` clients answered; or a ``share`` of those asked did and ``seconds`` have
    passed. What comes afterwards is late.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int | None = Field(
        default=None, ge=1, le=1 << 20, description="answers that are enough; empty: all"
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="of the clients asked, enough once seconds passed"
    )
    seconds: float = Field(default=0.0, ge=0, le=1e9, description="before a share is enough")
    limit: float | None = Field(
        default=None, gt=0, le=1e9, description="seconds after which a round closes anyway"
    )

    def closed(self, asked: int, answered: int, lost: int, elapsed: float) -> bool:
        """Return whether a round is over, by its counts and the seconds since it began.

        ``lost`` are clients known to have failed or gone.
        """
        if answered + lost >= asked or (self.limit is not None and elapsed >= self.limit):
            return True
        if self.first is not None and answered >= self.first:
            return True
        return answered >= math.ceil(self.share * asked) and elapsed >= self.seconds

    def closes_at(self, arrivals: Floats, losses: Floats) -> float:
        """Return when a round of all these clients closes, in seconds from its beginning.

        ``arrivals`` (float64[n]) are the times of answers, ``losses`` (float64[m]) those at which
        the others are known to be lost; n + m were asked.
        """
        arrivals, losses = np.sort(arrivals), np.sort(losses)
        bounds = [0.0, self.seconds] if self.limit is None else [0.0, self.seconds, self.limit]
        moments = np.unique(np.concatenate([arrivals, losses, bounds]))
        answered = np.searchsorted(arrivals, moments, side="right").tolist()
        lost = np.searchsorted(losses, moments, side="right").tolist()
        asked = len(arrivals) + len(losses)
        for moment, had, gone in zip(moments.tolist(), answered, lost, strict=True):
            if self.closed(asked, had, gone, moment):
                return float(moment)
        return float(moments[-1])


class Collector:
    """Takes the answers of one round: one of each client that was asked, by its two numbers.

    An answer carries the number of its round and of its client. ``refused`` counts, by code, those
    of another round, repeated ones and those of clients that were not asked; none of them enters.
    """

    def __init__(self, round_: int, chosen: Clients) -> None:
        self._round = round_
        self._waiting = set(chosen.tolist())
        self._asked = frozenset(self._waiting)
        self._closed = False
        self.refused: Counter[str] = Counter()

    @property
    def waiting(self) -> frozenset[int]:
        """The clients that have not answered yet."""
        return frozenset(self._waiting)

    def awaits(self, number: int) -> bool:
        """Return whether this client's answer is still to come."""
        return number in self._waiting

    def admit(self, round_: int, number: int) -> bool:
        """Return whether this answer enters the round; count it as refused where it does not."""
        return not self.verdict(round_, number)

    def verdict(self, round_: int, number: int) -> str:
        """Take an answer as ``admit`` does; return the code of its refusal, empty if it enters."""
        code = ""
        if round_ != self._round or (self._closed and number in self._waiting):
            code = LATE
        elif number not in self._asked:
            code = UNASKED
        elif number not in self._waiting:
            code = REPEATED
        if code:
            self.refused[code] += 1
        else:
            self._waiting.remove(number)
        return code

    def drop(self, number: int) -> None:
        """Wait no more for a client that is known to be lost: its answer would be a second one."""
        self._waiting.discard(number)

    def close(self) -> None:
        """Take no more answers: those that come from now on are late."""
        self._closed = True

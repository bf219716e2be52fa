"""Who of a population's members is there, and how long each stays away; the time is handed in."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.conditions import Condition, Eligibility
from atoll.learning.horizontal.rounds import LATE, Closing
from atoll.learning.horizontal.selection.pool import Clients, Flags, Floats

REMOVED, NOT_FETCHED, NOT_ANSWERED = "ATL-POP-004", "ATL-POP-005", "ATL-POP-006"
TOKEN_BYTES = 16
_JITTER = 0.25
_NEVER = -math.inf


class Pace(BaseModel):
    """How long clients stay away between two check-ins, so that about ``rate`` come a second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: float = Field(default=2.0, gt=0, le=86400, description="seconds at least")
    most: float = Field(default=300.0, gt=0, le=86400, description="seconds at most")
    rate: float = Field(default=50.0, gt=0, le=1e6, description="check-ins a second, on average")
    grace: float = Field(
        default=10.0, gt=0, le=86400, description="seconds late after which a client is away"
    )

    def wait(self, members: int, draw: float) -> float:
        """Return seconds for one of so many members; ``draw`` is uniform from 0 to 1."""
        base = min(self.most, max(self.least, members / self.rate))
        return base * (1 - _JITTER + 2 * _JITTER * draw)


class RoundRules(BaseModel):
    """How rounds of a population go: who may be drawn, and how long each step may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pace: Pace = Pace()
    closing: Closing = Closing(limit=600.0)
    fetch: float = Field(
        default=60.0, gt=0, le=1e6, description="seconds in which a drawn client fetches its task"
    )
    window: float = Field(
        default=30.0, ge=0, le=1e6, description="seconds to gather more than the fewest clients"
    )

    @property
    def limit(self) -> float:
        """Seconds that a round lasts at most. Errors: ATL-POP-007 there is no limit."""
        if self.closing.limit is None:
            raise UserError(
                "ATL-POP-007",
                "a round over a population needs a limit",
                place="closing.limit",
                hint="clients vanish without a word: state after how many seconds a round closes",
            )
        return self.closing.limit


@dataclass(frozen=True)
class Assignment:
    """One client's task: the number of the round and the token that its answer carries."""

    round: int
    token: bytes


@dataclass(frozen=True)
class Visit:
    """What a check-in is answered: a task, or for how many seconds to stay away.

    ``lacks`` names the rules that the client's condition does not meet.
    """

    wait: float
    lacks: tuple[str, ...] = ()
    task: Assignment | None = None


class Attendance(ABC):
    """Members by number, and who of them is present; kinds of it say who has a task.

    A token is fresh for each client and task, so that an answer to a task of before (the aggregator
    was restarted) is late. No update enters twice.
    """

    def __init__(self, rules: RoundRules, eligibility: Eligibility, secret: SecretRandom) -> None:
        self.rules, self._eligibility, self._secret = rules, eligibility, secret
        self._limit = rules.limit
        self._until = np.empty(0)
        self._ended: set[int] = set()
        self._count = 0
        self._pace = np.random.default_rng(int.from_bytes(secret.bytes(16), "big"))

    @property
    def registered(self) -> int:
        """How many members there ever were; they are numbered from 0."""
        return self._count

    def register(self, number: int) -> None:
        """Count members up to ``number``."""
        self._count = max(self._count, number + 1)
        if self._count > len(self._until):
            grown = np.full(max(64, 2 * self._count), _NEVER)
            grown[: len(self._until)] = self._until
            self._until = grown

    def end(self, number: int) -> None:
        """Take a member out for good; if it has a task, the task is lost."""
        self._ended.add(number)
        if number < self._count:
            self._until[number] = _NEVER
        self._lose(number, REMOVED)

    def check_in(self, number: int, condition: Condition, now: float, slowed: float = 1.0) -> Visit:
        """Answer a member that asks what to do, one that is ``slowed`` so many times.

        Errors: ATL-POP-004 it is none, or was removed.
        """
        self._require(number)
        lacks = tuple(self._eligibility.lacks(condition))
        task = self._task(number, now, fit=not lacks)
        if task is not None and not lacks:
            return Visit(0.0, task=task)
        if task is not None:
            # Its machine changed since it was drawn; it need not be waited for.
            self._lose(number, NOT_FETCHED)
        wait = self.rules.pace.wait(self._count, float(self._pace.random()))
        wait = max(wait, min(wait * slowed, self.rules.pace.most))
        away = lacks or number in self._ended
        self._until[number] = _NEVER if away else now + wait + self.rules.pace.grace
        return Visit(wait, lacks)

    def present(self, numbers: Clients, now: float) -> Flags:
        """Return which members (int64[n]) may be drawn, bool[n]: those due back soon.

        Each is to come within ``fetch`` seconds, so that a round does not wait for those that were
        sent away for longer.
        """
        return self._due(self._until[numbers], now)

    def count_present(self, now: float) -> int:
        """Return how many members may be drawn now."""
        return int(np.count_nonzero(self._due(self._until[: self._count], now)))

    def _due(self, until: Floats, now: float) -> Flags:
        due: Flags = (until >= now) & (until - self.rules.pace.grace <= now + self.rules.fetch)
        return due

    @abstractmethod
    def at_work(self, number: int) -> bool:
        """Return whether a client has fetched a task that it has not answered."""

    @abstractmethod
    def holds(self, number: int, token: bytes) -> bool:
        """Return whether this is the token of an unanswered task that the client fetched."""

    @abstractmethod
    def answer(self, number: int, token: bytes, now: float) -> str:
        """Count an answer; return the code of its refusal, empty if it enters.

        Errors: ATL-POP-004.
        """

    @abstractmethod
    def fail(self, number: int, token: bytes, code: str) -> bool:
        """Note that a client cannot do its task; return whether it had one to lose."""

    @abstractmethod
    def seconds_left(self, number: int, now: float) -> float:
        """Return how long a client's task lasts at most from now on, 0 where it has none."""

    @abstractmethod
    def round_of(self, number: int) -> int | None:
        """Return the round whose model the client of a task is sent."""

    def refusal(self, number: int, token: bytes | None = None) -> str:
        """Return the code for a part of an answer to a task that the client does not hold.

        Without the ``token``, which was not read, it is taken for a part of its last task.
        """
        return LATE

    @abstractmethod
    def _task(self, number: int, now: float, *, fit: bool) -> Assignment | None:
        """Return the task of a client that checks in; ``fit`` ones may be handed a new one."""

    @abstractmethod
    def _lose(self, number: int, code: str) -> bool:
        """Take a client's task from it; return whether it had one."""

    def _require(self, number: int) -> None:
        if not 0 <= number < self._count or number in self._ended:
            raise UserError(
                REMOVED,
                "this client is no member of the population, or no more",
                hint="ask the aggregator's people for another code",
            )

"""The rounds of a population as a pure state machine: who is there, who has a task, what counts.

Every method is handed the time (seconds on one clock that never runs backwards) and returns what to
answer; nothing here waits, sends, or reads a clock. Whoever owns a coordinator calls it from one
thread at a time.

Source: Bonawitz et al., "Towards Federated Learning at Scale: System Design" (MLSys 2019), for
check-ins, over-selection and pace steering.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.conditions import Condition, Eligibility
from atoll.learning.horizontal.rounds import LATE, Closing, Collector
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


@dataclass(frozen=True)
class Closed:
    """A round that is over: who answered, who failed with which code, what was refused."""

    round: int
    asked: int
    answered: tuple[int, ...]
    failures: Mapping[int, str]
    refused: Mapping[str, int]
    seconds: float


@dataclass
class _Open:
    """The round that is under way. Each client asked is answered, lost, or in ``waiting``."""

    round: int
    began: float
    collector: Collector
    tokens: dict[int, bytes]
    fetched: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    failures: dict[int, str] = field(default_factory=dict)


class Coordinator:
    """Members by number, who of them is present, and one round at a time.

    A token is fresh for each client and round, so that an answer of a former attempt at the same
    round (the aggregator was restarted) is late. No update enters twice.
    """

    def __init__(self, rules: RoundRules, eligibility: Eligibility, secret: SecretRandom) -> None:
        self.rules, self._eligibility, self._secret = rules, eligibility, secret
        self._limit = rules.limit
        self._until = np.empty(0)
        self._ended: set[int] = set()
        self._count = 0
        self._open: _Open | None = None
        self._strays: Counter[str] = Counter()
        self._pace = np.random.default_rng(int.from_bytes(secret.bytes(16), "big"))

    @property
    def registered(self) -> int:
        """How many members there ever were; they are numbered from 0."""
        return self._count

    @property
    def busy(self) -> bool:
        """Whether a round is open."""
        return self._open is not None

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
        task = self._task(number)
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

    def begin(self, round_: int, chosen: Clients, now: float) -> None:
        """Open a round for these clients (int64[n]). Errors: ATL-POP-008 one is open."""
        if self._open is not None:
            raise UserError("ATL-POP-008", "a round of this population is open already")
        tokens = {int(number): self._secret.bytes(TOKEN_BYTES) for number in chosen}
        self._open = _Open(round_, now, Collector(round_, chosen), tokens)
        for number in self._ended & tokens.keys():
            self._lose(number, REMOVED)

    def holds(self, number: int, token: bytes) -> bool:
        """Return whether this is the token of an unanswered task that the client fetched."""
        open_ = self._open
        return (
            open_ is not None
            and number in open_.fetched
            and open_.collector.awaits(number)
            and open_.tokens[number] == token
        )

    def answer(self, number: int, token: bytes, now: float) -> str:
        """Count an answer; return the code of its refusal, empty if it enters the round.

        Errors: ATL-POP-004.
        """
        self._require(number)
        open_ = self._open
        if open_ is None:
            self._strays[LATE] += 1
            return LATE
        known = open_.tokens.get(number, token)
        # A token of another time is of another round, whatever number that had.
        round_ = open_.round if known == token else -1
        late = now - open_.began >= self._limit
        if late:
            open_.collector.close()
        code = open_.collector.verdict(round_, number)
        if not code:
            open_.answered.add(number)
        return code

    def fail(self, number: int, token: bytes, code: str) -> bool:
        """Note that a client cannot do its task; return whether it had one to lose."""
        open_ = self._open
        if open_ is None or open_.tokens.get(number) != token:
            return False
        return self._lose(number, code)

    def over(self, now: float) -> bool:
        """Return whether the open round may be closed; clients that did not fetch are lost."""
        open_ = self._open
        if open_ is None:
            return True
        elapsed = now - open_.began
        if elapsed >= self.rules.fetch:
            for number in open_.collector.waiting - open_.fetched:
                self._lose(number, NOT_FETCHED)
        counts = len(open_.tokens), len(open_.answered), len(open_.failures)
        return self.rules.closing.closed(*counts, elapsed)

    def next_moment(self, now: float) -> float:
        """Return in how many seconds at most the open round changes by time alone."""
        open_ = self._open
        if open_ is None:
            return 0.0
        elapsed = now - open_.began
        moments = (self.rules.fetch, self.rules.closing.seconds, self._limit)
        return min((m - elapsed for m in moments if m > elapsed), default=0.0)

    def seconds_left(self, now: float) -> float:
        """Return how long the open round lasts at most from now on, 0 where none is open."""
        return 0.0 if self._open is None else max(0.0, self._open.began + self._limit - now)

    def close(self, now: float) -> Closed:
        """End the open round: who has not answered failed. Errors: ATL-POP-008 none is open."""
        open_ = self._open
        if open_ is None:
            raise UserError("ATL-POP-008", "no round of this population is open")
        for number in open_.collector.waiting:
            code = NOT_ANSWERED if number in open_.fetched else NOT_FETCHED
            open_.failures[number] = code
        self._open = None
        refused = open_.collector.refused + self._strays
        self._strays = Counter()
        answered = tuple(sorted(open_.answered))
        asked, seconds = len(open_.tokens), now - open_.began
        return Closed(open_.round, asked, answered, open_.failures, dict(refused), seconds)

    def _task(self, number: int) -> Assignment | None:
        open_ = self._open
        if open_ is None or not open_.collector.awaits(number):
            return None
        open_.fetched.add(number)
        return Assignment(open_.round, open_.tokens[number])

    def _lose(self, number: int, code: str) -> bool:
        open_ = self._open
        if open_ is None or not open_.collector.awaits(number):
            return False
        open_.collector.drop(number)
        open_.failures[number] = code
        return True

    def _require(self, number: int) -> None:
        if not 0 <= number < self._count or number in self._ended:
            raise UserError(
                REMOVED,
                "this client is no member of the population, or no more",
                hint="ask the aggregator's people for another code",
            )

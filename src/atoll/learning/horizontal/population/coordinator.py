"""The rounds of a population as a pure state machine: who has a task, and what counts.

Every method is handed the time (seconds on one clock that never runs backwards) and returns what to
answer; nothing here waits, sends, or reads a clock. Whoever owns a coordinator calls it from one
thread at a time.

Source: Bonawitz et al., "Towards Federated Learning at Scale: System Design" (MLSys 2019), for
check-ins, over-selection and pace steering.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.conditions import Eligibility
from atoll.learning.horizontal.population.attendance import (
    NOT_ANSWERED,
    NOT_FETCHED,
    REMOVED,
    TOKEN_BYTES,
    Assignment,
    Attendance,
    RoundRules,
)
from atoll.learning.horizontal.rounds import LATE, Collector
from atoll.learning.horizontal.selection.pool import Clients


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


class Coordinator(Attendance):
    """One round at a time."""

    def __init__(self, rules: RoundRules, eligibility: Eligibility, secret: SecretRandom) -> None:
        super().__init__(rules, eligibility, secret)
        self._open: _Open | None = None
        self._strays: Counter[str] = Counter()

    @property
    def busy(self) -> bool:
        """Whether a round is open."""
        return self._open is not None

    def begin(self, round_: int, chosen: Clients, now: float) -> None:
        """Open a round for these clients (int64[n]). Errors: ATL-POP-008 one is open."""
        if self._open is not None:
            raise UserError("ATL-POP-008", "a round of this population is open already")
        tokens = {int(number): self._secret.bytes(TOKEN_BYTES) for number in chosen}
        self._open = _Open(round_, now, Collector(round_, chosen), tokens)
        for number in self._ended & tokens.keys():
            self._lose(number, REMOVED)

    def end(self, number: int) -> None:
        """See ``Attendance.end``; an answer of it in the open round is left out, too."""
        super().end(number)
        open_ = self._open
        if open_ is not None and number in open_.answered:
            open_.answered.remove(number)
            open_.failures[number] = REMOVED

    def at_work(self, number: int) -> bool:
        """See ``Attendance.at_work``."""
        open_ = self._open
        return open_ is not None and number in open_.fetched and open_.collector.awaits(number)

    def holds(self, number: int, token: bytes) -> bool:
        """See ``Attendance.holds``."""
        open_ = self._open
        return open_ is not None and self.at_work(number) and open_.tokens[number] == token

    def answer(self, number: int, token: bytes, now: float) -> str:
        """See ``Attendance.answer``: it enters its own round."""
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
        """See ``Attendance.fail``."""
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

    def seconds_left(self, number: int, now: float) -> float:
        """See ``Attendance.seconds_left``: as long as the round does."""
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

    def round_of(self, number: int) -> int | None:
        """See ``Attendance.round_of``."""
        return None if self._open is None else self._open.round

    def _task(self, number: int, now: float, *, fit: bool) -> Assignment | None:
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

"""Asynchronous training of a population as a pure state machine: a step whenever enough answered.

Whoever checks in fit while fewer are at work than may be gets a task, on the weights of that
moment. Its answer counts whenever it comes, unless too many steps or seconds were done meanwhile.
Source: Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation" (AISTATS 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.asynchronous import STALE, FedBuff
from atoll.learning.horizontal.conditions import Eligibility
from atoll.learning.horizontal.population.attendance import (
    NOT_ANSWERED,
    REMOVED,
    TOKEN_BYTES,
    Assignment,
    Attendance,
    RoundRules,
)
from atoll.learning.horizontal.rounds import LATE, REPEATED


@dataclass(frozen=True)
class _Flight:
    """A task under way: the step on whose weights the client trains, and until when."""

    version: int
    token: bytes
    until: float


@dataclass(frozen=True)
class Taken:
    """A full buffer: who answered, in the order of arrival, with the weight of each by staleness.

    ``failures`` and ``refused`` are those since the step before.
    """

    weights: Mapping[int, float]
    failures: Mapping[int, str]
    refused: Mapping[str, int]


class Buffer(Attendance):
    """Tasks under way, and answers that no step has taken yet; at most one of each of a client.

    All of it lives in memory alone: after a restart what was answered to former tokens is late, so
    that no update is in two steps.
    """

    def __init__(
        self, rules: RoundRules, eligibility: Eligibility, secret: SecretRandom, plan: FedBuff
    ) -> None:
        super().__init__(rules, eligibility, secret)
        self.plan = plan
        self._version: int | None = None
        self._flights: dict[int, _Flight] = {}
        self._waiting: dict[int, int] = {}
        self._failures: dict[int, str] = {}
        self._refused: Counter[str] = Counter()
        # The last task of each client that is over, and the code for what still comes of it.
        self._over: dict[int, tuple[bytes, str]] = {}

    @property
    def full(self) -> bool:
        """Whether a step may be done."""
        return len(self._waiting) >= self.plan.buffer

    @property
    def versions(self) -> frozenset[int]:
        """The steps whose weights clients of tasks under way may ask for."""
        return frozenset(flight.version for flight in self._flights.values())

    def begin(self, version: int, now: float) -> None:
        """Hand out the weights of this step from now on; tasks that are too old are over.

        So are answers that waited too long for a step to take them.
        """
        self._version = version
        oldest = version - self.plan.most_stale
        for number, flight in list(self._flights.items()):
            if flight.version < oldest:
                self._lose(number, STALE)
        for number, began in list(self._waiting.items()):
            if began < oldest:
                del self._waiting[number]
                self._failures[number] = STALE
        self.expire(now)

    def expire(self, now: float) -> None:
        """Wait no more for clients whose time is over."""
        # The earliest begun end first.
        while self._flights:
            number, flight = next(iter(self._flights.items()))
            if flight.until > now:
                break
            self._lose(number, NOT_ANSWERED)

    def next_moment(self, now: float) -> float:
        """Return in how many seconds at most a task is over by time alone."""
        first = next(iter(self._flights.values()), None)
        return self._limit if first is None else first.until - now

    @property
    def waiting(self) -> frozenset[int]:
        """The clients whose answers no step has taken yet."""
        return frozenset(self._waiting)

    def take(self) -> Taken:
        """Return a full buffer. Errors: ATL-POP-008 it is not full."""
        if self._version is None or not self.full:
            raise UserError("ATL-POP-008", "the buffer of this population is not full")
        numbers = list(self._waiting)[: self.plan.buffer]
        weights = {n: self.plan.weight(self._version - self._waiting.pop(n)) for n in numbers}
        failures, self._failures = self._failures, {}
        refused, self._refused = self._refused, Counter()
        return Taken(weights, failures, dict(refused))

    def end(self, number: int) -> None:
        """See ``Attendance.end``; an answer of it that no step has taken is left out, too."""
        super().end(number)
        if self._waiting.pop(number, None) is not None:
            self._failures[number] = REMOVED

    def at_work(self, number: int) -> bool:
        """See ``Attendance.at_work``."""
        return number in self._flights

    def holds(self, number: int, token: bytes) -> bool:
        """See ``Attendance.holds``."""
        flight = self._flights.get(number)
        return flight is not None and flight.token == token

    def refusal(self, number: int, token: bytes | None = None) -> str:
        """See ``Attendance.refusal``: whether the answer came before, or is too old."""
        former, code = self._over.get(number, (b"", LATE))
        return code if token in (former, None) else LATE

    def answer(self, number: int, token: bytes, now: float) -> str:
        """See ``Attendance.answer``: it enters the buffer."""
        self._require(number)
        self.expire(now)
        flight = self._flights.get(number)
        if flight is None or flight.token != token:
            code = self.refusal(number, token)
            self._refused[code] += 1
            return code
        del self._flights[number]
        self._over[number] = token, REPEATED
        self._waiting[number] = flight.version
        return ""

    def fail(self, number: int, token: bytes, code: str) -> bool:
        """See ``Attendance.fail``."""
        return self.holds(number, token) and self._lose(number, code)

    def seconds_left(self, number: int, now: float) -> float:
        """See ``Attendance.seconds_left``."""
        flight = self._flights.get(number)
        return 0.0 if flight is None else max(0.0, flight.until - now)

    def round_of(self, number: int) -> int | None:
        """See ``Attendance.round_of``."""
        flight = self._flights.get(number)
        return None if flight is None else flight.version

    def _task(self, number: int, now: float, *, fit: bool) -> Assignment | None:
        self.expire(now)
        flight = self._flights.get(number)
        if flight is None and fit and self._has_room(number) and self._version is not None:
            token = self._secret.bytes(TOKEN_BYTES)
            flight = self._flights[number] = _Flight(self._version, token, now + self._limit)
        return None if flight is None else Assignment(flight.version, flight.token)

    def _has_room(self, number: int) -> bool:
        """Return whether a client may begin: updates in memory are bounded, one of each client."""
        at_work, waiting = len(self._flights), len(self._waiting)
        most = self.plan.concurrency
        bounded = at_work < most and at_work + waiting < most + self.plan.buffer
        return bounded and number not in self._waiting and number not in self._ended

    def _lose(self, number: int, code: str) -> bool:
        flight = self._flights.pop(number, None)
        if flight is None:
            return False
        self._over[number] = flight.token, STALE if code == STALE else LATE
        self._failures[number] = code
        return True

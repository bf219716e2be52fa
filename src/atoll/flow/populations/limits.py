"""What one member, one address and all strangers together may ask of a population's server.

Whoever asks for more is slowed first and then refused, before the body of the request is read.
Each allowance is a token bucket of its own, so that no member pays for another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable

from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import PeerError
from atoll.jobs.errors import DeniedError
from atoll.learning.horizontal.asynchronous import STALE
from atoll.learning.horizontal.rounds import LATE, REPEATED

ASKS_TOO_OFTEN, SENDS_TOO_MUCH = "ATL-POP-032", "ATL-POP-033"
DOES_NOT_COUNT, TRIES_TOO_OFTEN = "ATL-POP-034", "ATL-POP-035"
REFUSALS = frozenset({ASKS_TOO_OFTEN, SENDS_TOO_MUCH, DOES_NOT_COUNT, TRIES_TOO_OFTEN})
MOST_KEYS = 1 << 16
# Requests that a task takes beside its pieces, and how often its bytes may cross.
_TASK_REQUESTS, _TASK_BYTES = 4, 3
_SPARE_BYTES, _BYTES_A_SECOND = 8 << 20, 64 << 10
# Issuing a certificate costs more than an answer.
_COSTS = {"renew": 10}
_NO_FAULT = frozenset({"", LATE, REPEATED, STALE})
_PIECES = frozenset({"fetch", "piece"})


class LimitRules(BaseModel):
    """Allowances: how much at once, and how fast that comes back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: float = Field(default=60, ge=20, le=1e6, description="of a client at once")
    requests_a_second: float = Field(default=2, gt=0, le=1e6, description="of a client")
    useless: float = Field(
        default=10, ge=1, le=1e6, description="answers of a client at once that do not count"
    )
    useless_an_hour: float = Field(default=6, gt=0, le=1e6, description="of a client")
    attempts: float = Field(default=10, ge=1, le=1e6, description="of an address at once to join")
    attempts_an_hour: float = Field(default=60, gt=0, le=1e6, description="of an address")
    all_attempts: float = Field(default=1000, ge=1, le=1e9, description="of all addresses at once")
    all_attempts_an_hour: float = Field(default=3600, gt=0, le=1e9, description="of all addresses")


class Buckets:
    """A token bucket for each key: ``refill`` comes back a second, up to ``burst``.

    Full ones are forgotten. Beyond ``most`` keys all further ones share one bucket.
    """

    def __init__(self, burst: float, refill: float, most: int = MOST_KEYS) -> None:
        self.burst, self._refill, self._most = burst, refill, most
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def left(self, key: Hashable, now: float) -> float:
        """Return what a key may use now."""
        level, then = self._levels.get(self._of(key), (self.burst, now))
        return min(self.burst, level + self._refill * (now - then))

    def take(self, key: Hashable, amount: float, now: float) -> bool:
        """Use ``amount`` if it is there; return whether it was."""
        left = self.left(key, now)
        if left < amount:
            return False
        self._set(key, left - amount, now)
        return True

    def change(self, key: Hashable, amount: float, now: float) -> None:
        """Add an amount, or take one that may be less than 0; no debt is kept."""
        self._set(key, min(self.burst, max(0.0, self.left(key, now) + amount)), now)

    def prune(self, now: float) -> None:
        """Forget the buckets that are full again."""
        full = [key for key in self._levels if self.left(key, now) >= self.burst]
        for key in full:
            del self._levels[key]

    def _of(self, key: Hashable) -> Hashable:
        return key if key in self._levels or len(self._levels) < self._most else None

    def _set(self, key: Hashable, level: float, now: float) -> None:
        self._levels[self._of(key)] = level, now


class Limits:
    """The allowances of one server. ``task_bytes`` cross for a task, both ways together.

    Each method is handed the time, in seconds on a clock that never runs backwards.
    """

    def __init__(self, rules: LimitRules, least_pace: float, task_bytes: int, members: int) -> None:
        rate = max(rules.requests_a_second, 4 / least_pace)
        self._requests = Buckets(rules.requests, rate, members)
        self._task_bytes = _TASK_BYTES * task_bytes
        self._bytes = Buckets(self._task_bytes + _SPARE_BYTES, _BYTES_A_SECOND, members)
        self._useless = Buckets(rules.useless, rules.useless_an_hour / 3600, members)
        self._attempts = Buckets(rules.attempts, rules.attempts_an_hour / 3600)
        self._all = Buckets(rules.all_attempts, rules.all_attempts_an_hour / 3600)
        self._tokens: dict[int, bytes] = {}

    def admit(self, number: int, what: str, size: int, now: float) -> None:
        """Count a member's request, of whose body or answer ``size`` bytes are a model's.

        Errors: ATL-POP-032, ATL-POP-033, ATL-POP-034. To leave is always allowed.
        """
        if what == "leave":
            return
        if what in _PIECES:
            if not self._bytes.take(number, size, now):
                raise PeerError(SENDS_TOO_MUCH, "this client moves more bytes than its tasks need")
            return
        if not self._requests.take(number, _COSTS.get(what, 1), now):
            raise PeerError(ASKS_TOO_OFTEN, "this client asks too often")
        if what == "check-in" and self._useless.left(number, now) < 1:
            raise PeerError(DOES_NOT_COUNT, "too many answers of this client did not count")

    def unread(self, number: int, size: int, now: float) -> None:
        """Take back bytes of a member that were not read."""
        self._bytes.change(number, size, now)

    def slowed(self, number: int, now: float) -> float:
        """Return by what a member's time away is multiplied, 1 for one that does as it should."""
        useless = self._useless.burst - self._useless.left(number, now)
        often = self._requests.left(number, now) < self._requests.burst / 2
        return 2.0 ** min(32, int(useless)) * (4.0 if often else 1.0)

    def tasked(self, number: int, token: bytes, now: float) -> None:
        """Allow a member what its task needs; the same task again adds nothing."""
        if self._tokens.get(number) != token:
            self._tokens[number] = token
            self._requests.change(number, _TASK_REQUESTS, now)
            self._bytes.change(number, self._task_bytes, now)

    def answered(self, number: int, what: str, code: str, now: float) -> None:
        """Note what became of a member's message: ``code`` is empty where it was taken.

        A late answer is no fault, as rounds close on the slow, and nor is one that comes again, as
        its receipt may have been lost.
        """
        if what == "finish" and not code:
            self._useless.change(number, 1, now)
        elif what == "failed" or code not in _NO_FAULT:
            self._useless.change(number, -1, now)

    def admit_stranger(self, address: str, now: float) -> None:
        """Check that someone without a certificate may try. Errors: ATL-POP-035."""
        if min(self._attempts.left(_network(address), now), self._all.left("", now)) < 1:
            raise DeniedError(TRIES_TOO_OFTEN, "too many attempts to join were in vain")

    def failed_attempt(self, address: str, now: float) -> None:
        """Count an attempt in vain: against its address, and in all."""
        self._attempts.change(_network(address), -1, now)
        self._all.change("", -1, now)

    def prune(self, now: float) -> None:
        """Forget what is as if it had never been."""
        for buckets in (self._requests, self._bytes, self._useless, self._attempts):
            buckets.prune(now)


def _network(address: str) -> str:
    """Return whose address it is, as far as can be seen: IPv6 gives each line 2^64 of them."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)

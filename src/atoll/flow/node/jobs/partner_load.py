"""What one partner may make this node keep and do: bounds that count each partner by itself."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from atoll.core.errors import PeerError
from atoll.flow.control import JobRecord, Update
from atoll.flow.control.transition import halt

DAY = 86400.0
# Smaller updates are states of tasks and slots, by which jobs go on and end.
SMALL_BYTES = 4 << 10
# An end is taken in where there is no room: it makes some.
OVER_BYTES = 64 << 10
# A new job takes rows besides its document.
LEAST_BYTES = 32 << 10
# Ended jobs of which it is remembered that their partners hold all.
_REMEMBERED = 4096
# Ended jobs that are read again for one partner: at once, and each second.
_RELOADS, _RELOAD_SECONDS = 64, 16.0


class Allowance:
    """So much for each partner in ``seconds``, regained evenly. Any thread."""

    def __init__(
        self, most: float, seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._rate = most / seconds
        self._monotonic = monotonic
        self._spent: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def has(self, partner: str, amount: float = 1.0) -> bool:
        """Return whether a partner has so much left."""
        with self._lock:
            return self._now_spent(partner) + amount <= self._most

    def spend(self, partner: str, amount: float = 1.0) -> bool:
        """Take so much of what a partner has left; False if there is less, and nothing is taken."""
        with self._lock:
            spent = self._now_spent(partner)
            allowed = spent + amount <= self._most
            self._spent[partner] = (spent + amount if allowed else spent, self._monotonic())
            return allowed

    def _now_spent(self, partner: str) -> float:
        spent, moment = self._spent.get(partner, (0.0, 0.0))
        return max(0.0, spent - (self._monotonic() - moment) * self._rate)


@dataclass(frozen=True)
class LoadLimits:
    """Bytes that a partner sent of jobs at hand, and that it may send in a day."""

    at_hand: int = 128 << 20
    per_day: int = 2 << 30


class PartnerLoad:
    """Bytes that partners sent of jobs at hand that are not own ones. Control thread only."""

    def __init__(self, limits: LoadLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._sizes: dict[str, dict[str, int]] = {}
        self._sums: dict[str, int] = {}
        self._day = Allowance(limits.per_day, DAY, monotonic)
        self._updates = Allowance(limits.per_day // SMALL_BYTES, DAY, monotonic)
        self._reloads = Allowance(_RELOADS, _RELOAD_SECONDS, monotonic)
        self._ended: OrderedDict[str, tuple[int, tuple[str, ...]]] = OrderedDict()

    def note(self, record: JobRecord) -> None:
        """Count a job as it is now: what each partner sent of it, but of own jobs nothing."""
        self.drop(record.id)
        if record.drives:
            return
        sizes = {
            party: sum(map(len, facts.sections.values()))
            for party, facts in record.facts.items()
            if party != record.party
        }
        self._sizes[record.id] = sizes
        for party, size in sizes.items():
            self._sums[party] = self._sums.get(party, 0) + size

    def forget(self, record: JobRecord) -> None:
        """Count a job no more that is not at hand any longer; remember in few bytes how it was."""
        self.drop(record.id)
        self._ended[record.id] = (record.version, record.peers)
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def drop(self, job: str) -> None:
        """Count a job no more."""
        for party, size in self._sizes.pop(job, {}).items():
            self._sums[party] -= size

    def make_room(
        self, peer: str, record: JobRecord | None, update: Update, ended: Iterable[JobRecord]
    ) -> Iterator[JobRecord]:
        """Count what a partner sends of a job; yield the ended ones to let go of for it first.

        ``record`` is None for a new job. Errors: ATL-FLW-016 there is no room for it.
        """
        size = _size(update)
        if record is not None:
            known = record.drives or update.version <= record.held(peer)
            if known or size <= (OVER_BYTES if is_over(update) else SMALL_BYTES):
                return
        yield from self.let_go(peer, size, ended)
        if not self._day.spend(peer, size if record is not None else max(size, LEAST_BYTES)):
            raise full(peer, "sent too many or too large jobs within a day")

    def count_update(self, peer: str, record: JobRecord, update: Update) -> None:
        """Count that an update has a job written again, with events.

        Errors: ATL-FLW-016 too many in a day; the first end of a run is taken in all the same.
        """
        if record.drives or update.version <= record.held(peer):
            return
        ends = is_over(update) and halt(record) is None
        if not self._updates.spend(peer) and not ends:
            raise full(peer, "sent too many updates within a day")

    def let_go(self, partner: str, size: int, ended: Iterable[JobRecord]) -> Iterator[JobRecord]:
        """Yield ended jobs of a partner until there is room. Errors: ATL-FLW-016 none is left."""
        mine = (one for one in ended if partner in self._sizes.get(one.id, ()))
        while self._sums.get(partner, 0) + size > self._limits.at_hand:
            one = next(mine, None)
            if one is None:
                raise full(partner, "too large jobs here that have not ended")
            yield one

    def asks_in_vain(self, job: str, peer: str, version: int) -> bool:
        """Return whether a partner asks about an ended job of which there is nothing to send it."""
        held, peers = self._ended.get(job, (version + 1, (peer,)))
        return peer not in peers or version >= held

    def check_reload(self, peer: str) -> None:
        """Check that an ended job may be read again for a partner. Errors: ATL-FLW-016."""
        if not self._reloads.has(peer):
            raise full(peer, "asked for too many ended jobs at once")

    def reloaded(self, peer: str) -> None:
        """Count a job that was read again for a partner."""
        self._reloads.spend(peer)


def _size(update: Update) -> int:
    """Return how many bytes of facts an update holds."""
    return sum(len(data) for data in update.sections.values())


def is_over(update: Update) -> bool:
    """Return whether the sender's run is over by an update, or about to be."""
    return any(update.sections.get(name) for name in ("refusal", "stop", "end"))


def full(partner: str, what: str) -> PeerError:
    """Return the refusal of more than a partner may have here."""
    return PeerError(
        "ATL-FLW-016",
        f"this partner has {what}",
        party=partner,
        hint="let some of its jobs end, or raise jobs.partner_open, jobs.partner_mebibytes or "
        "jobs.partner_mebibytes_per_day",
    )

"""What one partner may make this node keep and do: bounds that count each partner by itself."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atoll.core import codec
from atoll.core.errors import AtollError, PeerError
from atoll.flow.control import (
    Command,
    DeclareFailed,
    Event,
    Explain,
    JobRecord,
    Moment,
    Rules,
    StopAsked,
    Update,
    step,
)
from atoll.flow.control.facts import SECTIONS, encode_section
from atoll.flow.control.transition import halt
from atoll.jobs.plan import Plan

DAY = 86400.0
# Smaller updates are states of tasks and slots, by which jobs go on and end: not counted by day.
SMALL_BYTES = 4 << 10
# What they make a job grow by at most; they and ends have an eighth more room.
STATE_BYTES = 64 << 10
_SPARE = 8
# A few KiB at most by their limits, taken in where there is no room: they make some.
_ENDING = frozenset({"run", "slot", "refusal", "stop", "end"})
_NOTHING: tuple[Any, int] = (None, 0)
_PLAN = "whole plan"
# Of a plan many texts are held once: it takes less than its parts would by themselves.
_PLAN_FACTOR = 4
# What a record takes besides its sections.
JOB_BYTES = 4 << 10
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
    """Memory that a partner may take by jobs at hand, and bytes that it may send in a day."""

    at_hand: int = 384 << 20
    per_day: int = 2 << 30


class PartnerLoad:
    """Memory of jobs at hand that are not own ones, by the partner that caused it.

    A partner has what it sent; the initiator has this node's declaration and plan, too.
    Control thread only.
    """

    def __init__(self, limits: LoadLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        # By job, what was weighed of it: a section's value by party and name, and its weight.
        self._weighed: dict[str, dict[tuple[str, str], tuple[Any, int]]] = {}
        self._sizes: dict[str, dict[str, int]] = {}
        self._sums: dict[str, int] = {}
        self._day = Allowance(limits.per_day, DAY, monotonic)
        self._day_of_ends = Allowance(limits.per_day // _SPARE, DAY, monotonic)
        self._updates = Allowance(limits.per_day // SMALL_BYTES, DAY, monotonic)
        self._reloads = Allowance(_RELOADS, _RELOAD_SECONDS, monotonic)
        self._ended: OrderedDict[str, tuple[int, tuple[str, ...]]] = OrderedDict()

    def note(self, record: JobRecord) -> None:
        """Count a job as it is now; of own jobs nothing. Only what changed is weighed."""
        weighed = {} if record.drives else _weighed(record, self._weighed.get(record.id, {}))
        self.drop(record.id)
        if record.drives:
            return
        self._weighed[record.id] = weighed
        self._sizes[record.id] = sizes = _by_partner(record, weighed)
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
        self._weighed.pop(job, None)
        for party, size in self._sizes.pop(job, {}).items():
            self._sums[party] -= size

    def make_room(
        self, peer: str, record: JobRecord | None, update: Update, ended: Iterable[JobRecord]
    ) -> Iterator[JobRecord]:
        """Count what a partner sends of a job; yield the ended ones to let go of for it first.

        ``record`` is None for a new job. An end by itself is taken in anyway; what comes with it
        counts. Errors: ATL-FLW-016 there is no room, ATL-COD-001 it is not canonical.
        """
        sections = update.sections
        if record is not None:
            held = record.held(peer)
            if record.drives or update.version <= held or update.base > held:
                return
            sections = {name: data for name, data in sections.items() if name not in _ENDING}
        sent, over = sum(map(len, sections.values())), is_over(update)
        known = self._weighed.get(update.job, {})
        more = 0 if record is not None else JOB_BYTES
        for name, data in sections.items():
            more += _weight(data) - known.get((peer, name), _NOTHING)[1]
        if more > 0:
            yield from self.let_go(peer, more, ended, spare=over or more <= STATE_BYTES)
        if record is not None and sent <= SMALL_BYTES:
            return
        day = self._day_of_ends if over else self._day
        if not day.spend(peer, sent if record is not None else max(sent, LEAST_BYTES)):
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

    def make_own_room(
        self, former: JobRecord, record: JobRecord, ended: Iterable[JobRecord]
    ) -> Iterator[JobRecord]:
        """Count what this node declares and plans for a partner; yield as ``make_room`` does.

        Errors: ATL-FLW-016 the partner has caused too much.
        """
        if record.drives:
            return
        size, kept = 0, 0
        if former.own.declaration is None and record.own.declaration is not None:
            data = record.own.declaration.encoded
            size, kept = _weight(data), len(data)
        if former.plan is None and record.plan is not None:
            planned = _planned(record.plan)
            size, kept = size + planned, kept + planned // _PLAN_FACTOR
        elif record.plan is not None and record.run > former.run:
            # A further run may be decided on, reserved and written down as the first one was.
            kept += _planned(record.plan) // _PLAN_FACTOR
        if not kept:
            return
        if size:
            yield from self.let_go(record.initiator, size, ended)
        if not self._day.spend(record.initiator, kept):
            raise full(record.initiator, "caused too many or too large plans within a day")

    def recall(self, record: JobRecord, ended: Iterable[JobRecord]) -> Iterator[JobRecord]:
        """Yield the ended jobs to let go of for one that is read again. Errors: ATL-FLW-016."""
        if record.drives:
            return
        found = list(ended)
        for partner, size in _by_partner(record, _weighed(record, {})).items():
            yield from self.let_go(partner, size, found)

    def let_go(
        self, partner: str, size: int, ended: Iterable[JobRecord], *, spare: bool = False
    ) -> Iterator[JobRecord]:
        """Yield ended jobs of a partner until there is room. Errors: ATL-FLW-016 none is left.

        ``spare``: for states and ends, by which other jobs go on and make room.
        """
        mine = (one for one in ended if partner in self._sizes.get(one.id, ()))
        most = self._limits.at_hand
        most += most // _SPARE if spare else 0
        while self._sums.get(partner, 0) + size > most:
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


def _weighed(
    record: JobRecord, former: Mapping[tuple[str, str], tuple[Any, int]]
) -> dict[tuple[str, str], tuple[Any, int]]:
    """Return the weights of a job's sections; those that are as they were keep theirs."""
    found = {}
    for party, facts in record.facts.items():
        # Our own other sections are small beside what they answer.
        for name in SECTIONS if party != record.party else ("declaration",):
            value = getattr(facts, name)
            if value is None or value == {}:
                continue
            known = former.get((party, name), _NOTHING)
            same = known[0] is value
            found[party, name] = known if same else (value, _weight(encode_section(value)))
    if record.plan is not None:
        known = former.get((record.party, _PLAN), _NOTHING)
        same = known[0] is record.plan
        found[record.party, _PLAN] = known if same else (record.plan, _planned(record.plan))
    return found


def _by_partner(
    record: JobRecord, weighed: Mapping[tuple[str, str], tuple[Any, int]]
) -> dict[str, int]:
    sizes = {record.initiator: JOB_BYTES}
    for (party, _), (_, size) in weighed.items():
        partner = record.initiator if party == record.party else party
        sizes[partner] = sizes.get(partner, 0) + size
    return sizes


def _planned(plan: Plan) -> int:
    return _PLAN_FACTOR * len(codec.encode(plan.canonical()))


def _weight(data: bytes) -> int:
    return codec.weight(data) if data else 0


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


def begins_run(peer: str, record: JobRecord, update: Update) -> bool:
    """Return whether an update has a job of the sender's begin a run that is not known here."""
    stated = update.sections.get("run", b"")
    return peer == record.initiator and stated not in (b"", encode_section(record.lead.run))


def refuse(
    former: JobRecord, error: AtollError, now: Moment, rules: Rules
) -> tuple[JobRecord, tuple[Command, ...]]:
    """Return a job in which this node takes no part because of an error; its people see which."""
    event: Event = DeclareFailed(error.code, error.place, now)
    if former.own.declaration is not None:
        event = StopAsked("stop", former.party, now, code=error.code)
    record, commands = step(former, event, rules)
    why = Explain(error.code, error.message, error.party, error.place, error.hint)
    return record, (*commands, why)

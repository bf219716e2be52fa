"""Which waiting jobs get one of the node's slots. Pure; rebuilt from the records at a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from atoll.core.errors import PeerError

Role = Literal["initiator", "host"]
QueueRule = Literal["first_come", "fair_share", "priority"]


@dataclass(frozen=True)
class Entry:
    """A job that waits for a slot or holds one. ``who`` is the owner (own job) or the partner."""

    job: str
    offer: int
    role: Role
    who: str
    priority: int = 0
    number: int = 0


@dataclass(frozen=True)
class QueueLimits:
    """Jobs at once as initiator and as host, and unfinished jobs that one partner may propose."""

    as_initiator: int = 4
    as_host: int = 4
    open_per_partner: int = 2000

    def of(self, role: Role) -> int:
        """Return the slots of a role."""
        return self.as_initiator if role == "initiator" else self.as_host


@dataclass(frozen=True)
class Queue:
    """Who waits and who holds, by job. ``number`` counts the entries: it orders the first come.

    ``wasted``: the partners in whose slot here nothing began the last time; ``granted`` counts what
    was given, ``served`` holds for each partner which of these it got last.
    """

    limits: QueueLimits = field(default_factory=QueueLimits)
    rule: QueueRule = "first_come"
    waiting: Mapping[str, Entry] = field(default_factory=dict)
    holding: Mapping[str, Entry] = field(default_factory=dict)
    number: int = 0
    wasted: frozenset[str] = frozenset()
    granted: int = 0
    served: Mapping[str, int] = field(default_factory=dict)


def enqueue(queue: Queue, entry: Entry, *, held: bool = False) -> Queue:
    """Put a job in line, or (``held``, after a restart) among those that hold a slot.

    A repeated entry keeps its place; a newer offer of a job replaces the older.
    """
    known = queue.waiting.get(entry.job) or queue.holding.get(entry.job)
    if known is not None and known.offer >= entry.offer and not held:
        return queue
    placed = replace(entry, number=queue.number)
    waiting = {job: e for job, e in queue.waiting.items() if job != entry.job}
    holding = {job: e for job, e in queue.holding.items() if job != entry.job}
    (holding if held else waiting)[entry.job] = placed
    return replace(queue, waiting=waiting, holding=holding, number=queue.number + 1)


def release(queue: Queue, job: str, offer: int, used: bool | None = None) -> Queue:
    """Take a job out of line, or its slot back; an offer that is older than the entry is stale.

    ``used``: whether anything began in the slot, None where none was held.
    """
    known = queue.waiting.get(job) or queue.holding.get(job)
    if known is None or known.offer > offer:
        return queue
    wasted = queue.wasted
    if used is not None and known.role == "host":
        wasted = wasted - {known.who} if used else wasted | {known.who}
    return replace(
        queue,
        wasted=wasted,
        waiting={j: e for j, e in queue.waiting.items() if j != job},
        holding={j: e for j, e in queue.holding.items() if j != job},
    )


def admit(queue: Queue) -> tuple[Queue, tuple[Entry, ...]]:
    """Give the free slots away by the rule; each entry that got one is an ``Admitted`` event.

    Partners that wasted a slot here get another one after each that waits has had one since.
    """
    granted: list[Entry] = []
    waiting, holding, served = dict(queue.waiting), dict(queue.holding), dict(queue.served)
    for role in ("initiator", "host"):
        line = [entry for entry in waiting.values() if entry.role == role]
        busy = [entry for entry in holding.values() if entry.role == role]
        while line and len(busy) < queue.limits.of(role):
            now = line if role == "initiator" else _in_turn(line, queue.wasted, served)
            free = queue.limits.of(role) - len(busy) if now is line else 1
            for entry in QUEUE_RULES[queue.rule](now, busy, free):
                line.remove(entry)
                busy.append(entry)
                holding[entry.job] = waiting.pop(entry.job)
                granted.append(entry)
                if role == "host":
                    served[entry.who] = queue.granted + len(granted)
    if not granted:
        return queue, ()
    count = queue.granted + len(granted)
    queue = replace(queue, waiting=waiting, holding=holding, served=served, granted=count)
    return queue, tuple(granted)


def _in_turn(line: list[Entry], wasted: frozenset[str], served: Mapping[str, int]) -> list[Entry]:
    """Return whose turn it may be: of those who wasted a slot only who is the longest without."""
    whose = {entry.who for entry in line}
    if not whose & wasted:
        return line
    first = min(served.get(who, 0) for who in whose)
    return [e for e in line if e.who not in wasted or served.get(e.who, 0) == first]


def queue_rule_first_come(line: list[Entry], busy: list[Entry], free: int) -> list[Entry]:
    """Serve in the order of arrival."""
    return sorted(line, key=lambda entry: entry.number)[:free]


def queue_rule_fair_share(line: list[Entry], busy: list[Entry], free: int) -> list[Entry]:
    """Serve whose jobs hold the fewest slots; then in the order of arrival."""
    return _in_turns(line, busy, free, lambda entry: (entry.number,))


def queue_rule_priority(line: list[Entry], busy: list[Entry], free: int) -> list[Entry]:
    """Serve the highest priority, then the order of arrival.

    Partners choose their priorities themselves, so as host a priority counts only among the jobs
    of one partner, and the partners take turns.
    """
    own = [entry for entry in line if entry.role == "initiator"]
    if own:
        return sorted(own, key=lambda entry: (-entry.priority, entry.number))[:free]
    return _in_turns(line, busy, free, lambda entry: (-entry.priority, entry.number))


def _in_turns(
    line: list[Entry], busy: list[Entry], free: int, order: Callable[[Entry], tuple[int, ...]]
) -> list[Entry]:
    share = Counter(entry.who for entry in busy)
    heads: dict[str, list[Entry]] = {}
    for entry in sorted(line, key=order, reverse=True):
        heads.setdefault(entry.who, []).append(entry)
    chosen: list[Entry] = []
    while heads and len(chosen) < free:
        who = min(heads, key=lambda name: (share[name], heads[name][-1].number))
        chosen.append(heads[who].pop())
        share[who] += 1
        if not heads[who]:
            del heads[who]
    return chosen


QUEUE_RULES: Mapping[QueueRule, Callable[[list[Entry], list[Entry], int], list[Entry]]] = {
    "first_come": queue_rule_first_come,
    "fair_share": queue_rule_fair_share,
    "priority": queue_rule_priority,
}


def check_open(limits: QueueLimits, partner: str, unfinished: int) -> None:
    """Check before a proposal of a partner is taken in. Errors: ATL-FLW-016 too many are open."""
    if unfinished >= limits.open_per_partner:
        raise PeerError(
            "ATL-FLW-016",
            "this partner has too many unfinished jobs here",
            party=partner,
            hint="let some of them end, or raise the limit",
        )

"""One step of the machine in progress: the record as it becomes, and the commands so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atoll.core.errors import AtollError
from atoll.flow.control.commands import Command, Complain, Explain, Publish
from atoll.flow.control.events import Moment
from atoll.flow.control.facts import SECTIONS, End, EndState, JobDocument, Stop
from atoll.flow.control.parsing import peer_code, peer_phase
from atoll.flow.control.record import Fault, JobRecord
from atoll.flow.control.rules import Rules

FAULTS = 16


class Transition:
    """Changes a record by replacing it; nothing else is changed."""

    def __init__(self, record: JobRecord, rules: Rules, now: Moment) -> None:
        self.record = record
        self.rules = rules
        self.now = now
        self.commands: list[Command] = []
        self._before = record

    def set(self, **changes: Any) -> None:
        """Replace fields of the record."""
        self.record = replace(self.record, **changes)

    def set_facts(self, **sections: Any) -> None:
        """Replace sections of the own facts."""
        own = replace(self.record.own, **sections)
        self.set(facts={**self.record.facts, self.record.party: own})

    def take(self, facts: JobDocument) -> None:
        """Replace the facts of a peer."""
        self.set(facts={**self.record.facts, facts.party: facts})

    def emit(self, command: Command) -> None:
        """Add a command."""
        self.commands.append(command)

    def ask(self, key: str, command: Command) -> None:
        """Add a command that is given once, and once more after a restart."""
        if key not in self.record.asked:
            self.set(asked=self.record.asked | {key})
            self.emit(command)

    def unask(self, key: str) -> None:
        """Note that a question was answered."""
        self.set(asked=self.record.asked - {key})

    def mark(self, name: str, *, again: bool = False) -> float:
        """Return the moment of a mark; it is set now if it was not (or is to be set again)."""
        found = self.record.marks.get(name)
        if found is None or again:
            found = self.now.monotonic
            self.set(marks={**self.record.marks, name: found})
        return found

    def unmark(self, *names: str) -> None:
        """Drop marks."""
        if any(name in self.record.marks for name in names):
            self.set(marks={n: t for n, t in self.record.marks.items() if n not in names})

    def since(self, name: str) -> float:
        """Return the seconds since a mark, or zero if it is not set."""
        return self.now.monotonic - self.record.marks.get(name, self.now.monotonic)

    def complain(self, party: str, code: str, place: str) -> None:
        """Note what a party did against the rules, once."""
        fault = Fault(party, code, place)
        if fault not in self.record.faults and len(self.record.faults) < FAULTS:
            self.set(faults=(*self.record.faults, fault))
            self.emit(Complain(party, code, place))

    def stop(self, code: str, *, party: str | None = None, phase: str | None = None) -> None:
        """End the job for a fault: the initiator at once, the others by a request to it."""
        if self.record.own.end is not None or self.record.own.stop is not None:
            return
        self.set_facts(stop=Stop("stop", peer_code(code) or code, party, peer_phase(phase)))

    def fail(self, error: AtollError) -> None:
        """End the job for an error; its message, place and hint stay at home."""
        if self.record.own.end is None and self.record.own.stop is None:
            self.emit(Explain(error.code, error.message, error.party, error.place, error.hint))
        self.set(place=self.record.place or error.place)
        self.stop(error.code, party=error.party, phase=error.phase)

    def halted(self) -> End | None:
        """Return how the present run ends, if that is known."""
        return halt(self.record)

    def finish(self) -> tuple[JobRecord, tuple[Command, ...]]:
        """Number the own facts again if they changed, and return the result."""
        before, own = self._before.facts.get(self.record.party), self.record.own
        changed = [n for n in SECTIONS if before is None or getattr(before, n) != getattr(own, n)]
        if changed:
            version = own.version + 1
            since: Mapping[str, int] = {**self.record.since, **dict.fromkeys(changed, version)}
            self.set_facts(version=version)
            self.set(since=since)
            self.emit(Publish(self.record.peers))
        return self.record, tuple(self.commands)


def halt(record: JobRecord) -> End | None:
    """Return how the present run ends: the own end, the verdict, or a refusal or stop of anyone."""
    found = stated(record)
    return None if found is None else found[1]


def stated(record: JobRecord) -> tuple[str, End] | None:
    """Return whose word the end of the present run is, and that end: see ``halt``.

    Whom it blames is that party's word, too: it may name any other.
    """
    mine, lead = record.own.end, record.lead
    followed = not record.drives and lead.run == record.run and mine in (None, lead.end)
    if followed and lead.end is not None:
        return record.initiator, lead.end
    found = _asked_for(record)
    if mine is None or (found is not None and found[1] == mine):
        return found
    return record.party, mine


def _asked_for(record: JobRecord) -> tuple[str, End] | None:
    """Return who refuses or stops the present run, the initiator first, and how it so ends."""
    found = [f for f in record.facts.values() if f.run == record.run and (f.refusal or f.stop)]
    found.sort(key=lambda facts: (facts.party != record.initiator, facts.party))
    for facts in found:
        if facts.refusal is not None:
            refusal = facts.refusal
            return facts.party, End("refused", refusal.code, facts.party, refusal.phase)
    for facts in found:
        if facts.stop is not None:
            return facts.party, stopped(facts.stop, facts.party)
    return None


def stopped(stop: Stop, party: str) -> End:
    """Return the end that a stop by a party leads to."""
    state: EndState = "cancelled" if stop.kind == "cancel" else "failed"
    return End(state, stop.code, stop.party or party, stop.phase)

"""Which facts go to whom: what a party has not acknowledged yet, again and again until it has.

Losing, repeating or reordering a message changes nothing: an update says on which version it
builds, and is left aside where that one is not held or a newer one is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBytes,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from atoll.core import codec
from atoll.core.strict import WireValue, at_most, read, reason
from atoll.flow.control.facts import CLEARED, LIMITS, SECTIONS, Declaration, encode_section
from atoll.flow.control.parsing import Count, JobId, decoded, malformed

if TYPE_CHECKING:
    from atoll.flow.control.record import JobRecord

SYNC_BYTES = 12 << 20
UPDATES = 1 << 12
_FULL = 4 << 20
Held = Annotated[StrictInt, Field(ge=0)]


def _bounded(sections: Mapping[str, bytes]) -> Mapping[str, bytes]:
    for name, data in sections.items():
        if len(data) > LIMITS.get(name, -1) or not (data or name in CLEARED):
            raise ValueError("a section that is none")
    return sections


Sections = Annotated[
    Mapping[StrictStr, StrictBytes], at_most(len(SECTIONS)), AfterValidator(_bounded)
]


@dataclass(frozen=True)
class Update(WireValue):
    """The sections of a party's document that changed after version ``base``, as bytes."""

    job: JobId
    base: Count
    version: Count
    sections: Sections

    @model_validator(mode="after")
    def _newer(self) -> Self:
        if self.version <= self.base:
            raise ValueError("the version is not newer")
        return self


@dataclass(frozen=True)
class SyncMessage(WireValue):
    """One direction of a sync: updates, and the versions of the other's facts that are held."""

    updates: Annotated[tuple[Update, ...], at_most(UPDATES)] = ()
    held: Annotated[Mapping[JobId, Held], at_most(UPDATES)] = field(default_factory=dict)
    type: Literal["atoll/sync/v1"] = "atoll/sync/v1"

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if len({update.job for update in self.updates}) < len(self.updates):
            raise ValueError("two updates of one job")
        return self


def update_for(record: JobRecord, base: int, peer: str) -> Update:
    """Return what a peer is sent of what changed in the own facts after ``base``."""
    sections: dict[str, bytes] = {}
    for name in SECTIONS:
        if record.since.get(name, 0) > base:
            value = getattr(record.own, name)
            if isinstance(value, Declaration):
                value = value.to(peer, record.audience)
            sections[name] = b"" if value is None else encode_section(value)
    return Update(record.id, base, record.version, sections)


def encode_sync(message: SyncMessage) -> bytes:
    """Return the bytes of a message."""
    updates = [
        {"job": u.job, "base": u.base, "version": u.version, "sections": dict(u.sections)}
        for u in message.updates
    ]
    return codec.encode({"type": message.type, "updates": updates, "held": dict(message.held)})


def parse_sync(data: bytes | memoryview) -> SyncMessage:
    """Read a message; the sections stay bytes until they are merged. Errors: ATL-FLW-001."""
    try:
        return read(SyncMessage, decoded(data, SYNC_BYTES))
    except ValidationError as error:
        raise malformed(f"sync {reason(error)}") from error


class PeerSync:
    """The soft state of syncing with one peer, both directions; lost at a restart without harm.

    Not for several threads at once.
    """

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self._known: dict[str, int] = {}
        self._owed: dict[str, int | None] = {}

    def known(self, job: str) -> int:
        """Return the version of the own facts that the peer said to hold."""
        return self._known.get(job, 0)

    def settled(self, record: JobRecord) -> bool:
        """Return whether the peer holds all own facts of a job."""
        return self.known(record.id) >= record.version

    def pending(self, records: Iterable[JobRecord]) -> bool:
        """Return whether there is anything to send the peer."""
        return bool(self._owed) or any(
            not self.settled(record) for record in records if self.peer in record.job.parties
        )

    def message(
        self, records: Mapping[str, JobRecord], among: Iterable[JobRecord] | None = None
    ) -> SyncMessage:
        """Return what to send the peer now, at most a few MiB; the rest is left for the next.

        ``among`` are those records of which the peer may not hold all own facts (None: any).
        """
        updates: list[Update] = []
        size = 0
        for record in records.values() if among is None else among:
            if self.peer == record.party or self.peer not in record.job.parties:
                continue
            if self.settled(record):
                continue
            update = update_for(record, self.known(record.id), self.peer)
            updates.append(update)
            size += sum(len(data) for data in update.sections.values())
            if size > _FULL or len(updates) == UPDATES:
                break
        held: dict[str, int] = {}
        for job in sorted(self._owed)[:UPDATES]:
            version = self._owed.pop(job) or 0
            held[job] = records[job].held(self.peer) if job in records else version
        return SyncMessage(tuple(updates), held)

    def received(self, message: SyncMessage, records: Mapping[str, JobRecord]) -> list[str]:
        """Take note of what the peer holds, and that its updates are to be acknowledged.

        Returns the jobs of which it holds more than there is here: each a ``StaleRecord`` event.
        """
        for update in message.updates:
            self.owe(update.job)
        ahead: list[str] = []
        for job, version in message.held.items():
            record = records.get(job)
            if record is None or self.peer not in record.job.parties:
                continue
            # What the peer holds beyond the own record cannot be sent again, only built upon.
            self._known[job] = version
            if version > record.version:
                ahead.append(job)
        return ahead

    def owe(self, job: str, version: int | None = None) -> None:
        """Note that what is held of a job is to be sent, as after its facts were taken in.

        ``version`` is acknowledged of a job that is not kept, so that it is not sent again.
        """
        self._owed[job] = version

    def forget(self, job: str) -> None:
        """Drop a job that is not kept any longer."""
        self._known.pop(job, None)
        self._owed.pop(job, None)

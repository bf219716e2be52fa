"""Counts what the nodes send each other of a job: declarations, approvals, states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from atoll.flow.control.sync import Update
from atoll.flow.planning import AGREEMENT_STEP
from atoll.flow.store import TrafficRow

TASK, TAG = "flow.sync", "facts"


@dataclass
class _Count:
    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0


class SyncTraffic:
    """Bytes and messages by job and partner since the last ``take``. Not for several threads."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, _Count]] = {}

    def count_sent(self, peer: str, updates: Iterable[Update]) -> None:
        """Count what a partner is sent."""
        for update in updates:
            count = self._count(update.job, peer)
            count.bytes_sent += _size(update)
            count.messages_sent += 1

    def count_received(self, peer: str, update: Update) -> None:
        """Count what a partner sent of a job that is known here."""
        count = self._count(update.job, peer)
        count.bytes_received += _size(update)
        count.messages_received += 1

    def rows(self, job: str) -> list[TrafficRow]:
        """Return the counts of a job, to be added to those that the database has."""
        return [
            TrafficRow(
                job=job,
                step=AGREEMENT_STEP,
                attempt=0,
                peer=peer,
                task=TASK,
                tag=TAG,
                bytes_sent=count.bytes_sent,
                bytes_received=count.bytes_received,
                messages_sent=count.messages_sent,
                messages_received=count.messages_received,
            )
            for peer, count in sorted(self._counts.get(job, {}).items())
        ]

    def forget(self, job: str) -> None:
        """Begin at nothing again for a job."""
        self._counts.pop(job, None)

    def _count(self, job: str, peer: str) -> _Count:
        return self._counts.setdefault(job, {}).setdefault(peer, _Count())


def _size(update: Update) -> int:
    return sum(len(data) for data in update.sections.values())

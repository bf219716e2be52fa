"""What one round of the control thread gathers, to be written in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from atoll.core.errors import AtollError
from atoll.flow.control import Command, JobRecord

Write = Callable[[Connection], None]
# A changed job is written whole, however small the change: what more there is waits for a round.
ROUND_BYTES = 4 << 20


@dataclass
class Batch:
    """What one round of the thread gathers."""

    changed: dict[str, tuple[JobRecord, list[Command]]] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    after: list[Callable[[], None]] = field(default_factory=list)
    failed: list[Callable[[AtollError], None]] = field(default_factory=list)
    # By job, the bytes of its documents; kept beside, as they grow with each change of it.
    _sizes: dict[str, int] = field(default_factory=dict)
    _bytes: int = 0

    def change(self, record: JobRecord, commands: tuple[Command, ...]) -> None:
        """Have a job written as it is now, once, and all that is wanted for it carried out."""
        _, before = self.changed.get(record.id, (record, []))
        self.changed[record.id] = (record, [*before, *commands])
        size = _size(record)
        self._bytes += size - self._sizes.get(record.id, 0)
        self._sizes[record.id] = size

    @property
    def full(self) -> bool:
        """Whether the jobs that are to be written are large enough for one round."""
        return self._bytes >= ROUND_BYTES


def _size(record: JobRecord) -> int:
    """Return about how many bytes a job's row takes, for little work."""
    size = 0
    for facts in record.facts.values():
        size += sum(map(len, facts.sections.values()))
        if record.plan is not None and facts.declaration is not None:
            # A plan holds what was declared once more.
            size += len(facts.declaration.encoded)
    return size

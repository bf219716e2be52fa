"""What the control thread asks of the rest of the node."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from sqlalchemy import Connection

from atoll.flow.control import Command, JobRecord


class Effects(Protocol):
    """What the control thread has done after a commit; nothing here may block or raise."""

    def carry_out(self, record: JobRecord, command: Command) -> None:
        """Carry out a machine's command."""
        ...

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        """Write a job's row (and what goes with it) inside the transaction."""
        ...

    def load(self, job: str) -> JobRecord | None:
        """Return a job that is not at hand, from the database."""
        ...

    def known(self, jobs: Collection[str]) -> frozenset[str]:
        """Return those of these jobs that the database has a row of."""
        ...

    def check_open(self, partner: str, job: str, unfinished: int) -> None:
        """Refuse one new job too many, or of an id that was used: ATL-FLW-004, 016, ATL-POL-018."""
        ...

    def check_again(self, partner: str, unfinished: int) -> None:
        """Refuse an ended job's further run where that is one unfinished too many: ATL-FLW-016."""
        ...

    def wake(self, peers: tuple[str, ...]) -> None:
        """Have these partners notified soon."""
        ...

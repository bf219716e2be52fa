"""What one round of the control thread gathers, to be written in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from atoll.core.errors import AtollError
from atoll.flow.control import Command, JobRecord

Write = Callable[[Connection], None]


@dataclass
class Batch:
    """What one round of the thread gathers."""

    changed: dict[str, tuple[JobRecord, list[Command]]] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    after: list[Callable[[], None]] = field(default_factory=list)
    failed: list[Callable[[AtollError], None]] = field(default_factory=list)

"""Names: parties, roles, and the scope (job, task, attempt) that every message belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from atoll.core.errors import UserError

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Role(StrEnum):
    """What a party does in a job."""

    GUEST = "guest"
    HOST = "host"
    ARBITER = "arbiter"
    AGGREGATOR = "aggregator"
    CLIENT = "client"


def party_id(text: str) -> str:
    """Return ``text`` if it is a party id: one lower-case DNS label of at most 63 characters.

    Errors: ATL-NAM-001.
    """
    if not _LABEL.fullmatch(text):
        raise UserError(
            "ATL-NAM-001",
            "a party id must be a DNS label",
            hint="use lower-case letters, digits and inner hyphens, at most 63 characters",
        )
    return text


@dataclass(frozen=True, order=True)
class Scope:
    """The job, task and attempt that a message belongs to; made in one, accepted in no other."""

    job: str
    task: str
    attempt: int = 0

    def __str__(self) -> str:
        return f"{self.job}/{self.task}/{self.attempt}"

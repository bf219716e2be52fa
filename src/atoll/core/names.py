"""Names: parties, roles, seats, and the scope (job, task, attempt) of every message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from atoll.core.errors import UserError

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Role(StrEnum):
    """What a party does in a job; a party may hold several. Those that bring data come first."""

    GUEST = "guest"
    HOST = "host"
    CLIENT = "client"
    ARBITER = "arbiter"
    AGGREGATOR = "aggregator"
    HELPER = "helper"


Roles = tuple[Role, ...]
RANK: Mapping[Role, int] = {role: at for at, role in enumerate(Role)}
LABELLED = frozenset({Role.GUEST, Role.CLIENT})
"""The roles whose tables have the label."""


def ranked(roles: Iterable[Role]) -> Roles:
    """Return roles in their order, each once."""
    return tuple(sorted(set(roles), key=RANK.__getitem__))


def roles_text(roles: Iterable[Role]) -> str:
    """Return roles as people read them: ``host, arbiter``."""
    return ", ".join(role.value for role in roles)


@dataclass(frozen=True)
class Seat:
    """A party in one of its roles: what takes part in a step, with a task of its own."""

    party: str
    role: Role

    def __str__(self) -> str:
        return f"{self.party}:{self.role.value}"


def parse_seat(text: str) -> Seat:
    """Read ``party:role``. Errors: ATL-NAM-001."""
    party, _, role = text.partition(":")
    try:
        return Seat(party_id(party), Role(role))
    except ValueError as error:
        raise UserError("ATL-NAM-001", "a seat is written party:role", place="seats") from error


def party_of(address: str) -> str:
    """Return whose seat has this address within a step."""
    return address.partition(":")[0]


def addresses(seats: Iterable[Seat]) -> dict[str, Role]:
    """Return the role of each seat of a step by its address.

    The first seat of a party, in the order of the roles, has the party's name; a further one is
    ``party:role``. So with one seat a party, as is usual, an address is a party.
    """
    found: dict[str, Role] = {}
    for seat in sorted(seats, key=lambda seat: (seat.party, RANK[seat.role])):
        found[seat.party if seat.party not in found else str(seat)] = seat.role
    return found


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

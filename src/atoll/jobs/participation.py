"""Who takes part in a step, and which parties communicate there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from atoll.core.errors import InternalError, UserError
from atoll.core.names import Role, Roles, Seat, roles_text


@dataclass(frozen=True)
class Seats:
    """How many seats of a role a step has: at least, and at most (None: any number)."""

    least: int = 0
    most: int | None = None

    def __str__(self) -> str:
        if self.most == self.least:
            return f"exactly {self.least}"
        if self.most is None:
            return f"at least {self.least}" if self.least else "any number"
        return f"{self.least} to {self.most}"


ANY, SOME, ONE, OPTIONAL = Seats(), Seats(1), Seats(1, 1), Seats(0, 1)
Participants = Mapping[Role, Seats]
VERTICAL: Participants = {Role.GUEST: ONE, Role.HOST: SOME}
EVERYBODY: Participants = dict.fromkeys(Role, ANY)
OWNERS: Participants = dict.fromkeys((Role.GUEST, Role.HOST, Role.CLIENT), ANY)
"""Those who bring rows."""


@dataclass(frozen=True)
class Edges:
    """Which parties communicate in a step: the pairs of roles that do; None is all with all."""

    pairs: frozenset[frozenset[Role]] | None = None

    def plain(self) -> tuple[str, ...] | None:
        """Return what a plan holds: ``role role`` of each pair, in order; None for all."""
        if self.pairs is None:
            return None
        named = (sorted(role.value for role in pair) for pair in self.pairs)
        return tuple(sorted(" ".join((names * 2)[:2]) for names in named))

    @classmethod
    def of_plain(cls, value: Iterable[str] | None) -> Edges:
        """Read what a plan holds. Errors: ATL-JOB-009 it names no roles."""
        if value is None:
            return cls()
        try:
            return cls(frozenset(frozenset(map(Role, text.split())) for text in value))
        except ValueError as error:
            raise UserError("ATL-JOB-009", "edges name what is no role", place="edges") from error

    @property
    def silent(self) -> bool:
        """Whether no messages are exchanged."""
        return self.pairs is not None and not self.pairs

    def join(self, one: Role, other: Role) -> bool:
        """Return whether seats of these roles communicate with each other."""
        return self.pairs is None or frozenset({one, other}) in self.pairs

    def peers(self, address: str, seats: Mapping[str, Role]) -> tuple[str, ...]:
        """Return the peers of a seat, of the seats of a step by address, in their order."""
        mine = seats[address]
        return tuple(
            other for other in sorted(seats) if other != address and self.join(mine, seats[other])
        )

    def hub(self, seats: Mapping[str, Role]) -> str | None:
        """Return the seat through which all agree on the session; None: each with each.

        It communicates with every other seat. Errors: ATL-INT-001 there is none.
        """
        if all(len(self.peers(at, seats)) == len(seats) - 1 for at in seats):
            return None
        for address in sorted(seats):
            if len(self.peers(address, seats)) == len(seats) - 1:
                return address
        raise InternalError("ATL-INT-001", "no seat of the step communicates with all others")


NO_EDGES, ALL = Edges(frozenset()), Edges()


def star(centre: Role) -> Edges:
    """Return edges between the seats of ``centre`` and those of each other role, and no more."""
    return Edges(frozenset(frozenset({centre, role}) for role in Role if role != centre))


def pairs(*linked: tuple[Role, Role]) -> Edges:
    """Return edges between seats of these pairs of roles."""
    return Edges(frozenset(frozenset(pair) for pair in linked))


def seats_of(parties: Mapping[str, Roles], roles: Participants, edges: Edges) -> tuple[Seat, ...]:
    """Return the seats of a step: each party's in the roles that take part.

    Where no messages are exchanged, a party does its share once, in the first of its roles.
    """
    found = []
    for party, held in sorted(parties.items()):
        taking = [Seat(party, role) for role in held if role in roles]
        found += taking[:1] if edges.silent else taking
    return tuple(found)


def check_counts(name: str, component: str, seats: Iterable[Seat], roles: Participants) -> None:
    """Refuse a step with too few or too many seats of a role. Errors: ATL-JOB-002, ATL-JOB-009."""
    held = [seat.role for seat in seats]
    if not held:
        raise UserError(
            "ATL-JOB-009",
            f"no party of the job takes part in {component}",
            place=f"steps.{name}",
            hint=f"it has a part for {roles_text(sorted(roles))}",
        )
    for role, wanted in roles.items():
        count = held.count(role)
        if count < wanted.least or (wanted.most is not None and count > wanted.most):
            raise UserError(
                "ATL-JOB-002",
                f"{component} takes {wanted} {role.value}, and the job has {count}",
                place=f"steps.{name}",
                hint="give the parties other roles in `parties`",
            )

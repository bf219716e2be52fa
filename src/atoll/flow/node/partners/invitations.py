"""One-time codes by which two nodes come to trust each other.

A code is text for a mail or a telephone: who invites, where its node listens, the SHA-256 of its
authority, for whom the code is, and a 128-bit secret that works once and until a moment. The
invited node checks the inviter's authority before it sends anything; the inviter keeps a hash of
the secret alone. Source: PROTOCOLS 11, "Enrolment and certificates".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBytes, StrictStr
from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.core.names import party_id
from atoll.core.strict import WireValue, read
from atoll.flow.access.audit import AuditLog
from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.jobs.errors import DeniedError, NotFoundError

PREFIX = "atoll-invite-1."
SECRET_BYTES = 16
CODE_CHARACTERS = 4096
BODY_BYTES = 16 << 10
HOURS = 24.0

PartyName = Annotated[StrictStr, AfterValidator(party_id)]


@dataclass(frozen=True)
class Invitation(WireValue):
    """What a code holds. ``authority`` is the SHA-256 of the inviter's authority (DER)."""

    id: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    inviter: PartyName
    invited: PartyName
    address: Annotated[StrictStr, Field(min_length=1, max_length=512)]
    authority: Annotated[StrictBytes, Field(min_length=32, max_length=32)]
    secret: Annotated[StrictBytes, Field(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]

    def code(self) -> str:
        """Return this as text."""
        whole = codec.encode(asdict(self))
        return PREFIX + base64.urlsafe_b64encode(whole).decode().rstrip("=")


def read_code(text: str) -> Invitation:
    """Read a code. Errors: ATL-NOD-010 it is none."""
    stripped = "".join(text.split())
    try:
        if len(stripped) > CODE_CHARACTERS or not stripped.startswith(PREFIX):
            raise ValueError
        tail = stripped.removeprefix(PREFIX)
        data = base64.b64decode(tail + "=" * (-len(tail) % 4), altchars=b"-_", validate=True)
        value = codec.decode(data, limit=CODE_CHARACTERS)
        return read(Invitation, value)
    except (ValueError, AtollError) as error:
        raise UserError(
            "ATL-NOD-010", "this is not an invitation's code", hint="copy the whole code again"
        ) from error


class Invitations:
    """The codes that this node has given out; the database holds hashes alone.

    Each that is made, used or withdrawn is in the audit log, in the transaction of the change.
    """

    def __init__(self, wall: Callable[[], float], audit: AuditLog) -> None:
        self._wall = wall
        self._audit = audit

    def make(
        self,
        connection: Connection,
        inviter: str,
        invited: str,
        address: str,
        authority: bytes,
        actor: str,
    ) -> tuple[Invitation, float]:
        """Make a code for a party; return it and when it expires."""
        made = Invitation(
            secrets.token_hex(8),
            inviter,
            party_id(invited),
            address,
            authority,
            secrets.token_bytes(SECRET_BYTES),
        )
        expires = self._wall() + HOURS * 3600
        row = {"id": made.id, "hash": _hash(made.secret), "party": invited, "expires": expires}
        connection.execute(insert(schema.invitations).values(**row))
        self._audit.record(
            connection, actor, "invitation.make", made.id, party=invited, expires=expires
        )
        return made, expires

    def use(self, connection: Connection, number: str, invited: str, secret: bytes) -> None:
        """Use a code up. Errors: ATL-NOD-011, one for every reason."""
        table = schema.invitations
        row = connection.execute(select(table).where(table.c.id == number)).one_or_none()
        known = "" if row is None else row.hash
        right = hmac.compare_digest(known, _hash(secret))
        if row is None or not right or row.party != invited:
            raise _refused()
        chosen = and_(table.c.id == number, self._free())
        taken = connection.execute(update(table).where(chosen).values(used=self._wall()))
        if taken.rowcount != 1:
            raise _refused()
        self._audit.record(connection, f"party:{invited}", "invitation.use", number)

    def open(self, connection: Connection) -> bool:
        """Return whether any code may still be used."""
        query = select(schema.invitations.c.id).where(self._free()).limit(1)
        return connection.execute(query).first() is not None

    def listing(
        self, connection: Connection, *, limit: int, after: str | None
    ) -> Page[dict[str, Any]]:
        """Return a page of the codes that may still be used, the one that ends first ahead."""
        table = schema.invitations
        query = select(table.c.id, table.c.party, table.c.expires).where(self._free())
        return page(
            connection,
            query,
            [table.c.expires, table.c.id],
            lambda row: dict(row._mapping),
            limit=limit,
            after=after,
        )

    def withdraw(self, connection: Connection, number: str, actor: str) -> None:
        """End a code that could still be used. Errors: ATL-NOD-034 there is none."""
        table = schema.invitations
        if not self._end(connection, table.c.id == number, actor):
            raise NotFoundError(
                "ATL-NOD-034",
                "no open invitation has this id",
                place="id",
                hint="see those that are open: atoll party invitations",
            )

    def withdraw_of(self, connection: Connection, party: str, actor: str) -> None:
        """End all codes of a party that could still be used."""
        self._end(connection, schema.invitations.c.party == party, actor)

    def _end(self, connection: Connection, which: ColumnElement[bool], actor: str) -> int:
        table = schema.invitations
        query = select(table.c.id, table.c.party).where(which, self._free()).order_by(table.c.id)
        found = connection.execute(query).all()
        for row in found:
            connection.execute(delete(table).where(table.c.id == row.id))
            self._audit.record(connection, actor, "invitation.withdraw", row.id, party=row.party)
        return len(found)

    def _free(self) -> ColumnElement[bool]:
        table = schema.invitations
        return and_(table.c.used.is_(None), table.c.expires > self._wall())


def _hash(secret: bytes) -> str:
    return hashlib.sha256(b"atoll/invitation/v1" + secret).hexdigest()


def _refused() -> DeniedError:
    return DeniedError(
        "ATL-NOD-011",
        "the invitation does not count: unknown, for another party, used or expired",
        hint="ask the partner for a new one",
    )

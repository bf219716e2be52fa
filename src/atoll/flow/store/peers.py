"""The parties that this one communicates with, and the invitations that it gave out."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from atoll.flow.store import schema
from atoll.flow.store.paging import Page, page
from atoll.flow.store.statements import Record, Repository, build, insert, selected, upsert

_T = schema.peers
_I = schema.invitations


@dataclass(frozen=True, kw_only=True)
class PeerRow(Record):
    """A partner: its address (none: it polls), its authority's certificate, when last seen."""

    party: str
    address: str | None = None
    authority: str
    fingerprint: str
    added: float
    revoked: float | None = None
    seen: float | None = None


@dataclass(frozen=True, kw_only=True)
class InvitationRow(Record):
    """A single-use code, of which only the hash is kept."""

    id: str
    hash: str
    party: str
    expires: float
    used: float | None = None


class Peers(Repository):
    """Partners and invitations."""

    def save(self, row: PeerRow, *, connection: Connection | None = None) -> None:
        """Add or replace a partner."""
        self._write(lambda c: upsert(c, _T, row.values()), connection)

    def find(self, party: str, *, connection: Connection | None = None) -> PeerRow | None:
        """Return a partner, None if it is unknown."""
        query = select(*selected(_T, PeerRow)).where(_T.c.party == party)
        row = self._read(lambda c: c.execute(query).one_or_none(), connection)
        return None if row is None else build(PeerRow)(row)

    def list(
        self,
        *,
        revoked: bool | None = None,
        limit: int = 50,
        after: str | None = None,
        connection: Connection | None = None,
    ) -> Page[PeerRow]:
        """Return a page by party id."""
        query = select(*selected(_T, PeerRow))
        if revoked is not None:
            query = query.where(_T.c.revoked.is_not(None) if revoked else _T.c.revoked.is_(None))
        make = build(PeerRow)
        return self._read(
            lambda c: page(c, query, (_T.c.party,), make, limit=limit, after=after), connection
        )

    def revoke(self, party: str, time: float, *, connection: Connection | None = None) -> bool:
        """Withdraw trust; return whether there was any."""
        statement = (
            update(_T).where(_T.c.party == party, _T.c.revoked.is_(None)).values(revoked=time)
        )
        return self._write(lambda c: c.execute(statement).rowcount == 1, connection)

    def mark_seen(self, party: str, time: float, *, connection: Connection | None = None) -> None:
        """Note when the last message of a partner came."""
        statement = update(_T).where(_T.c.party == party).values(seen=time)
        self._write(lambda c: c.execute(statement), connection)

    def invite(self, row: InvitationRow, *, connection: Connection | None = None) -> None:
        """Note an invitation."""
        self._write(lambda c: insert(c, _I, row.values()), connection)

    def use_invitation(
        self, digest: str, now: float, *, connection: Connection | None = None
    ) -> InvitationRow | None:
        """Use up the invitation with this hash; None if there is none, or used, or expired."""

        def work(c: Connection) -> InvitationRow | None:
            fresh = (_I.c.hash == digest, _I.c.used.is_(None), _I.c.expires > now)
            if c.execute(update(_I).where(*fresh).values(used=now)).rowcount != 1:
                return None
            query = select(*selected(_I, InvitationRow)).where(_I.c.hash == digest)
            return build(InvitationRow)(c.execute(query).one())

        return self._write(work, connection)

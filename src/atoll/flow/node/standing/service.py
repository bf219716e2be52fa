"""What people and programs do with standing agreements: look, ask, end."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from atoll.flow.access import Access, Actor
from atoll.flow.node.standing.agreement import SessionService
from atoll.flow.node.standing.book import Book
from atoll.flow.store import AgreementRow, Page

_DAY_SECONDS = 86400.0
_KNOWN = 4096


class AgreementService:
    """The agreements of a node. Errors: those of ``Book`` and of ``SessionService.ask``."""

    def __init__(
        self,
        book: Book,
        sessions: SessionService,
        access: Access,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._sessions = sessions
        self._access = access
        self._wall = wall
        self._noted: OrderedDict[tuple[str, str, int], None] = OrderedDict()

    def list(self, *, live: bool, limit: int, after: str | None) -> Page[Mapping[str, Any]]:
        """Return a page of agreements, the newest first; with ``live`` those that hold today."""
        found = self._book.list(live=live, limit=limit, after=after)
        return Page(tuple(self._view(row) for row in found.rows), found.next)

    def get(self, agreement: str) -> Mapping[str, Any]:
        """Return an agreement. Errors: ATL-AGR-001."""
        return self._view(self._book.row(agreement))

    def end(self, agreement: str, reason: str, actor: Actor) -> Mapping[str, Any]:
        """End an agreement at this node, at once and for good. Errors: ATL-AGR-001."""
        return self._view(self._book.end(actor, agreement, reason))

    def ask(
        self, agreement: str, body: Mapping[str, Any], seconds: float, actor: Actor
    ) -> Mapping[str, Any]:
        """Hand a request in and wait for its answer."""
        answer = self._sessions.ask(agreement, body, seconds)
        self._note(actor, agreement)
        return answer

    def _note(self, actor: Actor, agreement: str) -> None:
        """Write an audit line for the first answer that a user gets on a day, not for each.

        How much was asked is in the ledger; a line for each request would cost a commit each.
        """
        key = (actor.user, agreement, int(self._wall() // _DAY_SECONDS))
        if key in self._noted:
            return
        self._noted[key] = None
        while len(self._noted) > _KNOWN:
            self._noted.popitem(last=False)
        self._access.audit.note(actor.user, "agreement.ask", agreement)

    def _view(self, row: AgreementRow) -> Mapping[str, Any]:
        terms = row.terms
        fields = ("unit", "per_day", "most", "model", "version", "columns")
        return {
            "id": row.id,
            "job": row.job,
            "step": row.step,
            "party": row.party,
            "state": self._book.state(row),
            "until": row.until,
            **{name: terms[name] for name in fields},
            "used_today": self._book.used_today(row),
            "used": row.used,
            "plan_digest": row.plan_digest,
            "created": row.created,
            "ended": row.ended,
            "ended_by": row.ended_by,
            "reason": row.reason,
        }

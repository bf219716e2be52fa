"""An agreement, and what the parts of a node that deal with agreements need of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from atoll.jobs.plan import Plan, StandingTerms

# A session is an attempt of the agreement's step; attempts of the job itself stay far below.
FIRST_SESSION = 1000

State = Literal["live", "ended", "over", "used up"]


@dataclass(frozen=True)
class Agreement:
    """One standing agreement as this node holds it: ``id`` is ``<job>.<step>``.

    ``party`` is the one that may ask. ``until`` is when it ends, in seconds since 1970.
    ``used_today`` and ``used`` are what this node counted, on this UTC day and in all.
    """

    id: str
    job: str
    step: str
    plan: Plan
    terms: StandingTerms
    party: str
    state: State
    until: float
    used_today: int
    used: int


class SessionBook(Protocol):
    """What sessions need of the book of agreements. Any thread may call."""

    def live(self, agreement: str) -> Agreement:
        """Return an agreement under which requests may be made now.

        Errors: ATL-AGR-001 none of this id, ATL-AGR-002 ended, ATL-AGR-003 its last day is over.
        """
        ...

    def check_open(self, agreement: str, least: int = FIRST_SESSION) -> None:
        """Raise what ``open_session`` would, and take no number."""
        ...

    def open_session(self, agreement: str, least: int = FIRST_SESSION) -> int:
        """Return a number for a new session, durably taken: the next one, ``least`` at least.

        Errors: those of ``live``, and of ``spend`` if not one unit may be spent.
        """
        ...

    def spend(self, agreement: str, session: int, units: int, contents: Mapping[str, str]) -> None:
        """Count units durably, or refuse them all; ``contents`` are the digests of the own tables.

        Errors: ATL-AGR-002 to ATL-AGR-005, ATL-POL-001 and ATL-POL-005 of the grants.
        """
        ...

    def close_session(
        self,
        agreement: str,
        session: int,
        reveals: Sequence[Mapping[str, Any]] | None,
        traffic: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write what a session really sent: its disclosures (None: unknown) and traffic rows.

        Both as a task reports them (``TaskEvent``). A second time does nothing.
        """
        ...


class SessionService(Protocol):
    """What the API needs of sessions."""

    def ask(self, agreement: str, body: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Hand a request in and wait for its answer.

        Errors: those of ``SessionBook.live`` and ``spend``, ATL-AGR-006 the body cannot be used,
        ATL-AGR-007 a partner opens no session, ATL-AGR-008 another party may ask, ATL-AGR-009 the
        session ended, or the time is over, before the answer came.
        """
        ...

    def ended(self, agreement: str) -> None:
        """End the open session of an agreement that has ended; its requests fail."""
        ...

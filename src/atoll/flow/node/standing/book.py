"""The book of standing agreements: what was agreed to, and what is used of it.

Each party's node keeps its own. A request is counted here before anything of it leaves: bounds,
caps, counters and ledger are one transaction, whatever the asking party's node counts of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from atoll.core.errors import AtollError, UserError
from atoll.flow.access import Access, Actor
from atoll.flow.node.standing.agreement import FIRST_SESSION, Agreement, State
from atoll.flow.policy.service import Policies, Shares
from atoll.flow.store import (
    AgreementRow,
    Agreements,
    Database,
    Jobs,
    Meta,
    Page,
    SessionRow,
    Traffic,
    TrafficRow,
)
from atoll.flow.store.agreements import day_of
from atoll.flow.store.schema import jobs
from atoll.jobs.errors import ConflictError, DeniedError, NotFoundError
from atoll.jobs.plan import Plan, StandingTerms

_LOG = logging.getLogger(__name__)
_CHECKED = "agreements.checked"
_DAY_SECONDS = 86400.0
_PLANS = 64
SESSIONS_PER_DAY = 2000
# A number that a partner asks for may be so far ahead of the own ones: more than a day's sessions
# for a year, and far from the end of the numbers.
_AHEAD = 1 << 20


class Book:
    """The agreements of ``party``. Any thread may call. Errors: those of the database, too.

    ``ended`` is called with each agreement that people of this node ended, after it is written.
    """

    def __init__(
        self,
        database: Database,
        policies: Policies,
        access: Access,
        *,
        ended: Callable[[str], None] = lambda agreement: None,
        sessions_per_day: int = SESSIONS_PER_DAY,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._policies = policies
        self._access = access
        self._ended = ended
        self._sessions_per_day = sessions_per_day
        self._wall = wall
        self._rows = Agreements(database)
        self._jobs = Jobs(database)
        self._traffic = Traffic(database)
        self._meta = Meta(database)
        self._plans: OrderedDict[str, tuple[Plan, Shares]] = OrderedDict()
        self._lock = threading.Lock()

    # -- writing down what was agreed to -----------------------------------------------------------

    def record(self, job: str) -> Sequence[str]:
        """Write down what a job that ended well agreed to; once, however often asked.

        Returns the ids (``job.step``) of this party's agreements.
        """
        row = self._jobs.get(job)
        if not (row.plan or {}).get("standing"):
            return []
        plan = Plan.model_validate(row.plan)
        made = [
            self._row(job, plan, step, terms)
            for step, terms in plan.standing.items()
            if self._policies.party in plan.parties_of(step)
        ]

        def work(connection: Connection) -> None:
            for one in made:
                if self._rows.add(one, plan.canonical(), connection=connection):
                    detail = {"party": one.party, "until": one.until, "plan": one.plan_digest}
                    self._access.audit.record(
                        connection, "system", "agreement.begin", one.id, **detail
                    )

        self._database.write(work)
        return [one.id for one in made]

    def _row(self, job: str, plan: Plan, step: str, terms: StandingTerms) -> AgreementRow:
        seats = plan.seats_of(step)
        return AgreementRow(
            id=f"{job}.{step}",
            job=job,
            step=step,
            plan_digest=plan.digest(),
            party=next(seat.party for seat in seats if seat.role.value == terms.asks),
            until=terms.until,
            day=self._today(),
            created=self._wall(),
            terms=terms.model_dump(mode="json"),
        )

    def take_up(self) -> None:
        """Do at a node's start what the process before did not come to.

        Jobs that ended well are recorded; what sessions that were open sent is unknown.
        """
        checked = float(self._meta.get(_CHECKED) or 0.0)
        now = self._wall()
        for job in self._unrecorded(min(checked, now) - _DAY_SECONDS):
            try:
                self.record(job)
            except AtollError as error:
                _LOG.error("what job %s agreed to cannot be recorded: %s", job, error)
        for left in self._rows.open_sessions():
            self.close_session(left.agreement, left.number, None, ())
        self._meta.set(_CHECKED, repr(now))

    def _unrecorded(self, since: float) -> Sequence[str]:
        """Return jobs that ended well since then and have agreed to something."""
        query = select(jobs.c.id).where(
            jobs.c.ended >= since, jobs.c.state == "success", jobs.c.plan.contains('"standing"')
        )
        return self._database.read(lambda c: c.execute(query).scalars().all())

    # -- looking -----------------------------------------------------------------------------------

    def get(self, agreement: str) -> Agreement:
        """Return an agreement in whatever state. Errors: ATL-AGR-001."""
        return self._read(self._find(agreement))

    def live(self, agreement: str) -> Agreement:
        """Return an agreement under which requests may be made now.

        Errors: ATL-AGR-001 none of this id, ATL-AGR-002 ended, ATL-AGR-003 its last day is over.
        """
        row = self._find(agreement)
        self._check_live(row)
        return self._read(row)

    def row(self, agreement: str) -> AgreementRow:
        """Return an agreement as it is stored. Errors: ATL-AGR-001."""
        return self._find(agreement)

    def list(self, *, live: bool, limit: int, after: str | None) -> Page[AgreementRow]:
        """Return a page of agreements, the newest first: all, or those whose time is not over."""
        on = self._today() if live else None
        return self._rows.list(live_on=on, limit=limit, after=after)

    def state(self, row: AgreementRow) -> State:
        """Return how an agreement stands now."""
        if row.ended is not None:
            return "ended"
        if self._today() > row.until:
            return "over"
        return "used up" if row.used >= row.terms["most"] else "live"

    def used_today(self, row: AgreementRow) -> int:
        """Return what was used on this UTC day."""
        return row.used_that_day if row.day >= self._today() else 0

    def _read(self, row: AgreementRow) -> Agreement:
        return Agreement(
            id=row.id,
            job=row.job,
            step=row.step,
            plan=self._signed(row)[0],
            terms=StandingTerms.model_validate(row.terms),
            party=row.party,
            state=self.state(row),
            until=end_of(row.until),
            used_today=self.used_today(row),
            used=row.used,
        )

    def _signed(self, row: AgreementRow) -> tuple[Plan, Shares]:
        """Return the plan that was signed, and what it asks of our tables.

        It is large, so it is not read for each request.
        """
        with self._lock:
            known = self._plans.get(row.id)
        if known is None:
            plan = Plan.model_validate(self._rows.plan(row.id))
            known = plan, self._policies.shares(plan, row.step)
            with self._lock:
                self._plans[row.id] = known
                while len(self._plans) > _PLANS:
                    self._plans.popitem(last=False)
        return known

    def _find(self, agreement: str, connection: Connection | None = None) -> AgreementRow:
        row = self._rows.find(agreement, connection=connection)
        if row is None:
            raise NotFoundError(
                "ATL-AGR-001",
                "there is no such standing agreement here",
                place=agreement[:128],
                hint="see what there is: atoll agreement list",
            )
        return row

    def _check_live(self, row: AgreementRow) -> None:
        if row.ended is not None:
            when = datetime.fromtimestamp(row.ended, UTC)
            raise ConflictError(
                "ATL-AGR-002",
                f"{row.ended_by} ended the standing agreement on {when:%Y-%m-%d at %H:%M} UTC",
                place=row.id,
                hint="propose a new one: atoll agreement propose",
            )
        if self._today() > row.until:
            raise ConflictError(
                "ATL-AGR-003",
                f"the last day of the standing agreement was {row.until} (UTC)",
                place=row.id,
                hint="propose a new one: atoll agreement propose",
            )

    # -- using -------------------------------------------------------------------------------------

    def check_open(self, agreement: str, least: int = FIRST_SESSION) -> None:
        """Raise what ``open_session`` would, and take no number."""
        self._database.write(lambda connection: self._number(agreement, least, connection))

    def open_session(self, agreement: str, least: int = FIRST_SESSION) -> int:
        """Return a number for a new session, durably taken: the next one, ``least`` at least.

        Errors: those of ``spend`` if not one unit may be spent, ATL-AGR-007 a number too far ahead,
        ATL-AGR-011 as many in 24 hours as may be.
        """

        def work(connection: Connection) -> int:
            number = self._number(agreement, least, connection)
            made = SessionRow(agreement=agreement, number=number, opened=self._wall())
            self._rows.open_session(made, connection=connection)
            return number

        return self._database.write(work)

    def _number(self, agreement: str, least: int, connection: Connection) -> int:
        """Return what a session that is opened now would be numbered. Errors as above."""
        row = self._find(agreement, connection)
        self._check_live(row)
        self._room(row, 1)
        plan, shares = self._signed(row)
        self._policies.check_rows(connection, row.job, plan, 1, shares)
        number = max(row.session + 1, least, FIRST_SESSION)
        self._check_session(row, number, connection)
        return number

    def _check_session(self, row: AgreementRow, number: int, connection: Connection) -> None:
        if number > row.session + _AHEAD:
            raise DeniedError(
                "ATL-AGR-007", "the session's number is too far ahead of those here", place=row.id
            )
        since = self._wall() - _DAY_SECONDS
        opened = self._rows.opened(row.id, self._sessions_per_day, connection=connection)
        if opened is not None and opened > since:
            raise DeniedError(
                "ATL-AGR-011",
                f"{self._sessions_per_day} sessions were opened within 24 hours",
                place=row.id,
                hint="ask more in each session; standing.sessions_per_day is the bound",
            )

    def spend(
        self, agreement: str, session: int, units: int, contents: Mapping[str, str] | None = None
    ) -> None:
        """Count units durably, or refuse them all.

        ``contents`` are the digests of what the session holds of the own tables, by their names;
        else the units go to what was signed.
        Errors: those of ``live``, ATL-AGR-004 the day's bound, ATL-AGR-005 the whole bound,
        ATL-AGR-007 no open session of this number, those of ``Policies.spend``.
        """
        if units < 1:
            raise UserError("ATL-AGR-006", "a request costs one unit at least", place="units")
        plan, signed = self._signed(self._find(agreement))
        held = contents or {}
        self._policies.ledger.note_contents(held)
        shares = tuple(
            (replace(share, digest=held.get(share.table, share.digest)), partner)
            for share, partner in signed
        )

        def work(connection: Connection) -> None:
            row = self._find(agreement, connection)
            self._check_live(row)
            opened = self._open(row, session, connection)
            day, that_day = self._room(row, units)
            self._policies.spend(connection, row.job, plan, row.step, session, units, shares)
            used = {"day": day, "used_that_day": that_day, "used": row.used + units}
            self._rows.change(row.id, used, connection=connection)
            spent = {"units": opened.units + units}
            self._rows.change_session(row.id, session, spent, connection=connection)

        try:
            self._database.write(work)
        except UserError as error:
            self._access.audit.refused(
                "system",
                "agreement.spend",
                agreement,
                code=error.code,
                source=agreement,
                units=units,
            )
            raise

    def _open(self, row: AgreementRow, session: int, connection: Connection) -> SessionRow:
        opened = self._rows.session(row.id, session, connection=connection)
        if opened is None or opened.closed is not None:
            raise ConflictError("ATL-AGR-007", f"session {session} is not open here", place=row.id)
        return opened

    def _room(self, row: AgreementRow, units: int) -> tuple[str, int]:
        """Return the day, and what is used on it with these units. Errors: ATL-AGR-004 and 005."""
        # A clock that was set back gives no day twice.
        day, most = max(self._today(), row.day), row.terms
        that_day = units + (row.used_that_day if day == row.day else 0)
        if row.used + units > most["most"]:
            raise _used_up("ATL-AGR-005", row, units, most["most"] - row.used, "in all", None)
        if that_day > most["per_day"]:
            left = most["per_day"] - that_day + units
            hint = "the next day begins at midnight UTC; or propose a new agreement"
            raise _used_up("ATL-AGR-004", row, units, left, "today", hint)
        return day, that_day

    def close_session(
        self,
        agreement: str,
        session: int,
        reveals: Sequence[Mapping[str, Any]] | None,
        traffic: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write what a session really sent: its disclosures (None: unknown) and traffic rows.

        A second time does nothing. Errors: ATL-AGR-001.
        """
        row = self._find(agreement)
        plan, _ = self._signed(row)
        sent = None if reveals is None else [dict(line) for line in reveals]
        moved = [TrafficRow.of(row.job, row.step, session, line) for line in traffic]

        def work(connection: Connection) -> None:
            opened = self._rows.session(row.id, session, connection=connection)
            if opened is None or opened.closed is not None:
                return
            closed = {"closed": self._wall()}
            self._rows.change_session(row.id, session, closed, connection=connection)
            self._policies.ledger.session(
                connection, row.job, plan, row.step, session, opened.units, sent
            )
            if moved:
                self._traffic.save(moved, connection=connection)

        self._database.write(work)

    # -- ending ------------------------------------------------------------------------------------

    def end(self, actor: Actor, agreement: str, reason: str = "") -> AgreementRow:
        """End an agreement at this node, at once and for good. Needs ``agreement.end``.

        One that has ended stays as it was. Errors: ATL-AGR-001.
        """
        self._access.require(actor, "agreement.end", agreement)

        def work(connection: Connection) -> AgreementRow:
            row = self._find(agreement, connection)
            if row.ended is not None:
                return row
            change = {"ended": self._wall(), "ended_by": actor.user, "reason": reason or None}
            self._rows.change(row.id, change, connection=connection)
            self._access.audit.record(connection, actor.user, "agreement.end", row.id)
            return self._find(agreement, connection)

        row = self._access.write(actor, "agreement.end", work, agreement)
        self._ended(agreement)
        return row

    def withdraw(self, connection: Connection, party: str, by: str) -> Callable[[], None]:
        """End all agreements with a party, in the caller's transaction.

        Returns what is to follow once it is written.
        """
        held = self._rows.jobs(self._wall(), connection=connection)
        ended = [id for id, job in held if party in job["parties"]]
        for id in ended:
            change = {"ended": self._wall(), "ended_by": by, "reason": f"{party} was revoked"}
            self._rows.change(id, change, connection=connection)
            self._access.audit.record(connection, by, "agreement.end", id, partner=party)

        def follow() -> None:
            for id in ended:
                self._ended(id)

        return follow

    def _today(self) -> str:
        return day_of(self._wall())


def end_of(day: str) -> float:
    """Return the end of a UTC day (ISO date) in seconds since 1970; 0 for a day that is none."""
    try:
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return (begin + timedelta(days=1)).timestamp()


def _used_up(
    code: str, row: AgreementRow, units: int, left: int, when: str, hint: str | None
) -> DeniedError:
    unit = row.terms["unit"]
    return DeniedError(
        code,
        f"{units} {unit} are asked for, and {max(left, 0)} are left {when}",
        place=row.id,
        hint=hint or "propose a new one: atoll agreement propose",
    )


__all__ = ["Book", "end_of"]

"""``Policies``: decides on plans, reserves what they may reveal, and takes approvals of people.

A decision, its reservation and its audit line are one transaction on the one writer, so of two jobs
that ask for the last of a cap at the same time one is refused before anything runs.

The life of a job's account: ``consider`` (or a person's ``approve``) reserves what its initiator
may learn; ``begin`` before each attempt of a step reserves, when a run begins, what others may, and
covers retries and re-runs; ``DatabaseLedger.charge`` after each attempt;
``DatabaseLedger.settle`` when the job has ended in whatever way, also refused or cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import cast

from sqlalchemy import Connection

from atoll.flow.access import Access, Actor
from atoll.flow.policy import repository
from atoll.flow.policy.accounts import WHOLE, Accounts
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.decision import (
    CAP,
    OWN,
    Decision,
    Kind,
    PolicySettings,
    decide,
    exceeded_caps,
    exceeded_table_caps,
)
from atoll.flow.policy.grants import Grant, matches
from atoll.flow.policy.ledger import DatabaseLedger, Share
from atoll.flow.policy.made_up import DAY_SECONDS, OVER, MadeUpLimits, over
from atoll.flow.policy.origins import origins
from atoll.flow.policy.refusals import (
    REFUSED_BY_PERSON,
    capped,
    check_unrefused,
    denied,
    gone,
    used_up,
)
from atoll.flow.policy.repository import POLICY, ApprovalRow, Grants
from atoll.flow.policy.reserving import Asked, by_content, more, unasked, uncovered
from atoll.flow.store.database import Database
from atoll.jobs.errors import ConflictError, DeniedError
from atoll.jobs.plan import Plan

Shares = tuple[Share, ...]


class Policies:
    """Decisions of ``party`` over its database. ``grants`` and ``ledger`` are its parts."""

    def __init__(
        self,
        database: Database,
        party: str,
        access: Access,
        settings: PolicySettings | None = None,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.party = party
        self.settings = settings or PolicySettings()
        self.grants = Grants(database, access, wall=wall)
        self.ledger = DatabaseLedger(database, party, wall)
        self._database = database
        self._access = access
        self._wall = wall

    def consider(
        self,
        job: str,
        plan: Plan,
        initiator: str,
        *,
        run: int = 1,
        runs: int = 1,
        stopped: bool = False,
    ) -> Decision:
        """Decide on ``runs`` runs of a plan from ``run`` on and, if they are approved, reserve the
        first. Repeatable.

        What was approved before, by whomever, stays so for the same plan and first run; what a
        person refused stays so for each. ``stopped``: a person stopped the job here, so what grants
        cover waits for a person, too.
        """
        digest = plan.digest()

        def work(connection: Connection) -> Decision:
            before = repository.decided(connection, job, digest, run)
            if before is not None and before.decision != "queue":
                return _recorded(before)
            decision = self._decide(connection, job, plan, initiator, free=True)
            if stopped and decision.kind == "approve":
                decision = Decision("queue", None, ("a person stopped the job here",), ("",))
            if decision.kind == "approve":
                held = decision.grants
                self.ledger.reserve(
                    connection, job, plan, initiator, runs=runs, grants=held, turn=run
                )
            text, now = _text(decision), self._wall()
            repository.keep(
                connection, ApprovalRow(job, digest, decision.kind, POLICY, text, now, run)
            )
            if before is None or decision.kind != "queue":
                self._record(connection, "system", job, plan, decision)
            return decision

        return self._database.write(work)

    def consider_made_up(
        self,
        job: str,
        plan: Plan,
        initiator: str,
        limits: MadeUpLimits,
        attempts: int,
        *,
        run: int = 1,
    ) -> Decision:
        """Decide on a partner's job over made-up tables alone: approve a little, else ask.

        Nothing is reserved, as nothing of anybody's is revealed. A job is approved so once; for
        runs beyond those a person is asked. Repeatable.
        """
        digest = plan.digest()

        def work(connection: Connection) -> Decision:
            before = repository.decided(connection, job, digest, run)
            if before is not None and before.decision != "queue":
                return _recorded(before)
            now = self._wall()
            earlier = repository.decided(connection, job, digest, 0)
            counted = repository.made_up(connection, initiator, job, now - DAY_SECONDS)
            reason = over(plan, limits, attempts, *counted)
            if earlier is not None and run > 1:
                reason = "the runs that need no approval are used up"
            if reason is None:
                decision, text = Decision("approve"), repository.MADE_UP
                repository.count_made_up(connection, job, initiator, now)
            else:
                kind: Kind = "queue" if self.settings.default == "ask" else "refuse"
                decision = Decision(kind, OVER, (reason,), ("policy.synthetic",))
                text = _text(decision)
            row = ApprovalRow(job, digest, decision.kind, POLICY, text, now, run)
            repository.keep(connection, row)
            if before is None or decision.kind != "queue":
                self._record(connection, "system", job, plan, decision)
            return decision

        return self._database.write(work)

    def approve(
        self,
        actor: Actor,
        job: str,
        plan: Plan,
        digest: str,
        initiator: str,
        *,
        submitter: str = "",
        run: int = 1,
        runs: int = 1,
    ) -> None:
        """Approve a plan that waits for a person from ``run`` on, and reserve that run.

        Needs ``job.approve``.

        ``digest`` is what the person saw. Errors: ATL-PLN-006 another plan, ATL-POL-005 and 006
        what a person cannot wave away, ATL-POL-010 the submitter's own job, ATL-POL-013 decided.
        """
        self._access.require(actor, "job.approve", job)

        def work(connection: Connection) -> None:
            _check_digest(plan, digest)
            before = repository.decided(connection, job, digest, run)
            if before is not None and before.decision == "approve":
                return
            _check_open(before)
            decision = self._decide(connection, job, plan, initiator)
            if decision.kind == "refuse":
                raise denied(decision)
            if decision.code == OWN and actor.user == submitter:
                raise DeniedError(OWN, "another person than its submitter must approve an own job")
            held = decision.grants
            self.ledger.reserve(connection, job, plan, initiator, runs=runs, grants=held, turn=run)
            row = ApprovalRow(job, digest, "approve", actor.user, "", self._wall(), run)
            repository.keep(connection, row)
            self._record(connection, actor.user, job, plan, Decision("approve"))

        self._access.write(actor, "job.approve", work, job, action="job.approve")

    def refuse(self, actor: Actor, job: str, digest: str, reason: str, *, run: int = 1) -> None:
        """Refuse a plan, approved or not: nothing more of it begins. Needs ``job.approve``.

        The reason stays here; the partner is sent ATL-POL-016. Errors: ATL-POL-013 refused before.
        """
        self._access.require(actor, "job.approve", job)

        def work(connection: Connection) -> None:
            _check_open(repository.decided(connection, job, digest, run))
            row = ApprovalRow(job, digest, "refuse", actor.user, reason, self._wall(), run)
            repository.keep(connection, row)
            self._access.audit.record(connection, actor.user, "job.refuse", job, plan=digest)

        self._access.write(actor, "job.approve", work, job, action="job.refuse")
        self.ledger.settle(job)

    def begin(
        self,
        job: str,
        plan: Plan,
        step: str,
        attempt: int,
        initiator: str,
        *,
        turn: int = 0,
        spends: bool = False,
    ) -> None:
        """Make sure that one more attempt of a step is covered; call it before each attempt.

        When a run begins, all have approved it: what others than the initiator may learn is
        reserved then, and caps hold that ``consider`` left out. By this and the approval's
        reservation the first attempt is covered, and so is a retry of one that revealed nothing.
        Any other takes from the caps again. Grants that the approval rested on must hold at each
        run, and at each attempt that may reveal. A run of the job (``turn`` is its number) takes
        one of the approved runs when its coins are tossed, or its first own task begins, whatever
        step that is; an attempt that ``spends`` one takes another. Each is charged at once,
        whatever becomes of it, the initiator also for a run that a cap does not let begin.
        Errors: ATL-PLN-006 another plan, ATL-POL-005 a cap, ATL-POL-001 its grant is gone,
        ATL-POL-014 no run left, ATL-POL-016 it was refused after all.
        """

        def work(connection: Connection) -> DeniedError | None:
            try:
                self._begin(connection, job, plan, step, attempt, initiator, turn, spends)
            except DeniedError as error:
                begun = _counted(self.ledger.accounts(connection), job, turn)
                if error.code != CAP or initiator == self.party or begun:
                    raise
                # Else what is left of a cap, perhaps another partner's, would show for nothing.
                whose = (job, plan, step, attempt, initiator)
                self.ledger.start(connection, *whose, turn=turn, takes=True, refused=True)
                self.ledger.close(connection, job)
                return error
            return None

        try:
            if (over := self._database.write(work)) is not None:
                raise over
        except DeniedError as error:
            self._access.audit.refused("system", "step.begin", job, code=error.code, step=step)
            raise

    def _begin(
        self,
        connection: Connection,
        job: str,
        plan: Plan,
        step: str,
        attempt: int,
        initiator: str,
        turn: int,
        spends: bool,
    ) -> None:
        check_unrefused(connection, job, plan, turn)
        accounts = self.ledger.accounts(connection)
        pairs = list(self.ledger.pairs(plan, initiator))
        if not pairs:
            return
        history = accounts.jobs.get(job)
        if history is None or plan.digest() not in history.plans:
            raise DeniedError("ATL-PLN-006", "this plan was not approved here", place=job)
        account = accounts.open.get(job)
        takes = spends or not _counted(accounts, job, turn)
        if takes and account is not None and not history.used_up():
            if initiator != self.party and not account.counted(turn):
                # When it was decided tables went by their names.
                own = [(s, partner, s.counts) for s, partner in pairs if partner == initiator]
                self._check_caps(connection, accounts, own, history.grants, reserved=True)
            self._reserve_others(connection, job, plan, initiator)
            accounts = self.ledger.accounts(connection)
            account = accounts.open[job]
        steps = uncovered(accounts, account, pairs, {step, WHOLE} if takes else {step})
        if not plan.exposure and any(steps & share.covered().keys() for share, _ in pairs):
            text = "this plan is from before steps declared what they expose: submit it again"
            raise DeniedError("ATL-PLN-006", text, place=job)
        if takes and history.used_up():
            raise used_up(job)
        wanted = [(s, partner) for s, partner in pairs if takes or step in s.covered()]
        self._check_grants(connection, wanted, history.grants)
        if steps:
            held, runs = history.grants, history.allowed
            asked = [(share, partner, more(share, steps)) for share, partner in pairs]
            self._check_caps(connection, accounts, asked, held)
            self.ledger.reserve(
                connection, job, plan, initiator, runs=runs, grants=held, steps=steps
            )
        self.ledger.start(connection, job, plan, step, attempt, initiator, turn=turn, takes=takes)

    def _reserve_others(self, connection: Connection, job: str, plan: Plan, initiator: str) -> None:
        accounts = self.ledger.accounts(connection)
        late = unasked(accounts, job, self.ledger.pairs(plan, initiator))
        if not late:
            return
        steps = {WHOLE}.union(*(share.covered() for share, _ in late))
        asked = [(share, partner, share.counts) for share, partner in late]
        held, runs = accounts.jobs[job].grants, accounts.jobs[job].allowed
        self._check_caps(connection, accounts, asked, held)
        self.ledger.reserve(
            connection, job, plan, initiator, runs=runs, grants=held, steps=steps, shares=late
        )

    def check_refused(self, job: str, plan: Plan, turn: int) -> None:
        """Check that no person refused a plan. Errors: ATL-POL-016."""
        self._database.read(lambda c: check_unrefused(c, job, plan, turn))

    def shares(self, plan: Plan, step: str) -> Shares:
        """Return what a step asks of each table for each partner; it does not change."""
        pairs = self.ledger.pairs(plan, self.party)
        return tuple(pair for pair in pairs if step in pair[0].covered())

    def spend(
        self,
        connection: Connection,
        job: str,
        plan: Plan,
        step: str,
        session: int,
        rows: int,
        shares: Shares,
    ) -> None:
        """Take rows from the caps for requests under a standing agreement, inside a write.

        ``shares`` are those of the plan and step, with the contents of today. Errors: those of
        ``check_rows``.
        """
        self.check_rows(connection, job, plan, rows, shares)
        if shares:
            counts = Counts(rows=rows)
            self.ledger.spend(connection, job, plan, step, session, shares, counts)

    def check_rows(
        self, connection: Connection, job: str, plan: Plan, rows: int, shares: Shares
    ) -> None:
        """Check inside a write that rows may be taken of tables, and take none.

        Errors: ATL-PLN-006 another plan, ATL-POL-005 a cap, ATL-POL-001 its grant is gone.
        """
        if not shares:
            return  # The requests of this party carry its columns: no table has a cap for them.
        accounts, counts = self.ledger.accounts(connection), Counts(rows=rows)
        history = accounts.jobs.get(job)
        if history is None or plan.digest() not in history.plans:
            raise DeniedError("ATL-PLN-006", "this plan was not approved here", place=job)
        asked = [(share, partner, counts) for share, partner in shares]
        self._check_caps(connection, accounts, asked, history.grants)

    def check_new(self, job: str) -> None:
        """Refuse the id of a job that was here before and was deleted. Errors: ATL-POL-018."""
        if self.ledger.knows(job) or self._database.read(lambda c: repository.known(c, job)):
            raise ConflictError(
                "ATL-POL-018",
                "a job of this id was decided on here before, and was deleted",
                place=job,
                hint="submit the job again: it gets an id of its own",
            )

    def granted(self, partner: str, tables: Iterable[str]) -> frozenset[str]:
        """Return those of these tables on which a live grant names a partner."""
        now = self._wall()
        found = self._database.read(lambda c: repository.on_tables(c, tables, now))
        return frozenset(grant.data for grant in found if matches(grant.partners, partner))

    def _grants_for(self, connection: Connection, plan: Plan) -> list[Grant]:
        tables = self.ledger.exposures(plan)
        return repository.on_tables(connection, tables, self._wall()) if tables else []

    def _decide(
        self, connection: Connection, job: str, plan: Plan, initiator: str, *, free: bool = False
    ) -> Decision:
        free = free and initiator != self.party
        # What earlier runs reserved and did not use is not counted beside what is asked now.
        self.ledger.close(connection, job)
        return decide(
            plan,
            self.party,
            initiator,
            self._grants_for(connection, plan),
            self.ledger.usages_in(connection, plan, initiator, by_name=free),
            self._wall(),
            self.settings,
            repository.caps_of(connection, self.ledger.exposures(plan)),
            origins(plan, self.party, self._database),
            free=free,
        )

    def _check_caps(
        self,
        connection: Connection,
        accounts: Accounts,
        asked: Sequence[Asked],
        held: frozenset[str],
        *,
        reserved: bool = False,
    ) -> None:
        """Check that a job's grants hold, and caps have room for what is asked, or ``reserved``."""
        caps = repository.caps_of(connection, {exposure.table for exposure, _, _ in asked})
        shares = [(exposure, partner) for exposure, partner, _ in asked]
        holding = self._check_grants(connection, shares, held)
        sums = by_content(accounts, asked)
        for (exposure, partner), fitting in zip(shares, holding, strict=True):
            more = sums[accounts.content(exposure.digest), partner]
            whole = accounts.used(exposure.table, exposure.digest, partner)
            whole = whole if reserved else whole + more
            if exceeded_table_caps(caps, exposure.table, partner, whole, more):
                raise capped("the table's cap is used up", exposure.table, partner)
            if fitting and all(exceeded_caps(grant.limits, whole, more) for grant in fitting):
                raise capped("a cap is used up", exposure.table, partner)

    def _check_grants(
        self, connection: Connection, shares: Sequence[Share], held: frozenset[str]
    ) -> list[list[Grant]]:
        """Return of ``held`` the live grants for each share, none where it rested on none.

        Errors: ATL-POL-001 it rested on some, and none lives.
        """
        grants, now = [repository.get(connection, name) for name in sorted(held)], self._wall()
        found = []
        for exposure, partner in shares:
            given = [g for g in grants if g.data == exposure.table and matches(g.partners, partner)]
            found.append([grant for grant in given if grant.live(now)])
            # Without any, a person approved it for this table and partner, or it is our own.
            if given and not found[-1]:
                raise gone(exposure.table, partner)
        return found

    def _record(
        self, connection: Connection, actor: str, job: str, plan: Plan, decision: Decision
    ) -> None:
        """Write the audit line of a decision."""
        self._access.audit.record(
            connection,
            actor,
            "job.decide",
            job,
            "done" if decision.kind == "approve" else decision.kind + "d",
            code=decision.code,
            plan=plan.digest(),
            grants=decision.grants or None,
        )


def _counted(accounts: Accounts, job: str, turn: int) -> bool:
    account = accounts.open.get(job)
    return account is not None and account.counted(turn)


def _text(decision: Decision) -> str:
    """Return code and reasons as one line, for this party's people."""
    reasons = "; ".join(
        f"{r} ({p})" for r, p in zip(decision.reasons, decision.places, strict=True)
    )
    return f"{decision.code}: {reasons}" if decision.code else reasons


def _recorded(row: ApprovalRow) -> Decision:
    ours = row.by == POLICY and row.reason and row.decision != "approve"
    code = row.reason.partition(":")[0] if ours else None
    if row.decision == "refuse" and code is None:
        code = REFUSED_BY_PERSON
    reasons = (row.reason,) if row.reason else ()
    return replace(
        Decision(cast(Kind, row.decision), code), reasons=reasons, places=("",) * len(reasons)
    )


def _check_digest(plan: Plan, digest: str) -> None:
    if plan.digest() != digest:
        raise DeniedError(
            "ATL-PLN-006",
            "this is not the plan that waits",
            place="digest",
            hint="look at the plan again and approve its digest",
        )


def _check_open(row: ApprovalRow | None) -> None:
    if row is not None and row.decision == "refuse":
        raise ConflictError("ATL-POL-013", "the plan was refused before", place=row.job)


__all__ = ["Policies"]

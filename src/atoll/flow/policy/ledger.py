"""The ledger of a node: what was agreed to and revealed, as a chain of lines in a table.

It has lines of what happened (approval, start, reveal, end) and those that keep the accounts
of ``accounts`` (reserve, task, charge, settle; spend and session of standing agreements). What is
reserved is in the ledger before the party's approval leaves it, so two jobs at the same time cannot
both have the last of a cap.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, case, null, select

from atoll.core.names import party_of
from atoll.flow.planning import AGREEMENT_STEP, DECLARED
from atoll.flow.policy.accounts import (
    APPROVAL,
    BEGUN,
    CHARGE,
    COMMITMENT,
    KINDS,
    RESERVE,
    SETTLE,
    SPEND,
    START,
    TASK,
    WHOLE,
    Accounts,
    Key,
)
from atoll.flow.policy.charges import charged
from atoll.flow.policy.counts import Counts, Usage, total
from atoll.flow.policy.exposure import RUN, TableExposure, table_exposures
from atoll.flow.policy.origins import origins
from atoll.flow.store.chain_table import ChainTable
from atoll.flow.store.database import Database
from atoll.flow.store.paging import MOST, Page, every
from atoll.flow.store.schema import ledger
from atoll.jobs.approval import Approval
from atoll.jobs.definition import Job
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan

SESSION = "session"
CHAIN = ChainTable(ledger, ("kind",), "body", "ATL-POL-015")

_PAGE = 1000

_FOLLOWING = (
    select(
        ledger.c.number,
        ledger.c.hash,
        ledger.c.kind,
        case((ledger.c.kind.in_(KINDS), ledger.c.body), else_=null()).label("body"),
    )
    .where(ledger.c.number >= bindparam("least"))
    .order_by(ledger.c.number)
    .limit(_PAGE)
)

Entry = tuple[str, Mapping[str, Any]]
Share = tuple[TableExposure, str]


class Contents(Protocol):
    """What knows the tables' contents: by each digest under which one is named, that of its rows.

    A content is another under each label that is asked for; its rows are the same.
    """

    def contents(self, name: str) -> Mapping[str, str]:
        """Return those of one table."""
        ...

    def all_contents(self) -> Mapping[str, str]:
        """Return those of all tables."""
        ...


class DatabaseLedger:
    """The ledger of ``party``. Errors: ATL-POL-015 a broken end, those of the database."""

    def __init__(
        self, database: Database, party: str, wall: Callable[[], float] = time.time
    ) -> None:
        self.party = party
        self._database = database
        self._wall = wall
        # Readers have older snapshots than the writer, so each has its own place in the ledger.
        self._reading, self._writing = Accounts(), Accounts()
        self._lock = threading.Lock()
        self._contents: Contents | None = None
        self._noted: set[str] = set()

    def know(self, contents: Contents) -> None:
        """Keep accounts by rows from now on; also those that were kept by other digests of them."""
        self._contents = contents
        same = contents.all_contents()
        if same:
            self._database.write(lambda c: self.write(c, self._unknown(c, "", same)))

    def note_contents(self, tables: Mapping[str, str]) -> None:
        """Note whose rows these contents (by the tables' names) are, where that is new."""
        if self._contents is None or self._noted.issuperset(tables.values()):
            return
        same: dict[str, str] = {}
        for name in tables:
            same |= self._contents.contents(name)
        self._database.write(lambda c: self.write(c, self._unknown(c, "", same)))
        self._noted.update(tables.values())

    def _unknown(self, connection: Connection, run: str, same: Mapping[str, str]) -> list[Entry]:
        """Return the lines by which contents, and commitments to them, have the accounts of others.

        Those that have them already have none.
        """
        content = self._follow(connection, self._writing).content
        return [
            (COMMITMENT, {"run": run, "commitment": name, "digest": digest})
            for name, digest in sorted(same.items())
            if content(name) != content(digest)
        ]

    def write(self, connection: Connection, entries: Iterable[Entry]) -> None:
        """Add lines inside the caller's transaction."""
        lines = [({"kind": kind}, dict(fields)) for kind, fields in entries]
        CHAIN.append(connection, self._wall(), lines)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Give all lines as the file has them, oldest first."""
        for line in every(self.page):
            body = line.pop("body")
            yield {**body, **line}

    def page(
        self, after: str | None = None, limit: int = MOST, *, newest_first: bool = False
    ) -> Page[dict[str, Any]]:
        """Return a page of lines: number, time, kind, body, previous, hash."""
        return self._database.read(lambda c: CHAIN.page(c, after, limit, newest_first=newest_first))

    def verify(self) -> int | None:
        """Return the number of the first broken line, None if the ledger is whole."""
        return self._database.read(CHAIN.verify)

    def usages_in(
        self, connection: Connection, plan: Plan, initiator: str, *, by_name: bool = False
    ) -> Usage:
        """Return what ``decide`` needs, in a write: nothing comes between it and a reservation.

        ``by_name``: of tables by their names alone, so that no one sees which are the same.
        """
        accounts, alike = self._follow(connection, self._writing), dict[str, list[Share]]()
        if by_name:
            pairs = self.pairs(plan, initiator)
            return {
                (s.table, partner): accounts.used(s.table, None, partner) for s, partner in pairs
            }
        for share, partner in self.pairs(plan, initiator):
            alike.setdefault(accounts.content(share.digest), []).append((share, partner))
        return {
            (share.table, partner): accounts.used(share.table, share.digest, partner)
            + total(o.counts for o, p in same if p == partner and o is not share)
            for same in alike.values()
            for share, partner in same
        }

    def accounts(self, connection: Connection) -> Accounts:
        """Return the accounts inside a write, to be read at once and not kept."""
        return self._follow(connection, self._writing)

    def open_jobs(self) -> list[str]:
        """Return the jobs that hold reservations: settle those that have ended."""
        with self._lock:
            return self._database.read(lambda c: sorted(self._follow(c, self._reading).open))

    def reserve(
        self,
        connection: Connection,
        job: str,
        plan: Plan,
        initiator: str,
        *,
        runs: int = 1,
        grants: Iterable[str] = (),
        steps: Iterable[str] | None = None,
        turn: int = 0,
        shares: Iterable[Share] | None = None,
    ) -> None:
        """Reserve one run of a plan, or more of some of its steps, inside a write.

        ``shares`` are those of ``pairs`` that are meant; all by default. With ``steps`` None the
        whole run is reserved, in a partner's job for that partner alone: whoever else takes part
        has asked for nothing yet, and perhaps never does. Then ``runs`` more are approved; else
        ``runs`` is how many were. ``turn`` is the number of the run. Caps are checked before, by
        ``decide`` or ``Policies.begin``.
        """
        chosen = None if steps is None else set(steps)
        lines: list[Entry] = []
        accounts = self._follow(connection, self._writing)
        if chosen is None and job in accounts.jobs:
            # Another approval is for as many runs more.
            runs += accounts.jobs[job].taken
        common = {**_common(job, plan), "runs": runs, "grants": sorted(grants)}
        common |= {"turn": turn} if turn else {}
        for exposure, partner in self.pairs(plan, initiator) if shares is None else shares:
            if chosen is None and initiator not in (self.party, partner):
                continue
            wanted = {WHOLE: RUN, **exposure.covered()}
            key = accounts.key(exposure, partner)
            for step in sorted(wanted if chosen is None else wanted.keys() & chosen):
                lines.append((RESERVE, {**common, **_whose(key, step, wanted[step])}))
        self.write(connection, lines)

    def charge(
        self,
        job: str,
        plan: Plan,
        step: str,
        attempt: int,
        reveals: Iterable[Mapping[str, Any]] | None,
        *,
        aborted: bool = False,
    ) -> None:
        """Write what one attempt of a step revealed, and charge it. A second time does nothing.

        ``reveals`` are the task's disclosures (``Disclosures.to_list``); None where no one knows,
        as with a lost worker: then the step is charged in full, if it was begun at all. ``aborted``
        is noted of a coin toss that broke off after this party had opened its value.
        """
        sent = None if reveals is None else [dict(line) for line in reveals]
        noted = {"aborted": True} if aborted else {}
        self._database.write(lambda c: self._charge(c, job, plan, step, attempt, sent, noted))

    def _charge(
        self,
        connection: Connection,
        job: str,
        plan: Plan,
        step: str,
        attempt: int,
        sent: list[dict[str, Any]] | None,
        noted: Mapping[str, Any],
    ) -> None:
        accounts = self._follow(connection, self._writing)
        history = accounts.jobs.get(job)
        if history is not None and attempt in history.attempts.get(step, ()):
            return
        begun = bool(noted) or (history is not None and history.begun(step, attempt))
        exposures = self.exposures(plan).values()
        # What was not let begin sent nothing, and is no attempt.
        if not begun and (
            sent is None or (not sent and any(step in e.covered() for e in exposures))
        ):
            return
        common = {**_common(job, plan), "step": step, "attempt": attempt}
        lines: list[Entry] = [("reveal", {**common, **line}) for line in sent or ()]
        lines.append((TASK, {**common, "known": sent is not None, **noted}))
        if sent is None and step in plan.standing:
            sent = []  # What it exposes, it does not in its job.
        for exposure in exposures:
            for partner in sorted(plan.job.parties.keys() - {self.party}):
                share = _share(exposure, partner, step, sent)
                direct = share is not None
                share = share or exposure.partners.get(partner)
                if share is None or step not in share.covered():
                    continue
                counts = charged(plan, step, share.steps.get(step, Counts()), sent, partner)
                if not direct and not counts:
                    continue
                if not plan.exposure:
                    # From before units were declared: as much as was reserved then.
                    counts = counts.most(accounts.reserved(job, share, partner, step))
                key = accounts.key(share, partner)
                lines.append((CHARGE, {**common, **_whose(key, step, counts)}))
        self.write(connection, lines)
        account = self._follow(connection, self._writing).open.get(job)
        if account is not None and account.settling:
            self.close(connection, job)

    def spend(
        self,
        connection: Connection,
        job: str,
        plan: Plan,
        step: str,
        session: int,
        shares: Iterable[tuple[TableExposure, str]],
        counts: Counts,
    ) -> None:
        """Write inside a write what a standing agreement's session may now use of each table.

        ``shares`` are those of ``pairs`` that the step covers; caps are checked before.
        """
        common = {**_common(job, plan), "attempt": session}
        accounts = self._follow(connection, self._writing)
        keys = [accounts.key(share, partner) for share, partner in shares]
        whose = [_whose(key, step, counts) for key in keys]
        self.write(connection, [(SPEND, {**common, **one}) for one in whose])

    def session(
        self,
        connection: Connection,
        job: str,
        plan: Plan,
        step: str,
        session: int,
        units: int,
        reveals: Iterable[Mapping[str, Any]] | None,
    ) -> None:
        """Write inside a write what a session that is over spent, and what it really sent.

        ``reveals`` are its disclosures, None where no one knows them; what was spent is charged.
        """
        common = {**_common(job, plan), "step": step, "attempt": session}
        lines: list[Entry] = [("reveal", {**common, **line}) for line in reveals or ()]
        lines.append((SESSION, {**common, "units": units, "known": reveals is not None}))
        self.write(connection, lines)

    def declared(
        self,
        run: str,
        job: Job,
        sizes: Mapping[str, int],
        committed: Mapping[str, str | None] | None = None,
        tables: Iterable[str] = (),
    ) -> None:
        """Write which partners were sent facts of own tables, in bytes. Repeatable for a run.

        ``committed`` holds by commitment the digest of the content that the run's plan names by it,
        ``tables`` the names of these.
        """
        common = {"run": run, "job": job.digest(), "plan": "", "step": AGREEMENT_STEP, "attempt": 0}
        sent = {name: DECLARED.to_dict()[name] for name in ("message", "field", "what")}
        lines: list[Entry] = [
            ("reveal", {**common, "receiver": partner, **sent, "elements": size})
            for partner, size in sorted(sizes.items())
        ]
        same = {name: digest for name, digest in (committed or {}).items() if digest is not None}
        if same and self._contents is not None:
            for name in tables:
                same |= self._contents.contents(name)
        if not lines and not same:
            return

        def work(connection: Connection) -> None:
            self.write(connection, self._unknown(connection, run, same))
            if not lines:
                return
            history = self._follow(connection, self._writing).jobs.get(run)
            if history is None or AGREEMENT_STEP not in history.attempts:
                self.write(connection, [*lines, (TASK, {**common, "known": True})])

        self._database.write(work)

    def accept(self, job: str, agreed: Iterable[Approval]) -> None:
        """Write down the approvals of all parties before the first step. Repeatable for a job.

        Errors: ATL-PLN-004 an approval that another job used.
        """
        entries = [{"run": job, **entry.to_line()} for entry in agreed]

        def work(connection: Connection) -> None:
            known = self._follow(connection, self._writing).nonces
            for entry in entries:
                if known.get(entry["nonce"], job) != job:
                    party = str(entry["approver"])
                    raise DeniedError("ATL-PLN-004", "the approval was used before", party=party)
            fresh = [entry for entry in entries if entry["nonce"] not in known]
            self.write(connection, [(APPROVAL, entry) for entry in fresh])

        self._database.write(work)

    def start(
        self,
        connection: Connection,
        job: str,
        plan: Plan,
        step: str,
        attempt: int,
        initiator: str,
        *,
        turn: int = 0,
        takes: bool = False,
        refused: bool = False,
    ) -> None:
        """Write inside a write that an attempt begins, and charge a run that it takes.

        ``turn`` is the number of the job's run. The run counts for each table and partner of the
        plan, and the initiator, whatever becomes of the attempt; for the initiator alone where the
        attempt was ``refused``.
        """
        accounts = self._follow(connection, self._writing)
        line = {**_common(job, plan), "step": step}
        lines: list[Entry] = [] if refused else [(START, {**line, "attempt": attempt})]
        if takes:
            # So that each is another attempt at a run.
            number = accounts.jobs[job].taken
            pairs = [p for p in self.pairs(plan, initiator) if not refused or p[1] == initiator]
            keys = sorted({accounts.key(share, partner) for share, partner in pairs})
            lines.append((BEGUN, {**line, "turn": turn}))
            common = {**_common(job, plan), "attempt": number}
            lines += [(CHARGE, {**common, **_whose(key, WHOLE, RUN)}) for key in keys]
        self.write(connection, lines)

    def settle(self, job: str, turn: int | None = None) -> None:
        """Close a job's account: what was reserved and not revealed is free again. Repeatable.

        A step of which an attempt was begun and has not been reported stays reserved until it is.
        ``turn`` is the run that has ended: if a later one was reserved or begun, nothing is closed.
        """
        self._database.write(lambda c: self.close(c, job, turn))

    def close(self, connection: Connection, job: str, turn: int | None = None) -> None:
        """Do what ``settle`` does, inside a write."""
        accounts = self._follow(connection, self._writing)
        account, kept = accounts.open.get(job), accounts.at_work(job)
        if account is None or (turn is not None and account.latest > turn):
            return
        if account.settling and all(kept >= steps.keys() for steps in account.steps.values()):
            return
        self.write(connection, [(SETTLE, {"run": job, **({"keep": sorted(kept)} if kept else {})})])

    def knows(self, job: str) -> bool:
        """Return whether a job has any history here, also one whose row is gone."""
        with self._lock:
            return self._database.read(lambda c: job in self._follow(c, self._reading).jobs)

    def exposures(self, plan: Plan) -> Mapping[str, TableExposure]:
        """Return what a plan asks of own tables, also by what earlier jobs fitted on them."""
        return table_exposures(plan, self.party, origins(plan, self.party, self._database))

    def pairs(self, plan: Plan, initiator: str) -> Iterator[Share]:
        """Give what a plan asks of each table for each partner that may learn of it.

        Of the initiator, if it is another party, at least the run.
        """
        other = None if initiator == self.party else initiator
        for exposure in self.exposures(plan).values():
            for partner, share in exposure.asked(other).items():
                yield share, partner

    def _follow(self, connection: Connection, accounts: Accounts) -> Accounts:
        """Bring accounts up to date; from the start if the line they end at is no longer there."""
        for line in self._lines(connection, accounts):
            if line.number == accounts.number and line.hash == accounts.hash:
                continue
            if line.kind in KINDS:
                accounts.take(line.kind, json.loads(line.body))
            accounts.number, accounts.hash = line.number, line.hash
        return accounts

    def _lines(self, connection: Connection, accounts: Accounts) -> Iterator[Any]:
        """Give the lines from the one on at which accounts end, page by page.

        Most of a ledger are reveals, which move no account: they come without their bodies.
        """
        page = connection.execute(_FOLLOWING, {"least": accounts.number}).all()
        if accounts.number and (not page or page[0][:2] != (accounts.number, accounts.hash)):
            accounts.clear()
            page = connection.execute(_FOLLOWING, {"least": 0}).all()
        while page:
            yield from page
            if len(page) < _PAGE:
                return
            page = connection.execute(_FOLLOWING, {"least": page[-1].number + 1}).all()


def _common(job: str, plan: Plan) -> dict[str, Any]:
    return {"run": job, "job": plan.job.digest(), "plan": plan.digest()}


def _share(
    exposure: TableExposure, partner: str, step: str, sent: list[dict[str, Any]] | None
) -> TableExposure | None:
    """Return what a step's attempt is charged by for a partner; None if it received nothing."""
    if sent is not None and not any(party_of(line["receiver"]) == partner for line in sent):
        return None
    share = exposure.partners.get(partner)
    if share is not None and step in share.covered():
        return share
    # It received something that the plan does not foresee: charged all the same.
    return exposure if sent is not None and step in exposure.covered() else None


def _whose(key: Key, step: str, counts: Counts) -> dict[str, Any]:
    return {"step": step, **key._asdict(), "counts": counts.plain()}

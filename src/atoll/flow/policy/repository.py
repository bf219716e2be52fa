"""Grants and approvals as rows. Every change asks for a permission and leaves an audit line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, case, func, insert, or_, select, update

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.flow.access import Access, Actor
from atoll.flow.policy.grants import ANY, Caps, Grant, GrantTerms, TableCaps, parse_terms
from atoll.flow.store.database import Database
from atoll.flow.store.paging import MOST, Page, page
from atoll.flow.store.schema import approvals, caps, data, grants, jobs
from atoll.flow.store.statements import upsert
from atoll.jobs.errors import NotFoundError
from atoll.jobs.states import ENDED

_IDENTIFIER = re.compile(r"[0-9a-f]{16}")
_REASON = 4096
# Why a partner's job over made-up tables was approved: by this they are counted.
MADE_UP = "made-up tables alone"
# In place of a plan's digest in the row that counts such an approval; ``by`` is the partner there.
# Later decisions on the job have a row of their own, so this one stays as it is.
COUNTED = "unasked"
# Who decided, where it was no person.
POLICY = "policy"


class Grants:
    """The grants of a node."""

    def __init__(
        self,
        database: Database,
        access: Access,
        *,
        random: SecretRandom | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._access = access
        self._random = random or SecretRandom()
        self._wall = wall

    def add(self, actor: Actor, table: str, terms: GrantTerms | dict[str, Any]) -> Grant:
        """Grant something on a registered table. Needs ``data.grant``.

        Errors: ATL-POL-011 not a grant, or an unknown column; ATL-POL-012 no such table.
        """
        self._access.require(actor, "data.grant", table)
        checked = terms if isinstance(terms, GrantTerms) else parse_terms(terms)
        made = Grant(
            **checked.model_dump(),
            id=self._random.bytes(8).hex(),
            data=table,
            created_by=actor.user,
            created=self._wall(),
        )

        def work(connection: Connection) -> None:
            _check_columns(connection, made)
            connection.execute(insert(grants).values(**_values(made)))
            self._access.audit.record(
                connection,
                actor.user,
                "data.grant",
                table,
                grant=made.id,
                partners=made.partners,
                components=made.components,
                automatic=made.automatic,
            )

        self._access.write(actor, "data.grant", work, table)
        return made

    def revoke(self, actor: Actor, identifier: str) -> Grant:
        """End a grant for good; jobs that wait or run again need another. Needs ``data.grant``.

        Errors: ATL-POL-012 there is none.
        """
        self._access.require(actor, "data.grant", identifier)

        def work(connection: Connection) -> Grant:
            found = get(connection, identifier)
            if found.revoked is not None:
                return found
            change = update(grants).where(grants.c.id == identifier)
            connection.execute(change.values(revoked=self._wall()))
            self._access.audit.record(
                connection, actor.user, "data.revoke", found.data, grant=identifier
            )
            return get(connection, identifier)

        return self._access.write(actor, "data.grant", work, identifier)

    def withdraw(self, connection: Connection, party: str, by: str) -> None:
        """Take a party out of all grants, in the caller's transaction; one that names no other
        ends. A grant to all partners stays as it is.
        """
        for row in connection.execute(select(grants).where(grants.c.revoked.is_(None))):
            found = _grant(row)
            if party not in found.partners:
                continue
            others = [name for name in found.partners if name != party]
            change = update(grants).where(grants.c.id == found.id)
            values = {"partners": json.dumps(others)} if others else {"revoked": self._wall()}
            connection.execute(change.values(**values))
            self._access.audit.record(
                connection, by, "data.revoke", found.data, grant=found.id, partner=party
            )

    def list(
        self, actor: Actor, table: str | None = None, *, after: str | None = None, limit: int = MOST
    ) -> Page[Grant]:
        """Return a page of grants, of one table or all, newest first. Needs ``data.read``."""
        self._access.require(actor, "data.read", table or "")
        query: Select[Any] = select(grants)
        if table is not None:
            query = query.where(grants.c.data == table)
        keys = (grants.c.created, grants.c.id)
        return self._database.read(
            lambda c: page(c, query, keys, _grant, limit=limit, after=after, newest_first=True)
        )

    def cap(self, actor: Actor, table: str, partner: str, chosen: Caps) -> TableCaps:
        """Set a table's own caps for a partner, or for each (``*``), in place of those before.

        Without any cap there is none any more. They bind with and without a grant, and what is
        used already counts. Needs ``data.grant``.
        """
        self._access.require(actor, "data.grant", table)
        made = TableCaps(
            data=table, partner=partner, caps=chosen, changed_by=actor.user, changed=self._wall()
        )
        kept = chosen.model_dump(mode="json", exclude_none=True)

        def work(connection: Connection) -> None:
            if kept:
                upsert(connection, caps, {**made.model_dump(), "caps": json.dumps(kept)})
            else:
                same = (caps.c.data == table, caps.c.partner == partner)
                connection.execute(caps.delete().where(*same))
            self._access.audit.record(
                connection,
                actor.user,
                "data.limit",
                table,
                partner=partner,
                caps=[f"{unit} {value}" for unit, value in kept.items()],
            )

        self._access.write(actor, "data.grant", work, table)
        return made

    def caps(self, actor: Actor, table: str) -> Sequence[TableCaps]:
        """Return a table's own caps. Needs ``data.read``."""
        self._access.require(actor, "data.read", table)
        return self._database.read(lambda c: caps_of(c, [table]))


def caps_of(connection: Connection, tables: Iterable[str]) -> Sequence[TableCaps]:
    """Return the own caps of some tables, by partner."""
    query = select(caps).where(caps.c.data.in_(sorted(tables)))
    rows = connection.execute(query.order_by(caps.c.data, caps.c.partner))
    return [
        TableCaps.model_validate(
            {**row._mapping, "caps": json.loads(row.caps), "changed_by": row.changed_by or ""}
        )
        for row in rows
    ]


def on_tables(connection: Connection, tables: Iterable[str], now: float) -> list[Grant]:
    """Return the grants on some tables that hold at ``now``, oldest first."""
    query = select(grants).where(grants.c.data.in_(sorted(tables)), grants.c.revoked.is_(None))
    found = [_grant(row) for row in connection.execute(query.order_by(grants.c.created))]
    return [grant for grant in found if grant.live(now)]


def get(connection: Connection, identifier: str) -> Grant:
    """Return a grant. Errors: ATL-POL-012."""
    query = select(grants).where(grants.c.id == identifier)
    row = connection.execute(query).first() if _IDENTIFIER.fullmatch(identifier) else None
    if row is None:
        raise NotFoundError("ATL-POL-012", "there is no such grant", place="id")
    return _grant(row)


def _values(grant: Grant) -> dict[str, Any]:
    return {
        **grant.model_dump(mode="json", include={"id", "data", "created_by", "created"}),
        **{
            name: json.dumps(getattr(grant, name))
            for name in ("partners", "columns", "components", "roles")
        },
        "limits": json.dumps(grant.limits.model_dump(mode="json", exclude_none=True)),
        "minimum_intersection": grant.minimum_intersection,
        "automatic": grant.automatic,
        "expires": grant.expires,
        "revoked": grant.revoked,
    }


def _grant(row: Any) -> Grant:
    value = dict(row._mapping)
    for name in ("partners", "columns", "components", "roles", "limits"):
        value[name] = json.loads(value[name])
    return Grant.model_validate(value)


def _check_columns(connection: Connection, grant: Grant) -> None:
    query = select(data.c.columns, data.c.label).where(data.c.name == grant.data)
    row = connection.execute(query).first()
    if row is None:
        raise NotFoundError("ATL-POL-012", "there is no such table to grant", place="data")
    entries = json.loads(row.columns)
    known = {entry["name"] if isinstance(entry, dict) else str(entry) for entry in entries}
    unknown = [name for name in grant.columns if name not in {*known, row.label, ANY}]
    if unknown:
        raise UserError(
            "ATL-POL-011",
            f"the table has no column {unknown[0]!r}",
            place="columns",
            hint=f"{len(unknown)} of the columns are not in the table",
        )


@dataclass(frozen=True)
class ApprovalRow:
    """What was decided here on a job's plan; ``by`` is a user or ``policy``, ``run`` the first run
    that it is for.
    """

    job: str
    plan_digest: str
    decision: str
    by: str
    reason: str
    time: float
    run: int = 1


def decided(connection: Connection, job: str, digest: str, run: int = 1) -> ApprovalRow | None:
    """Return what was decided on this plan of a job when it was asked from ``run`` on, or None.

    What a person refused stays so in later runs; all else is decided again.
    """
    query = select(approvals).where(approvals.c.job == job, approvals.c.plan_digest == digest)
    row = connection.execute(query).first()
    if row is None or (row.run < run and (row.decision != "refuse" or row.by == POLICY)):
        return None
    return _approval(row)


def known(connection: Connection, job: str) -> bool:
    """Return whether anything was decided on a job, also on one whose row is gone."""
    return (
        connection.execute(select(approvals.c.job).where(approvals.c.job == job)).first()
        is not None
    )


def _approval(row: Any) -> ApprovalRow:
    return ApprovalRow(
        row.job, row.plan_digest, row.decision, row.by or "", row.reason or "", row.time, row.run
    )


def made_up(connection: Connection, initiator: str, job: str, since: float) -> tuple[int, int]:
    """Return how many of a partner's other jobs over made-up tables were approved by themselves:
    those that have not ended, and those since a moment, also such as were deleted.
    """
    # Jobs from before they were counted by rows of their own have the approval's row alone.
    whose = case((approvals.c.plan_digest == COUNTED, approvals.c.by), else_=jobs.c.initiator)
    mine = (
        select(approvals.c.job, jobs.c.state, func.max(approvals.c.time).label("time"))
        .join(jobs, jobs.c.id == approvals.c.job, isouter=True)
        .where(
            approvals.c.decision == "approve",
            approvals.c.reason == MADE_UP,
            whose == initiator,
            approvals.c.job != job,
            or_(approvals.c.time >= since, jobs.c.state.not_in(ENDED)),
        )
        .group_by(approvals.c.job, jobs.c.state)
    )
    found = connection.execute(mine).all()
    unfinished = sum(row.state is not None and row.state not in ENDED for row in found)
    return unfinished, sum(row.time >= since for row in found)


def count_made_up(connection: Connection, job: str, initiator: str, now: float) -> None:
    """Write down, for good, that a partner's job over made-up tables was approved by itself."""
    keep(connection, ApprovalRow(job, COUNTED, "approve", initiator, MADE_UP, now))


def keep(connection: Connection, row: ApprovalRow) -> None:
    """Write down a decision over what was decided before."""
    values = {
        "job": row.job,
        "plan_digest": row.plan_digest,
        "decision": row.decision,
        "by": row.by,
        "reason": row.reason[:_REASON],
        "time": row.time,
        "run": row.run,
    }
    upsert(connection, approvals, values)

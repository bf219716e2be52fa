"""What of a plan is not reserved yet, and how much that is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from atoll.flow.policy.accounts import WHOLE, Accounts, JobAccount
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.exposure import RUN, TableExposure
from atoll.flow.policy.ledger import Share

Asked = tuple[TableExposure, str, Counts]


def unasked(accounts: Accounts, job: str, pairs: Iterable[Share]) -> list[Share]:
    """Return the shares of an open job of which nothing is reserved: the approval did not."""
    account = accounts.open[job]
    return [pair for pair in pairs if accounts.key(*pair) not in account.steps]


def uncovered(
    accounts: Accounts, account: JobAccount | None, pairs: Iterable[Share], wanted: set[str]
) -> set[str]:
    """Return those of the wanted steps that must be reserved, ``WHOLE`` for a run."""
    if account is None:
        return wanted
    return {
        step
        for share, partner in pairs
        for step in wanted & {WHOLE, *share.covered()}
        if not account.covers(accounts.key(share, partner), step)
    }


def by_content(accounts: Accounts, asked: Sequence[Asked]) -> dict[tuple[str, str], Counts]:
    """Return what is asked of each content for each partner: tables may share one."""
    found: dict[tuple[str, str], Counts] = {}
    for exposure, partner, counts in asked:
        at = accounts.content(exposure.digest), partner
        found[at] = found.get(at, Counts()) + counts
    return found


def more(exposure: TableExposure, steps: set[str]) -> Counts:
    """Return what some steps of a table's share may reveal; ``WHOLE`` among them counts a run."""
    found = RUN if WHOLE in steps else Counts()
    for name, counts in exposure.covered().items():
        if name in steps:
            found = found + counts
    return found

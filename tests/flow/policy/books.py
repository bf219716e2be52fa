"""Looks into a ledger, and lines of others in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.flow.policy.counts import Counts
from atoll.flow.policy.ledger import DatabaseLedger


def usage(ledger: DatabaseLedger, table: str, partner: str, digest: str | None = None) -> Counts:
    """What a partner used of a table, what is reserved for running jobs included."""
    return ledger._database.write(lambda c: ledger.accounts(c).used(table, digest, partner))


def append(ledger: DatabaseLedger, *entries: tuple[str, Mapping[str, Any]]) -> None:
    ledger._database.write(lambda c: ledger.write(c, entries))

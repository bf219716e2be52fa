"""Whether a party takes part in a job: grants, caps over the ledger, and the pure decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atoll.core.lazy import lazily

if TYPE_CHECKING:
    from atoll.flow.policy.counts import Counts, Usage
    from atoll.flow.policy.decision import Decision, PolicySettings, decide
    from atoll.flow.policy.exposure import TableExposure, table_exposures
    from atoll.flow.policy.grants import Grant, GrantLimits, GrantTerms, parse_terms
    from atoll.flow.policy.ledger import DatabaseLedger
    from atoll.flow.policy.repository import ApprovalRow, Grants
    from atoll.flow.policy.service import Policies

__all__ = [
    "ApprovalRow",
    "Counts",
    "DatabaseLedger",
    "Decision",
    "Grant",
    "GrantLimits",
    "GrantTerms",
    "Grants",
    "Policies",
    "PolicySettings",
    "TableExposure",
    "Usage",
    "decide",
    "parse_terms",
    "table_exposures",
]

# A class that a client shows must not bring the database with it.
__getattr__ = lazily(
    __name__,
    {
        "ApprovalRow": "repository",
        "Counts": "counts",
        "DatabaseLedger": "ledger",
        "Decision": "decision",
        "TableExposure": "exposure",
        "Grant": "grants",
        "GrantLimits": "grants",
        "GrantTerms": "grants",
        "Grants": "repository",
        "Policies": "service",
        "PolicySettings": "decision",
        "Usage": "counts",
        "decide": "decision",
        "table_exposures": "exposure",
        "parse_terms": "grants",
    },
)

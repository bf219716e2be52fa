"""Whether a party takes part in a job: grants, caps over the ledger, and the pure decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atoll.core.lazy import lazily

if TYPE_CHECKING:
    from atoll.flow.policy.counts import Counts, Usage
    from atoll.flow.policy.decision import Decision, PolicySettings, decide
    from atoll.flow.policy.demand import Demand, demands
    from atoll.flow.policy.grants import Grant, GrantLimits, GrantTerms, parse_terms
    from atoll.flow.policy.ledger import DatabaseLedger
    from atoll.flow.policy.repository import ApprovalRow, Grants
    from atoll.flow.policy.service import Policies

__all__ = [
    "ApprovalRow",
    "Counts",
    "DatabaseLedger",
    "Decision",
    "Demand",
    "Grant",
    "GrantLimits",
    "GrantTerms",
    "Grants",
    "Policies",
    "PolicySettings",
    "Usage",
    "decide",
    "demands",
    "parse_terms",
]

# A class that a client shows must not bring the database with it.
__getattr__ = lazily(
    __name__,
    {
        "ApprovalRow": "repository",
        "Counts": "counts",
        "DatabaseLedger": "ledger",
        "Decision": "decision",
        "Demand": "demand",
        "Grant": "grants",
        "GrantLimits": "grants",
        "GrantTerms": "grants",
        "Grants": "repository",
        "Policies": "service",
        "PolicySettings": "decision",
        "Usage": "counts",
        "decide": "decision",
        "demands": "demand",
        "parse_terms": "grants",
    },
)

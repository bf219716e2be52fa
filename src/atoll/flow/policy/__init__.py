"""Whether a party takes part in a job: grants, caps over the ledger, and the pure decision."""

from __future__ import annotations

from atoll.flow.policy.counts import Counts, Usage
from atoll.flow.policy.decision import Decision, PolicySettings, decide
from atoll.flow.policy.demands import Demand, demands
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

"""Whether a party takes part in a job: grants, caps over the ledger, and the pure decision."""

from __future__ import annotations

from atoll.flow.policy.counts import Counts, Usage
from atoll.flow.policy.decision import Decision, PolicySettings, decide
from atoll.flow.policy.demands import Demand, demands
from atoll.flow.policy.grants import Grant, GrantLimits, GrantTerms, parse_terms

__all__ = [
    "Counts",
    "Decision",
    "Demand",
    "Grant",
    "GrantLimits",
    "GrantTerms",
    "PolicySettings",
    "Usage",
    "decide",
    "demands",
    "parse_terms",
]

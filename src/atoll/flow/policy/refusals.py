"""What is raised where policies let nothing begin, or no person approve."""

from __future__ import annotations

from atoll.flow.policy.decision import CAP, Decision
from atoll.jobs.errors import DeniedError

RUNS = "ATL-POL-014"


def capped(reason: str, table: str, partner: str) -> DeniedError:
    """Return the refusal of a table's cap for a partner."""
    hint = "see `atoll ledger show`, and raise it: atoll data limit, atoll data grant"
    return DeniedError(CAP, reason, place=f"{table} for {partner}", hint=hint)


def gone(table: str, partner: str) -> DeniedError:
    """Return the refusal where the grant of an approved job is gone."""
    hint = "submit the job again; it is then decided again"
    text = "the grant that it ran under is gone"
    return DeniedError("ATL-POL-001", text, place=f"{table} for {partner}", hint=hint)


def used_up(job: str) -> DeniedError:
    """Return the refusal where no approved run is left."""
    return DeniedError(
        RUNS,
        "the approved number of runs is used up",
        place=job,
        hint="submit the job again; it is then decided again",
    )


def denied(decision: Decision) -> DeniedError:
    """Return what a person meets who approves what the policies refuse."""
    return DeniedError(
        decision.code or CAP,
        "; ".join(decision.reasons),
        place="; ".join(decision.places),
        hint="a person cannot wave this away: see the grants of the table and the node's policy",
    )

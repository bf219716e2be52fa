"""What is raised where policies let nothing begin, or no person approve."""

from __future__ import annotations

from sqlalchemy import Connection

from atoll.flow.policy import repository
from atoll.flow.policy.decision import CAP, ELSEWHERE, Decision
from atoll.flow.policy.repository import POLICY
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan

RUNS = "ATL-POL-014"
# A partner is sent one code, whether a person refused or what policies hold for another partner.
REFUSED_BY_PERSON = ELSEWHERE


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


def check_unrefused(connection: Connection, job: str, plan: Plan, turn: int) -> None:
    """Check that no person refused a run of a plan. Errors: ATL-POL-016."""
    found = repository.decided(connection, job, plan.digest(), turn)
    if found is not None and found.decision == "refuse" and found.by != POLICY:
        raise DeniedError(REFUSED_BY_PERSON, "a person refused the job", place=job)

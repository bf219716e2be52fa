"""Who says yes to a plan: nobody asked, a digest given before, or a person at the terminal."""

from __future__ import annotations

from collections.abc import Callable

from atoll.flow.ledger import Ledger
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan


def everything(plan: Plan) -> int:
    """Approve any plan for one run: for demos and tests, and where the caller took the choice."""
    return 1


def only(digest: str, party: str, ledger: Ledger, runs: int = 1) -> Callable[[Plan], int]:
    """Approve the plan of this digest, ``runs`` times over the life of the ledger.

    Errors: ATL-PLN-006 another plan, ATL-PLN-004 used up.
    """

    def approve(plan: Plan) -> int:
        if plan.digest() != digest:
            raise DeniedError(
                "ATL-PLN-006",
                "this is not the plan that was approved",
                hint="see it with `atoll job plan` and approve its digest",
            )
        used = sum(
            1
            for line in ledger.entries()
            if line["kind"] == "approval" and line["approver"] == party and line["plan"] == digest
        )
        if used >= runs:
            raise DeniedError(
                "ATL-PLN-004", "the approved number of runs is used up", hint="approve it again"
            )
        return runs

    return approve

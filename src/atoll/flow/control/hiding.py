"""Plans of which not every party sees every step: what each sends, and what is filled in. Pure.

Every party publishes the digests of the common parts and of the steps that it sees, no more and no
less: who sees a step follows from the job. So a hidden step has the digest on which all who see it
agree, and no party can have another one take over the digest of a step that it should see.
"""

from __future__ import annotations

from collections.abc import Iterable

from atoll.flow.control.comparing import different
from atoll.flow.control.record import JobRecord
from atoll.jobs.plan import STEP_PART, Plan


def differing(record: JobRecord, party: str) -> list[str] | None:
    """Return the names of the parts on which a party's plan is another than it must be.

    None if it has not sent any yet (or there is none here).
    """
    mine, facts, plan = record.own.plan, record.facts.get(party), record.plan
    if mine is None or plan is None or facts is None or facts.plan is None:
        return None
    theirs = facts.plan
    if theirs == mine:
        return []
    if plan.version == 1:
        parts = sorted(n for n in mine.parts if mine.parts[n] != theirs.parts.get(n))
        return parts or ["digest"]
    due = _due(plan, mine.parts.keys(), party)
    wrong = {name for name in due if name not in theirs.parts}
    wrong |= theirs.parts.keys() - due
    wrong |= {n for n in due & mine.parts.keys() if mine.parts[n] != theirs.parts.get(n)}
    wrong |= set() if theirs.digest is None else {"digest"}
    return sorted(wrong)


def _due(plan: Plan, published: Iterable[str], party: str) -> set[str]:
    """Return the names of the parts that a party must send: what is common, and what it sees."""
    common = {name for name in published if not name.startswith(STEP_PART)}
    seen = plan.job.steps.keys() - plan.hidden_from(party)
    return common | {STEP_PART + step for step in seen}


def fill(record: JobRecord) -> Plan | None:
    """Return the plan with the digests of its hidden steps; None if there is nothing to add (yet).

    Errors: ATL-PLN-001 parties that see a step do not agree on it.
    """
    plan = record.plan
    if plan is None or plan.complete:
        return None
    published = {
        party: facts.plan for party, facts in record.facts.items() if facts.plan is not None
    }
    if published.keys() != record.job.parties.keys():
        return None
    found: dict[str, str | None] = {}
    for step in plan.hidden:
        name = STEP_PART + step
        digests = {
            p: facts.parts[name] for p, facts in sorted(published.items()) if name in facts.parts
        }
        for party, digest in digests.items():
            if found.setdefault(step, digest) != digest:
                raise different([name], party)
        if step not in found:
            return None
    return plan.model_copy(update={"hidden": found})

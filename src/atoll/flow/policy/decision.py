"""Whether a party takes part in a job: approve, queue for a person, or refuse. Pure.

The rules, in order:

1. **A partner's job.** Each table of this party that the plan uses, or of which it brings in what
   an earlier job fitted, needs, for each partner that may
   learn something of it, one live grant that covers all of that: every column, every component that
   reveals something to the partner or that this party runs on the table before that, its role,
   every reveal, the minimum intersection (0 where a reader states that rows are aligned) and group.
   Nothing covers it: a person is asked (``default = ask``) or it is refused (``deny``).
   Grants are not added up: half a cover and half a cover are none. The initiator needs one for each
   table, also if it learns nothing of it: it counts the run alone. No grant covers a step that the
   plan does not show this party and that may reveal its table: a person is asked, whatever was
   granted.
2. **Caps.** What a partner used and what is reserved so far, plus this run, stays within the
   table's own caps for it, with a grant and without, in own jobs too; else it is refused. Where
   grants cover it but what was used and reserved so far, plus this run, passes the
   caps of each of them, it is refused: a person cannot wave a cap away, only the table's owner can
   grant more.
3. **Automatic.** Where a covering grant within its caps is automatic, the job is approved; where
   none is, a person is asked.
4. **An own job** (this party submits) needs no grant: its tables are its own, and whoever submitted
   it had to hold ``job.submit`` and saw the plan. It is charged like any other. With
   ``own_jobs = "ask"`` a second person approves.
5. The answer for a job is the strictest over its tables and partners.
6. **An answer that costs nothing.** The initiator of a partner's job sees at once what the policies
   answer, and nothing is charged for it. So that answer rests on no cap of another partner, which
   is held when a run begins, and refuses for what concerns another partner's grant by one code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from atoll.core.names import Roles
from atoll.flow.policy.counts import NAMES, Counts, Usage
from atoll.flow.policy.exposure import TableExposure, table_exposures
from atoll.flow.policy.grants import ANY, Caps, Grant, TableCaps, matches
from atoll.flow.policy.origins import Origins
from atoll.jobs.plan import Plan

Kind = Literal["approve", "queue", "refuse"]
_STRICTNESS: dict[Kind, int] = {"approve": 0, "queue": 1, "refuse": 2}

UNCOVERED = "ATL-POL-001"
COLUMNS = "ATL-POL-002"
COMPONENTS = "ATL-POL-003"
ROLE = "ATL-POL-004"
CAP = "ATL-POL-005"
INTERSECTION = "ATL-POL-006"
GROUP = "ATL-POL-007"
REVEALS = "ATL-POL-008"
PERSON = "ATL-POL-009"
OWN = "ATL-POL-010"
ELSEWHERE = "ATL-POL-016"


@dataclass(frozen=True)
class PolicySettings:
    """The node's own rules.

    ``default``: what becomes of a job that no grant covers. ``minimum_intersection``: a partner's
    job with a smaller one is refused. ``own_jobs``: whether the submitter's word is enough.
    """

    default: Literal["ask", "deny"] = "ask"
    minimum_intersection: int = 0
    own_jobs: Literal["approve", "ask"] = "approve"


@dataclass(frozen=True)
class Decision:
    """What was decided. ``reasons`` and ``places`` are for this party's people, in pairs; a peer is
    sent ``code`` alone. ``grants`` are the ids of the grants whose caps the job stays within.
    """

    kind: Kind
    code: str | None = None
    reasons: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()


def decide(
    plan: Plan,
    party: str,
    initiator: str,
    grants: Iterable[Grant],
    usage: Usage,
    now: float,
    settings: PolicySettings,
    caps: Iterable[TableCaps] = (),
    origins: Origins | None = None,
    *,
    free: bool = False,
) -> Decision:
    """Decide on a plan by the rules above. ``now`` is in seconds since 1970.

    ``usage`` holds what was used and reserved so far, without this job; ``caps`` are the tables';
    ``origins`` as ``table_exposures`` takes them. ``free``: the answer goes to the initiator, and
    costs it nothing (rule 6).
    """
    asked = table_exposures(plan, party, origins)
    other = None if initiator == party else initiator
    pairs = [
        (exposure, partner, share)
        for exposure in asked.values()
        for partner, share in sorted(exposure.asked(other).items())
    ]
    # The initiator first: for what concerns it, its code is the same whatever others' grants are.
    pairs.sort(key=lambda pair: pair[1] != other)
    free = free and other is not None
    judged = [pair for pair in pairs if not free or pair[1] == other]
    over = _over_caps(judged, usage, list(caps))
    if other is None:
        return over or _own(settings)
    roles = plan.job.parties[party]
    live = [grant for grant in grants if grant.live(now)]
    if not asked:
        return _missing(settings, UNCOVERED, "the job uses none of our tables", "tables")
    answers = [_floor(exposure, settings) for exposure in asked.values()]
    answers += [over] if over is not None else []
    for exposure, partner, share in pairs:
        if free and partner != other:
            answers.append(_elsewhere(_for_one(share, partner, roles, live, None, settings)))
        else:
            used = usage.get((exposure.table, partner), Counts())
            answers.append(_for_one(share, partner, roles, live, used, settings))
    return _strictest(answers)


def _elsewhere(answer: Decision) -> Decision:
    """Return a refusal for another partner's grant as the initiator may see it."""
    if answer.kind != "refuse":
        return answer
    reasons = tuple(f"{answer.code}: {reason}" for reason in answer.reasons)
    return replace(answer, code=ELSEWHERE, reasons=reasons)


def _over_caps(
    pairs: Iterable[tuple[TableExposure, str, TableExposure]], usage: Usage, caps: list[TableCaps]
) -> Decision | None:
    """Return the refusal of what passes a table's own caps; None if nothing does."""
    found = []
    for exposure, partner, share in pairs:
        used = usage.get((exposure.table, partner), Counts())
        over = exceeded_table_caps(caps, exposure.table, partner, used + share.counts, share.counts)
        if over:
            reason = f"the table's cap of {', '.join(over)} is used up"
            found.append(Decision("refuse", CAP, (reason,), (f"{exposure.table} for {partner}",)))
    return _strictest(found) if found else None


def exceeded_table_caps(
    caps: Iterable[TableCaps], table: str, partner: str, whole: Counts, more: Counts
) -> list[str]:
    """Return the names of the table's caps for a partner that ``whole`` passes by ``more``."""
    held = [entry for entry in caps if entry.data == table and entry.partner in (ANY, partner)]
    return sorted({name for entry in held for name in exceeded_caps(entry.caps, whole, more)})


def _own(settings: PolicySettings) -> Decision:
    if settings.own_jobs == "approve":
        return Decision("approve")
    return Decision("queue", OWN, ("own jobs need a second person here",), ("policy.own_jobs",))


def _missing(settings: PolicySettings, code: str, reason: str, place: str) -> Decision:
    kind: Kind = "queue" if settings.default == "ask" else "refuse"
    return Decision(kind, code, (reason,), (place,))


def _floor(exposure: TableExposure, settings: PolicySettings) -> Decision:
    for step, name, value in sorted(exposure.minimums):
        if name == "intersection" and value < settings.minimum_intersection:
            least = settings.minimum_intersection
            reason = f"a minimum intersection of {value} is below the node's {least}"
            return Decision("refuse", INTERSECTION, (reason,), (f"steps.{step}",))
    return Decision("approve")


def _for_one(
    exposure: TableExposure,
    partner: str,
    roles: Roles,
    grants: list[Grant],
    used: Counts | None,
    settings: PolicySettings,
) -> Decision:
    """Decide on one table and one partner; ``used`` None: caps are held when a run begins."""
    place = f"{exposure.table} for {partner}"
    mine = [g for g in grants if g.data == exposure.table and matches(g.partners, partner)]
    if not mine:
        return _missing(settings, UNCOVERED, "no live grant for this partner", place)
    lacking = [(grant, _uncovered(grant, exposure, roles)) for grant in mine]
    covering = [grant for grant, lack in lacking if lack is None]
    if not covering:
        # The grant that comes closest shows best what is missing.
        code, reason = max(lack for _, lack in lacking if lack is not None)
        return _missing(settings, code, reason, place)
    within, most = covering, len(covering)
    if used is not None:
        whole, most = used + exposure.counts, 1
        within = [g for g in covering if not exceeded_caps(g.limits, whole, exposure.counts)]
        if not within:
            names = ", ".join(exceeded_caps(covering[0].limits, whole, exposure.counts))
            return Decision("refuse", CAP, (f"the cap of {names} is used up",), (place,))
    automatic = tuple(grant.id for grant in within if grant.automatic)
    if automatic:
        return Decision("approve", grants=automatic[:most])
    reason, held = "its grant asks for a person", tuple(grant.id for grant in within)
    return Decision("queue", PERSON, (reason,), (place,), held[:most])


def _uncovered(grant: Grant, exposure: TableExposure, roles: Roles) -> tuple[str, str] | None:
    """Return code and reason of the first thing that a grant does not cover."""
    for role in roles:
        if not matches(grant.roles, role.value):
            return ROLE, f"not granted in the role {role.value}"
    more = sorted(name for name in exposure.components if not matches(grant.components, name))
    if more:
        return COMPONENTS, f"components not granted: {', '.join(more)}"
    if exposure.unseen:
        steps = ", ".join(sorted(exposure.unseen))
        return COMPONENTS, f"no grant covers steps that are not shown to this party: {steps}"
    if ANY in grant.components and exposure.uncounted:
        steps = ", ".join(sorted(exposure.uncounted))
        return COMPONENTS, f"no cap counts these steps, so their component must be named: {steps}"
    if ANY in grant.components and exposure.standing:
        steps = ", ".join(sorted(exposure.standing))
        return COMPONENTS, f"a standing agreement's component must be named: {steps}"
    more = [name for name in exposure.columns if not matches(grant.columns, name)]
    if more:
        return COLUMNS, f"columns not granted: {', '.join(more[:10])} ({len(more)} in all)"
    return _too_small(grant, exposure) or _too_much(grant, exposure)


def _too_small(grant: Grant, exposure: TableExposure) -> tuple[str, str] | None:
    for step, name, value in sorted(exposure.minimums):
        if name == "intersection" and value < grant.minimum_intersection:
            return INTERSECTION, f"{step}: minimum intersection {value} is too small"
        if name == "group" and value < grant.limits.minimum_group:
            return GROUP, f"{step}: minimum group {value} is too small"
    if grant.limits.minimum_group and exposure.ungrouped:
        return GROUP, f"no minimum group is declared by: {', '.join(sorted(exposure.ungrouped))}"
    return None


def _too_much(grant: Grant, exposure: TableExposure) -> tuple[str, str] | None:
    allowed = grant.limits.reveals
    if allowed is None:
        return None
    more = sorted({message for _, message in exposure.reveals if not _allowed(allowed, message)})
    return (REVEALS, f"reveals not granted: {', '.join(more[:10])}") if more else None


def _allowed(patterns: tuple[str, ...], message: str) -> bool:
    """Return whether a message is named, or its family (``psi.*``)."""
    return any(
        pattern in (ANY, message) or (pattern.endswith(".*") and message.startswith(pattern[:-1]))
        for pattern in patterns
    )


def exceeded_caps(limits: Caps, whole: Counts, more: Counts) -> list[str]:
    """Return the names of the caps that ``whole``, what was used with ``more``, passes by it."""
    return [
        name
        for name in NAMES
        if (cap := getattr(limits, name)) is not None
        and getattr(more, name)
        and getattr(whole, name) > cap
    ]


def _strictest(answers: list[Decision]) -> Decision:
    """Return the strictest answer, with the reasons of all that are as strict."""
    worst = max(answers, key=lambda answer: _STRICTNESS[answer.kind])
    same = [answer for answer in answers if answer.kind == worst.kind]
    return Decision(
        worst.kind,
        worst.code,
        tuple(reason for answer in same for reason in answer.reasons),
        tuple(place for answer in same for place in answer.places),
        tuple(dict.fromkeys(name for answer in answers for name in answer.grants)),
    )

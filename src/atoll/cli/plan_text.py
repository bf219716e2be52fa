"""A plan for people: who brings what, what each party learns, what it costs, what to mind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue, ValidationError

from atoll.cli.console import amount, table
from atoll.cli.lines import facts as in_lines
from atoll.core.names import Role, roles_text
from atoll.core.printable import clean
from atoll.flow.api import views
from atoll.flow.estimating import estimated_seconds, estimated_total
from atoll.jobs.plan import Plan

_SHOWN = 12
_UNKNOWN = "(its digest is known once the parties have committed to their tables for the job)"
_HIDDEN = "not shown to this party (it takes no part in it and in nothing that follows from it)"


def plan_text(view: views.PlanView) -> str:
    """Return a plan for people, if it is a whole one."""
    try:
        return "\n".join(plan_lines(Plan.model_validate(view.plan), known=view.digest is not None))
    except ValidationError:
        return in_lines(("plan", view.digest), ("agreed", view.agreed))


def plan_lines(plan: Plan, *, known: bool = True) -> list[str]:
    """Return a plan as lines of text; what partners wrote cannot move the cursor.

    ``known`` states whether it holds the commitments that are going to be signed.
    """
    lines = [
        f"job {plan.job.name}, plan {plan.digest() if known and plan.complete else _UNKNOWN}",
        "",
        *_tables(plan),
        *(f"tables of {at}: sent to {_named(who)} alone" for at, who in plan.audience.items()),
        "",
        *_steps(plan),
        "",
        *_reveals(plan),
        *(f"  minimum {name} of {step}: {n}" for step, name, n in _minimums(plan)),
        *(
            f"  an attempt of {step} exposes at most: {bound.amount:g} {bound.unit}"
            for step, exposed in plan.exposure.items()
            for bound in exposed
        ),
        *_standing(plan),
        *_attempts(plan),
        "",
        *(f"warning: {text}" for text in plan.warnings),
    ]
    return [clean(line) for line in lines]


def _tables(plan: Plan) -> list[str]:
    lines = []
    for party, roles in sorted(plan.job.parties.items()):
        lines.append(f"{party} ({roles_text(roles)}), key {plan.certificates[party][:16]}…")
        for facts in plan.tables.get(party, {}).values():
            shown = ", ".join(facts.columns[:_SHOWN])
            more = ", …" if len(facts.columns) > _SHOWN else ""
            label = f", label {facts.label}" if facts.label else ""
            lines.append(f"  table {facts.name}: {facts.rows} rows, columns {shown}{more}{label}")
            lines.append(f"  commitment {facts.digest}, {facts.id_rule}")
    return lines


def _steps(plan: Plan) -> list[str]:
    seconds = estimated_seconds(plan)
    rows = [("step", "who", "how", "trust", "about", "time")]
    rows += [
        (
            step,
            _who(plan, step),
            plan.implementations[step],
            plan.trust_models[step],
            amount(plan.estimated_bytes[step]),
            f"{seconds[step]:.1f} s",
        )
        for step in plan.trust_models
    ]
    whole = amount(sum(plan.estimated_bytes.values()))
    total = "total of what is shown" if plan.hidden else "total"
    rows.append((total, "", "", "", whole, f"{estimated_total(plan):.1f} s"))
    lines = table(rows).split("\n")
    lines += [f"  step {step}: {_HIDDEN}{_digest(known)}" for step, known in plan.hidden.items()]
    for step in plan.trust_models:
        lines += _parameters(plan, step)
    lines += [f"  {output} stays with {_named(who)}" for output, who in plan.owners.items()]
    lines += [
        f"  {step} goes on while at least {least} {role}{' stays' if least == 1 else 's stay'}"
        for step, roles in plan.quorum.items()
        for role, least in roles.items()
        if least
    ]
    return lines


def _digest(known: str | None) -> str:
    return "" if known is None else f", digest {known[:16]}…"


def _who(plan: Plan, step: str) -> str:
    """Return who takes part in a step: all, the parties, or how many of each role."""
    seats = plan.seats_of(step)
    alone = {role: [seat.party for seat in seats if seat.role == role] for role in Role}
    if len(seats) > _SHOWN:
        return ", ".join(f"{len(held)} {role.value}" for role, held in alone.items() if held)
    if len(seats) > len({seat.party for seat in seats}):
        return ", ".join(f"{seat.party} ({seat.role.value})" for seat in seats)
    parties = plan.parties_of(step)
    return "all" if parties == plan.job.parties.keys() else ", ".join(sorted(parties))


def _named(parties: Sequence[str]) -> str:
    more = f" and {len(parties) - _SHOWN} more" if len(parties) > _SHOWN else ""
    return f"{', '.join(parties[:_SHOWN])}{more}"


def _parameters(plan: Plan, step: str) -> list[str]:
    """Return the parameters of a step, then by party those that differ there."""
    common = plan.parameters.get(step, {})
    lines = []
    for party, values in sorted(plan.party_parameters.get(step, {}).items()):
        own = {n: v for n, v in values.items() if n not in common or common[n] != v}
        if own:
            lines.append(f"    {party}: {_listed(own)}")
    return [f"  {step}: {_listed(common)}".rstrip(), *lines] if common or lines else []


def _listed(values: Mapping[str, JsonValue]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _reveals(plan: Plan) -> list[str]:
    lines = ["what is revealed, and how much of it (values):"]
    for step, entries in plan.reveals.items():
        for entry in entries:
            # Plans from before senders were named do not name who sends it.
            way = f"{entry.get('sender', '')} → {entry['receiver']}".lstrip()
            lines.append(f"  {step}: {way}: {entry['what']} ({entry['size']})")
    return lines


def _attempts(plan: Plan) -> list[str]:
    """Return how often steps may be tried, and when a run is given up."""
    by_most: dict[int, list[str]] = {}
    for step, most in plan.attempts.items():
        by_most.setdefault(most, []).append(step)
    lines = [
        f"  at most {most} attempts in a run of {'each step' if len(by_most) == 1 else _named(who)}"
        for most, who in by_most.items()
    ]
    if lines:
        lines.append(
            "  an attempt after one in which something left a party, or that ended well there, "
            "takes one of the runs that this party approves"
        )
    words = {"progress_seconds": "without progress", "peer_seconds": "without a word of a party"}
    return lines + [
        f"  given up after {seconds:g} s {words.get(name, name)}"
        for name, seconds in plan.time_limits.items()
    ]


def _standing(plan: Plan) -> list[str]:
    """Return what is agreed to beyond the job: who may ask, how much, until when, of what."""
    lines = []
    for step, terms in plan.standing.items():
        who = ", ".join(s.party for s in plan.seats_of(step) if s.role.value == terms.asks)
        of = f" with {terms.model}:{terms.version}" if terms.model else ""
        lines.append(
            f"  standing agreement {step}: {who} asks{of}, at most {terms.per_day} {terms.unit} "
            f"a day and {terms.most} in all, until {terms.until} (UTC)"
        )
        for party, columns in sorted(terms.columns.items()):
            more = ", …" if len(columns) > _SHOWN else ""
            lines.append(f"    of {party}: {', '.join(columns[:_SHOWN])}{more}")
    return lines


def _minimums(plan: Plan) -> list[tuple[str, str, int]]:
    return [
        (step, name, value)
        for step, values in plan.minimums.items()
        for name, value in values.items()
    ]

"""Each party's view of a plan, over random jobs of real components."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atoll.cli.plan_text import plan_lines
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.flow import planning
from atoll.flow.estimating import estimated_seconds
from atoll.flow.policy.decision import PolicySettings, decide
from atoll.flow.policy.exposure import table_exposures
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import STEP_PART, Plan
from tests.flow.control.apart import facts_of
from tests.flow.policy.plans import NOW, grant

PARTIES = {"bank": "guest", "shop": "host", "post": "client", "mill": "host", "idle": "arbiter"}
NAMES = {party: f"table-of-{party}" for party in PARTIES}
# By component: a port, and the output that others may take.
LATER = {
    "statistics": ("table", None),
    "psi": ("table", "table"),
    "split": ("table", "train"),
    "sample": ("table", "table"),
    "scale": ("table", "table"),
    "boosting": ("train", "model"),
    "download": ("table", None),
}


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    steps: dict[str, Any] = {}
    tables: list[str] = []
    more = draw(st.sets(st.sampled_from(("idle", "mill", "post"))))
    present = [party for party in PARTIES if party in {"bank", "shop", *more}]
    bringing = [party for party in present if PARTIES[party] != "arbiter"]
    for at in range(draw(st.integers(1, 3))):
        who = sorted(draw(st.sets(st.sampled_from(bringing), min_size=1)))
        named = {party: NAMES[party] for party in who}
        given = {"tables": named, "label": "y", "aligned": draw(st.booleans())}
        steps[f"r{at}"] = {"component": "reader", "parameters": given}
        tables.append(f"r{at}.table")
    for at in range(draw(st.integers(0, 5))):
        component = draw(st.sampled_from(sorted(LATER)))
        port, output = LATER[component]
        source = draw(st.sampled_from(tables))
        steps[f"s{at}"] = {"component": component, "inputs": {port: source}}
        if output == "table" or component == "split":
            tables.append(f"s{at}.{output}")
    parties = {party: PARTIES[party] for party in draw(st.permutations(present))}
    return parse_job({"name": "any", "parties": parties, "steps": steps})


def plans_of(job: Job) -> dict[str, Plan]:
    """Return each party's plan as it makes it alone, and (by "") the one that sees everything."""
    keys = {party: f"key of {party}" for party in job.parties}
    reported = {party: facts_of(job, party, salt="any") for party in job.parties}
    found = {"": planning.build(job, CATALOGUE, reported, keys)}
    audience = planning.audience_of(job, CATALOGUE)
    for party in job.parties:
        received = {
            other: {s: f for s, f in facts.items() if party in audience.get(s, (party,))}
            for other, facts in reported.items()
        }
        found[party] = planning.build(job, CATALOGUE, received, keys, party)
    return found


def below(job: Job, step: str) -> set[str]:
    found = {step}
    for _ in job.steps:
        found |= {name for name, entry in job.steps.items() if entry.sources() & found}
    return found


@settings(max_examples=150, deadline=None)
@given(jobs())
def test_each_party_sees_what_the_rule_says_and_all_have_one_digest(job: Job) -> None:
    try:
        planning.check(job, CATALOGUE)
        plans = plans_of(job)
    except AtollError:
        assume(False)
    whole = plans.pop("")
    seats = {step: whole.parties_of(step) for step in job.steps}
    readers = [name for name, step in job.steps.items() if step.component == "reader"]
    need = {r: frozenset().union(*(seats[s] for s in below(job, r))) for r in readers}
    for party, plan in plans.items():
        named = {r for held in plan.tables.values() for r in held}
        assert named == {r for r in readers if party in need[r]}
        hidden = set().union(*(below(job, r) for r in readers if party not in need[r]))
        assert plan.hidden.keys() == hidden
        assert not any(party in seats[step] for step in hidden)
        assert plan.seats == whole.seats
        shown = {name: terms for name, terms in whole.trust_models.items() if name not in hidden}
        assert plan.trust_models == shown
    if all(who == job.parties.keys() for who in need.values()):
        assert all(plan == whole and plan.digest() == whole.digest() for plan in plans.values())
        return
    parts: dict[str, str] = {}
    for plan in plans.values():
        assert plan.version == 2
        for name, digest in plan.parts().items():
            assert parts.setdefault(name, digest) == digest
    assert {STEP_PART + step for step in job.steps} <= parts.keys()
    filled = [
        plan.model_copy(update={"hidden": {s: parts[STEP_PART + s] for s in plan.hidden}})
        for plan in plans.values()
    ]
    assert len({plan.digest() for plan in filled}) == 1
    for plan in filled:
        assert Plan.model_validate(plan.canonical()).digest() == plan.digest()


def flows_on() -> Job:
    """The bank's rows reach a step with the mill's table, in which the bank takes no part."""
    steps = {
        "read": {"component": "reader", "parameters": {"tables": {"bank": "a", "shop": "b"}}},
        "psi": {"component": "psi", "inputs": {"table": "read.table"}},
        "mail": {"component": "reader", "parameters": {"tables": {"post": "c"}, "label": ""}},
        "sums": {"component": "statistics", "inputs": {"table": "mail.table"}},
    }
    parties = {"bank": "guest", "shop": "host", "post": "client"}
    return parse_job({"name": "any", "parties": parties, "steps": steps})


def test_people_are_told_which_steps_are_not_shown_to_them() -> None:
    plans = plans_of(flows_on())
    lines = "\n".join(plan_lines(plans["post"]))
    hidden = "not shown to this party (it takes no part in it and in nothing that follows from it)"
    assert f"step psi: {hidden}" in lines
    assert "tables of read: sent to bank, shop alone" in lines
    assert "its digest is known once" in lines
    assert "total of what is shown" in lines
    assert "a-size" not in lines
    assert "step sums: not shown" in "\n".join(plan_lines(plans["shop"]))
    known = plans["post"].model_copy(update={"hidden": dict.fromkeys(("psi", "read"), "ab" * 32)})
    lines = "\n".join(plan_lines(known))
    assert f"step psi: {hidden}, digest {'ab' * 8}…" in lines
    assert f"plan {known.digest()}" in lines
    assert estimated_seconds(plans["post"]).keys() == {"mail", "sums"}


def test_who_hears_of_tables_is_what_the_agreement_reveals() -> None:
    plans = plans_of(flows_on())
    assert plans["post"].reveals["agreement"] == (planning.DECLARED_APART.to_dict(),)
    assert plans[""].reveals["agreement"] == (planning.DECLARED.to_dict(),)
    assert plans[""].version == 1


@pytest.mark.parametrize("granted", ["*", "named"])
def test_no_grant_covers_what_may_tell_of_a_table_and_is_not_shown(granted: str) -> None:
    """A step of others follows from the shop's table, and from one that the shop is not told of."""
    whole = plans_of(flows_on())["shop"]
    # As if shop's rows went on to a step of bank and post, which also takes post's table.
    steps = {**whole.job.steps}
    steps["sums"] = steps["sums"].model_copy(
        update={"inputs": {"table": "mail.table", "more": "psi.table"}}
    )
    seats = {**whole.seats, "sums": ("bank:guest", "post:client")}
    edges = {name: pairs for name, pairs in whole.edges.items() if name != "sums"}
    job = whole.job.model_copy(update={"steps": steps})
    plan = whole.model_copy(update={"job": job, "seats": seats, "edges": edges})
    share = table_exposures(plan, "shop")["b"].partners["post"]
    assert share.unseen == {"sums"}
    assert share.uncounted >= {"sums"}
    components = ["*"] if granted == "*" else ["statistics", "psi", "reader"]
    terms: dict[str, Any] = {"data": "b", "partners": ("*",), "columns": ("*",), "roles": ("*",)}
    grants = [grant(**terms, components=tuple(components), automatic=True)]
    made = decide(plan, "shop", "bank", grants, {}, NOW, PolicySettings())
    assert (made.kind, made.code) == ("queue", "ATL-POL-003")
    assert any("not shown to this party: sums" in reason for reason in made.reasons)

from __future__ import annotations

from typing import Any

import pytest

from atoll.flow.policy.counts import Counts
from atoll.flow.policy.decision import Decision, PolicySettings, decide
from atoll.flow.policy.grants import Grant
from atoll.jobs.plan import Plan
from tests.flow.policy.plans import GUEST, HOST, NOW, OTHER, grant, only_psi, plan_of, strange

ASK = PolicySettings()
DENY = PolicySettings(default="deny")


def at_host(
    *grants: Grant,
    plan: Plan | None = None,
    used: Counts | None = None,
    settings: PolicySettings = ASK,
) -> Decision:
    usage = {("baskets", GUEST): used or Counts()}
    return decide(plan or plan_of(), HOST, GUEST, grants, usage, NOW, settings)


def test_a_covering_automatic_grant_approves() -> None:
    assert at_host(grant()) == Decision("approve", grants=("a" * 16,))
    assert at_host(grant(), settings=DENY).kind == "approve"


def test_a_covering_grant_that_is_not_automatic_asks_a_person() -> None:
    found = at_host(grant(automatic=False), settings=DENY)
    assert (found.kind, found.code) == ("queue", "ATL-POL-009")


def test_without_a_grant_a_person_is_asked_or_it_is_refused() -> None:
    asked, denied = at_host(), at_host(settings=DENY)
    assert (asked.kind, asked.code) == ("queue", "ATL-POL-001")
    assert (denied.kind, denied.code) == ("refuse", "ATL-POL-001")


LACKING: dict[str, tuple[dict[str, Any], str]] = {
    "another table": ({"data": "calls"}, "ATL-POL-001"),
    "another partner": ({"partners": (OTHER,)}, "ATL-POL-001"),
    "revoked": ({"revoked": NOW - 1}, "ATL-POL-001"),
    "expired": ({"expires": NOW}, "ATL-POL-001"),
    "a column": ({"columns": ("age", "income")}, "ATL-POL-002"),
    "a component": ({"components": ("psi", "boosting")}, "ATL-POL-003"),
    "the role": ({"roles": ("guest",)}, "ATL-POL-004"),
    "the intersection": ({"minimum_intersection": 21}, "ATL-POL-006"),
    "the group": ({"limits": {"minimum_group": 21}}, "ATL-POL-007"),
    "a reveal": ({"limits": {"reveals": ("psi.*", "boosting.candidate_cuts")}}, "ATL-POL-008"),
}


@pytest.mark.parametrize("lack", sorted(LACKING))
def test_what_a_grant_lacks_is_named(lack: str) -> None:
    terms, code = LACKING[lack]
    asked, denied = at_host(grant(**terms)), at_host(grant(**terms), settings=DENY)
    assert (asked.kind, asked.code) == ("queue", code)
    assert (denied.kind, denied.code) == ("refuse", code)
    assert len(asked.reasons) == len(asked.places) == 1


@pytest.mark.parametrize(
    "terms",
    [
        {"partners": ("*",)},
        {"partners": (OTHER, GUEST)},
        {"columns": ("debt", "income", "age", "more")},
        {"components": ("*",)},
        {"roles": ("host",)},
        {"expires": NOW + 1},
        {"minimum_intersection": 20},
        {"limits": {"minimum_group": 20}},
        {"limits": {"reveals": ("psi.*", "boosting.*", "histogram.*")}},
        {"limits": {"reveals": ("*",)}},
        {"limits": {"runs": 1, "psi_runs": 1, "tree_nodes": 28}},
    ],
)
def test_what_covers_just_so_approves(terms: dict[str, Any]) -> None:
    assert at_host(grant(**terms)).kind == "approve"


def test_grants_are_not_added_up() -> None:
    half, other = grant("a" * 16, columns=("age",)), grant("b" * 16, columns=("income", "debt"))
    assert at_host(half, other).kind == "queue"


@pytest.mark.parametrize("unit", ["runs", "psi_runs", "tree_nodes"])
@pytest.mark.parametrize("settings", [ASK, DENY])
def test_a_cap_refuses_also_where_a_person_could_be_asked(
    unit: str, settings: PolicySettings
) -> None:
    capped = grant(limits={unit: 100}, automatic=False)
    fits = at_host(capped, used=Counts(**{unit: 100 - 28}), settings=settings)
    assert fits.kind == "queue"
    over = at_host(capped, used=Counts(**{unit: 100}), settings=settings)
    assert (over.kind, over.code) == ("refuse", "ATL-POL-005")
    assert unit in over.reasons[0]


def test_a_cap_of_a_unit_that_the_job_does_not_use_does_not_matter() -> None:
    capped = grant(limits={"tree_nodes": 5})
    assert at_host(capped, plan=only_psi(), used=Counts(tree_nodes=9)).kind == "approve"


def test_a_second_grant_with_room_approves() -> None:
    full, roomy = grant("a" * 16, limits={"psi_runs": 1}), grant("b" * 16, limits={"psi_runs": 9})
    assert at_host(full, roomy, used=Counts(psi_runs=1)).grants == ("b" * 16,)


def test_the_smallest_intersection_of_the_node_refuses() -> None:
    strict = PolicySettings(minimum_intersection=50)
    found = at_host(grant(minimum_intersection=0), settings=strict)
    assert (found.kind, found.code) == ("refuse", "ATL-POL-006")
    assert at_host(settings=strict).kind == "refuse"


def test_every_partner_needs_a_grant() -> None:
    plan = plan_of(hosts=(HOST, OTHER))
    usage: dict[tuple[str, str], Counts] = {}
    one = decide(plan, HOST, GUEST, [grant()], usage, NOW, ASK)
    assert (one.kind, one.code) == ("queue", "ATL-POL-001")
    assert one.places == (f"baskets for {OTHER}",)
    both = [grant(), grant("b" * 16, partners=(OTHER,))]
    assert decide(plan, HOST, GUEST, both, usage, NOW, ASK).grants == ("a" * 16, "b" * 16)


def test_a_party_without_tables_is_asked() -> None:
    plan = plan_of()
    bare = plan.model_copy(update={"tables": {GUEST: plan.tables[GUEST]}})
    assert at_host(grant(), plan=bare).code == "ATL-POL-001"


def test_an_own_job_needs_no_grant_but_perhaps_a_second_person() -> None:
    assert decide(plan_of(), GUEST, GUEST, [], {}, NOW, DENY).kind == "approve"
    four_eyes = PolicySettings(own_jobs="ask")
    found = decide(plan_of(), GUEST, GUEST, [], {}, NOW, four_eyes)
    assert (found.kind, found.code) == ("queue", "ATL-POL-010")


def test_an_uncounted_step_needs_its_component_named() -> None:
    assert at_host(grant(components=("*",)), plan=strange()).code == "ATL-POL-003"
    assert at_host(grant(components=("magic", "split")), plan=strange()).kind == "approve"


def test_a_step_that_declares_no_group_is_not_within_one() -> None:
    assert at_host(grant(limits={"minimum_group": 1}), plan=only_psi()).kind == "approve"
    named = grant(limits={"minimum_group": 1}, components=("magic", "split"))
    assert at_host(named, plan=strange()).code == "ATL-POL-007"


def test_the_ideal_form_is_not_granted_by_naming_the_real_ones_messages() -> None:
    ideal = only_psi(protocol="ideal")
    real = grant(limits={"reveals": ("psi.ecdh.*",)})
    assert at_host(real, plan=only_psi()).kind == "approve"
    assert at_host(real, plan=ideal).code == "ATL-POL-008"

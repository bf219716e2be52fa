from __future__ import annotations

from typing import Any

import pytest

from atoll.core.errors import AtollError
from atoll.flow.access.errors import DeniedError
from atoll.flow.policy import repository
from atoll.flow.policy.decision import PolicySettings
from atoll.flow.policy.grants import Grant, parse_terms
from atoll.flow.policy.repository import ApprovalRow
from atoll.jobs.plan import Plan
from tests.flow.access.support import person
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House
from tests.flow.policy.plans import COLUMNS, GUEST, NOW, only_psi, plan_of

PLAN = plan_of()


def recorded(house: House, job: str, plan: Plan) -> ApprovalRow:
    row = house.database.read(lambda c: repository.decided(c, job, plan.digest()))
    assert row is not None
    return row


def test_a_grant_comes_back_as_it_was_given(house: House) -> None:
    made = house.grant(
        columns=["age", "debt"],
        roles=["host"],
        limits={"psi_runs": 10, "epsilon": 0.5, "minimum_group": 30, "reveals": ["psi.*"]},
        minimum_intersection=100,
        expires=NOW + 10,
    )
    assert list(house.policies.grants.list(house.admin, "baskets")) == [made]
    assert list(house.policies.grants.list(house.admin, "calls")) == []
    assert made.created_by == "admin"


def test_grants_are_paged_newest_first(house: House) -> None:
    made = []
    for _ in range(5):
        house.wall.now += 1
        made.append(house.grant().id)
    grants = house.policies.grants
    first = grants.list(house.admin, limit=3)
    rest = grants.list(house.admin, after=first.next, limit=3)
    assert [grant.id for grant in (*first, *rest)] == made[::-1]


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"partners": []},
        {"partners": ["Not A Party"]},
        {"components": []},
        {"components": [""]},
        {"roles": ["emperor"]},
        {"limits": {"psi_runs": -1}},
        {"limits": {"psi_runs": True}},
        {"limits": {"wishes": 3}},
        {"limits": {"epsilon": float("nan")}},
        {"minimum_intersection": -1},
        {"columns": ["x" * 300]},
        {"expires": float("inf")},
        {"revoked": None},
        {"id": "a" * 16},
    ],
)
def test_what_is_no_grant_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(AtollError, match="ATL-POL-011"):
        parse_terms({"partners": [GUEST], "components": ["psi"], **terms} if terms else {})


def test_columns_and_tables_must_be_there(house: House) -> None:
    with pytest.raises(AtollError, match="ATL-POL-011"):
        house.grant(columns=["age", "salary"])
    terms = {"partners": [GUEST], "components": ["psi"]}
    with pytest.raises(AtollError, match="ATL-POL-012"):
        house.policies.grants.add(house.admin, "calls", terms)
    for identifier in ("0" * 16, "no id", ""):
        with pytest.raises(AtollError, match="ATL-POL-012"):
            house.policies.grants.revoke(house.admin, identifier)


def test_only_data_owners_grant_and_revoke(house: House) -> None:
    made = house.grant()
    other = person(house.access, house.admin, "mo", ["modeller", "approver", "administrator"])
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        house.policies.grants.add(other, "baskets", {"partners": ["*"], "components": ["*"]})
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        house.policies.grants.revoke(other, made.id)
    (kept,) = house.policies.grants.list(house.admin)
    assert kept.revoked is None


def test_a_revoked_grant_is_kept_and_holds_no_more(house: House) -> None:
    made = house.grant()
    assert house.policies.consider("job-1", PLAN, GUEST).kind == "approve"
    house.wall.now += 5
    gone = house.policies.grants.revoke(house.admin, made.id)
    house.wall.now += 5
    assert house.policies.grants.revoke(house.admin, made.id) == gone
    assert gone.revoked == house.wall.now - 5
    assert house.policies.consider("job-2", PLAN, GUEST).code == "ATL-POL-001"
    actions = [line["action"] for line in house.access.audit.page(limit=4, newest_first=True)]
    assert actions == ["job.decide", "data.revoke", "job.decide", "data.grant"]


def test_decisions_are_kept_with_their_reasons(house: House) -> None:
    house.grant(columns=list(COLUMNS[:2]))
    found = house.policies.consider("job-1", PLAN, GUEST)
    row = recorded(house, "job-1", PLAN)
    assert (found.kind, row.decision, row.by) == ("queue", "queue", "policy")
    assert row.reason == "ATL-POL-002: columns not granted: debt (1 in all) (baskets for bank)"
    house.grant()
    assert house.policies.consider("job-1", PLAN, GUEST).kind == "approve"
    assert recorded(house, "job-1", PLAN).decision == "approve"


def test_who_may_approve_and_what(house: House) -> None:
    modeller = person(house.access, house.admin, "mo", ["modeller", "data owner"])
    approver = person(house.access, house.admin, "pia", ["approver"])
    policies = house.policies
    policies.consider("job-1", PLAN, GUEST)
    with pytest.raises(DeniedError, match="ATL-ACC-003"):
        policies.approve(modeller, "job-1", PLAN, PLAN.digest(), GUEST)
    with pytest.raises(DeniedError, match="ATL-PLN-006"):
        policies.approve(approver, "job-1", PLAN, only_psi().digest(), GUEST)
    policies.approve(approver, "job-1", PLAN, PLAN.digest(), GUEST)
    assert recorded(house, "job-1", PLAN).by == "pia"
    assert usage(policies.ledger, "baskets", GUEST).psi_runs == 1


def test_a_refused_plan_stays_refused(house: House) -> None:
    approver = person(house.access, house.admin, "pia", ["approver"])
    policies = house.policies
    policies.consider("job-1", PLAN, GUEST)
    policies.refuse(approver, "job-1", PLAN.digest(), "not before the audit")
    found = policies.consider("job-1", PLAN, GUEST)
    assert (found.kind, found.code) == ("refuse", "ATL-POL-016")
    assert found.reasons == ("not before the audit",)
    with pytest.raises(AtollError, match="ATL-POL-013"):
        policies.approve(approver, "job-1", PLAN, PLAN.digest(), GUEST)
    with pytest.raises(AtollError, match="ATL-POL-013"):
        policies.refuse(approver, "job-1", PLAN.digest(), "again")


def test_a_refusal_frees_what_was_reserved(house: House) -> None:
    approver = person(house.access, house.admin, "pia", ["approver"])
    house.grant(limits={"psi_runs": 1})
    policies = house.policies
    assert policies.consider("job-1", PLAN, GUEST).kind == "approve"
    policies.refuse(approver, "job-1", PLAN.digest(), "changed my mind")
    assert policies.ledger.open_jobs() == []
    assert policies.consider("job-2", PLAN, GUEST).kind == "approve"


def test_with_four_eyes_the_submitter_cannot_approve(house: House) -> None:
    mo = person(house.access, house.admin, "mo", ["modeller", "approver"])
    pia = person(house.access, house.admin, "pia", ["approver"])
    own = house.again(PolicySettings(own_jobs="ask"))
    waits = own.consider("job-1", PLAN, own.party)
    assert (waits.kind, waits.code) == ("queue", "ATL-POL-010")
    with pytest.raises(DeniedError, match="ATL-POL-010"):
        own.approve(mo, "job-1", PLAN, PLAN.digest(), own.party, submitter="mo")
    own.approve(pia, "job-1", PLAN, PLAN.digest(), own.party, submitter="mo")
    assert own.consider("job-1", PLAN, own.party).kind == "approve"


def test_an_own_job_is_charged_and_not_capped_by_grants_to_partners(house: House) -> None:
    house.grant(limits={"psi_runs": 0})
    policies = house.policies
    assert policies.consider("job-1", PLAN, policies.party).kind == "approve"
    policies.begin("job-1", PLAN, "match", 0, policies.party)
    assert usage(policies.ledger, "baskets", GUEST).psi_runs == 1
    assert policies.consider("job-2", PLAN, GUEST).code == "ATL-POL-005"


def test_under_deny_no_person_can_approve_what_no_grant_covers(house: House) -> None:
    approver = person(house.access, house.admin, "pia", ["approver"])
    strict = house.again(PolicySettings(default="deny"))
    assert strict.consider("job-1", PLAN, GUEST).kind == "refuse"
    with pytest.raises(AtollError, match="ATL-POL-013"):
        strict.approve(approver, "job-1", PLAN, PLAN.digest(), GUEST)
    with pytest.raises(DeniedError, match="ATL-POL-001"):
        strict.approve(approver, "job-2", PLAN, PLAN.digest(), GUEST)


def test_every_decision_has_a_line_and_waiting_has_one(house: House) -> None:
    for _ in range(3):
        house.policies.consider("job-1", PLAN, GUEST)
    house.grant()
    house.policies.consider("job-1", PLAN, GUEST)
    lines = [line for line in house.access.audit.page() if line["action"] == "job.decide"]
    assert [(line["outcome"], line["detail"].get("code")) for line in lines] == [
        ("queued", "ATL-POL-001"),
        ("done", None),
    ]
    assert isinstance(house.policies.grants.list(house.admin).rows[0], Grant)

"""Caps across jobs: reserved when a plan is approved, settled by what was revealed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from atoll.core.errors import AtollError
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.exposure import table_exposures
from atoll.flow.policy.service import Policies
from tests.flow.access.support import person
from tests.flow.policy.books import append, usage
from tests.flow.policy.conftest import House
from tests.flow.policy.plans import GUEST, HOST, OTHER, only_psi, plan_of, steps

PSI, PLAN = only_psi(), plan_of()


def reported(message: str, field: str, elements: int = 7, receiver: str = GUEST) -> dict[str, Any]:
    return {
        "sender": HOST,
        "receiver": receiver,
        "message": message,
        "field": field,
        "elements": elements,
        "what": "…",
    }


MATCHED = [reported("psi.ecdh.tags", "tags"), reported("psi.ecdh.hello", "rows", 1)]
TRAINED = [reported("boosting.candidate_cuts", "sent", 40)]


def run_psi(policies: Policies, job: str, attempt: int = 0) -> None:
    policies.begin(job, PSI, "match", attempt, GUEST)
    policies.ledger.charge(job, PSI, "match", attempt, MATCHED)


def used(policies: Policies) -> Counts:
    return usage(policies.ledger, "baskets", GUEST)


def test_the_second_job_over_a_cap_is_refused_before_anything_runs(house: House) -> None:
    house.grant(limits={"psi_runs": 1})
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST).kind == "approve"
    second = policies.consider("job-2", PSI, GUEST)
    assert (second.kind, second.code) == ("refuse", "ATL-POL-005")
    with pytest.raises(AtollError, match="ATL-PLN-006"):
        policies.begin("job-2", PSI, "match", 0, GUEST)
    run_psi(policies, "job-1")
    policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=1, psi_runs=1)
    assert policies.consider("job-3", PSI, GUEST).code == "ATL-POL-005"


def test_what_was_reserved_and_not_revealed_is_free_again(house: House) -> None:
    house.grant(limits={"psi_runs": 1})
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST).kind == "approve"
    assert used(policies) == Counts(runs=1, psi_runs=1)
    policies.begin("job-1", PSI, "match", 0, GUEST)
    policies.ledger.charge("job-1", PSI, "match", 0, [])
    policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=1)
    assert policies.consider("job-2", PSI, GUEST).kind == "approve"
    policies.ledger.settle("job-2")
    assert used(policies) == Counts(runs=1)


def test_of_many_at_the_same_time_only_so_many_get_through(house: House) -> None:
    house.grant(limits={"psi_runs": 3})
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda n: house.policies.consider(f"job-{n}", PSI, GUEST).kind, range(16))
        )
    assert sorted(found) == ["approve"] * 3 + ["refuse"] * 13
    assert used(house.policies).psi_runs == 3


def test_trees_times_nodes_are_capped_across_jobs(house: House) -> None:
    house.grant(limits={"tree_nodes": 60})
    policies = house.policies
    assert policies.consider("job-1", plan_of(steps(trees=4)), GUEST).kind == "approve"
    assert policies.consider("job-2", plan_of(steps(trees=5)), GUEST).kind == "refuse"
    assert policies.consider("job-3", plan_of(steps(trees=4), name="more"), GUEST).kind == "approve"


def test_a_decision_is_taken_once(house: House) -> None:
    house.grant(limits={"psi_runs": 1})
    policies = house.policies
    for _ in range(3):
        assert policies.consider("job-1", PSI, GUEST).kind == "approve"
        refused = policies.consider("job-2", PSI, GUEST)
        assert (refused.kind, refused.code) == ("refuse", "ATL-POL-005")
    assert used(policies).psi_runs == 1


def test_another_table_of_the_same_content_or_name_shares_the_account(house: House) -> None:
    policies = house.policies
    house.grant()
    policies.consider("job-1", PSI, GUEST)
    ledger = policies.ledger
    digest = PSI.tables[HOST]["read"].digest
    assert usage(ledger, "renamed", GUEST, digest).psi_runs == 1
    assert usage(ledger, "renamed", GUEST).psi_runs == 0
    assert usage(ledger, "baskets", GUEST, "e" * 64).psi_runs == 1
    assert usage(ledger, "baskets", OTHER).psi_runs == 0


def test_a_retry_that_follows_a_reveal_takes_from_the_cap_again(house: House) -> None:
    house.grant(limits={"psi_runs": 2})
    policies = house.policies
    policies.consider("job-1", PSI, GUEST)
    run_psi(policies, "job-1", 0)
    run_psi(policies, "job-1", 1)
    assert used(policies) == Counts(runs=1, psi_runs=2)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match", 0, GUEST)
    policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=1, psi_runs=2)
    line = house.access.audit.page(limit=1, newest_first=True).rows[0]
    assert (line["action"], line["outcome"]) == ("step.begin", "refused")


def test_a_retry_of_what_revealed_nothing_is_covered(house: House) -> None:
    house.grant(limits={"psi_runs": 1})
    policies = house.policies
    policies.consider("job-1", PSI, GUEST)
    policies.begin("job-1", PSI, "match", 0, GUEST)
    policies.ledger.charge("job-1", PSI, "match", 0, [])
    run_psi(policies, "job-1", 1)
    assert used(policies) == Counts(runs=1, psi_runs=1)


def test_a_lost_attempt_counts_in_full(house: House) -> None:
    house.grant()
    policies = house.policies
    policies.consider("job-1", PLAN, GUEST)
    policies.begin("job-1", PLAN, "train", 0, GUEST)
    policies.ledger.charge("job-1", PLAN, "train", 0, None)
    policies.ledger.settle("job-1")
    most = table_exposures(PLAN, HOST)["baskets"].partners[GUEST].steps["train"]
    # A bit for each of 400 rows on each of three levels, and each node's fill whole bytes.
    assert (most.tree_nodes, most.rows) == (28, 4 * (408 + 416 + 432))
    assert most.opened_sums > 0
    assert used(policies) == Counts(runs=1) + most


def test_an_attempt_that_was_not_let_begin_costs_nothing(house: House) -> None:
    house.grant(limits={"psi_runs": 1})
    policies = house.policies
    policies.consider("job-1", PSI, GUEST)
    run_psi(policies, "job-1")
    for attempt in (1, 2):
        with pytest.raises(AtollError, match="ATL-POL-005"):
            policies.begin("job-1", PSI, "match", attempt, GUEST)
        policies.ledger.charge("job-1", PSI, "match", attempt, None)
    policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 3, GUEST)
    policies.ledger.charge("job-1", PSI, "match", 3, None)
    assert used(policies) == Counts(runs=1, psi_runs=1)


@pytest.mark.parametrize("reported", [None, []])
def test_an_attempt_that_is_lost_after_a_refused_one_counts(
    house: House, reported: list[dict[str, Any]] | None
) -> None:
    """Lie: an attempt is made while a cap has no room, so that a later one may be lost for free."""
    house.grant(limits={"psi_runs": 2})
    policies = house.policies
    policies.consider("job-1", PSI, GUEST)
    policies.consider("job-2", PSI, GUEST)
    run_psi(policies, "job-1")
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match", 1, GUEST)
    policies.ledger.charge("job-1", PSI, "match", 1, reported)
    policies.ledger.settle("job-2")
    policies.begin("job-1", PSI, "match", 2, GUEST)
    policies.ledger.charge("job-1", PSI, "match", 2, None)
    assert used(policies) == Counts(runs=1, psi_runs=2)
    tasks = [line["attempt"] for line in policies.ledger.entries() if line["kind"] == "task"]
    assert tasks == [0, 2]


def test_starts_from_before_they_had_numbers_count(house: House) -> None:
    house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST)
    append(policies.ledger, ("start", {"run": "job-1", "step": "match"}))
    policies.ledger.charge("job-1", PSI, "match", 1, None)
    policies.ledger.charge("job-1", PSI, "match", 2, None)
    assert usage(policies.ledger, "baskets", GUEST).psi_runs == 1


def test_a_charge_is_taken_once_and_also_after_the_end(house: House) -> None:
    house.grant()
    policies = house.policies
    policies.consider("job-1", PLAN, GUEST)
    for _ in range(3):
        policies.ledger.charge("job-1", PLAN, "match", 0, MATCHED)
    policies.ledger.settle("job-1")
    policies.ledger.settle("job-1")
    policies.ledger.charge("job-1", PLAN, "train", 0, TRAINED)
    assert used(policies) == Counts(runs=1, psi_runs=1, tree_nodes=28)
    reveals = [line for line in policies.ledger.entries() if line["kind"] == "reveal"]
    assert [line["message"] for line in reveals] == [
        "psi.ecdh.tags",
        "psi.ecdh.hello",
        "boosting.candidate_cuts",
    ]


def test_reruns_within_the_approved_number_are_charged_and_no_more(house: House) -> None:
    house.grant(limits={"psi_runs": 5})
    policies = house.policies
    policies.consider("job-1", PSI, GUEST, runs=2)
    for attempt in (0, 1):
        run_psi(policies, "job-1", attempt)
        policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=2, psi_runs=2)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 0, GUEST)


def test_a_run_that_did_not_begin_is_none(house: House) -> None:
    house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST, runs=1)
    policies.ledger.settle("job-1")
    run_psi(policies, "job-1")
    policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 0, GUEST)


def test_a_rerun_stays_under_the_cap(house: House) -> None:
    house.grant(limits={"psi_runs": 1})
    policies = house.policies
    policies.consider("job-1", PSI, GUEST, runs=9)
    run_psi(policies, "job-1")
    policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match", 0, GUEST)


def test_a_revoked_grant_stops_further_attempts(house: House) -> None:
    made = house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST, runs=3)
    run_psi(policies, "job-1")
    policies.grants.revoke(house.admin, made.id)
    with pytest.raises(AtollError, match="ATL-POL-001"):
        policies.begin("job-1", PSI, "match", 0, GUEST)


def test_a_changed_plan_does_not_begin(house: House) -> None:
    house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST)
    with pytest.raises(AtollError, match="ATL-PLN-006"):
        policies.begin("job-1", only_psi(minimum_intersection=21), "match", 0, GUEST)


def test_local_steps_cost_their_run_alone(house: House) -> None:
    house.grant()
    policies = house.policies
    policies.consider("job-1", PLAN, GUEST)
    for attempt in range(3):
        for step in ("read", "hold"):
            policies.begin("job-1", PLAN, step, attempt, GUEST)
            policies.ledger.charge("job-1", PLAN, step, attempt, [] if attempt else None)
    policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=1)


def test_a_restart_knows_what_was_used_and_reserved(house: House) -> None:
    house.grant()
    house.policies.consider("job-1", PSI, GUEST)
    house.policies.consider("job-2", PSI, GUEST)
    run_psi(house.policies, "job-1")
    house.policies.ledger.settle("job-1")
    after = house.again()
    assert used(after) == Counts(runs=2, psi_runs=2)
    assert after.ledger.open_jobs() == ["job-2"]
    after.ledger.settle("job-2")
    assert used(after) == used(house.policies) == Counts(runs=1, psi_runs=1)


def test_several_partners_have_accounts_of_their_own(house: House) -> None:
    house.grant(partners=[GUEST, OTHER], limits={"psi_runs": 1})
    plan = plan_of(hosts=(HOST, OTHER))
    policies = house.policies
    assert policies.consider("job-1", plan, GUEST).kind == "approve"
    policies.ledger.charge("job-1", plan, "match", 0, MATCHED)
    policies.ledger.settle("job-1")
    assert usage(policies.ledger, "baskets", GUEST).psi_runs == 1
    # By way of the guest, who may have put to it what it learned here.
    assert usage(policies.ledger, "baskets", OTHER).psi_runs == 1
    assert policies.consider("job-2", plan, GUEST).code == "ATL-POL-005"


def test_the_guest_charges_the_trees_that_it_began(house: House) -> None:
    bank = Policies(house.database, GUEST, house.access, wall=house.wall)
    assert bank.consider("job-1", PLAN, GUEST).kind == "approve"
    sent = [
        {**reported("boosting.tree", "more", 2, HOST), "sender": GUEST},
        {**reported("boosting.order", "grown", 9, HOST), "sender": GUEST},
    ]
    bank.ledger.charge("job-1", PLAN, "train", 0, sent)
    bank.ledger.settle("job-1")
    assert usage(bank.ledger, "loans", HOST) == Counts(runs=1, tree_nodes=14)


def test_a_person_approves_what_waits_but_not_over_a_cap(house: House) -> None:
    approver = person(house.access, house.admin, "pia", ["approver"])
    policies = house.policies
    house.grant(limits={"psi_runs": 1}, automatic=False)
    for job in ("job-1", "job-2"):
        waits = policies.consider(job, PSI, GUEST)
        assert (waits.kind, waits.code) == ("queue", "ATL-POL-009")
    policies.approve(approver, "job-1", PSI, PSI.digest(), GUEST)
    policies.approve(approver, "job-1", PSI, PSI.digest(), GUEST)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.approve(approver, "job-2", PSI, PSI.digest(), GUEST)
    assert policies.consider("job-1", PSI, GUEST).kind == "approve"
    run_psi(policies, "job-1")
    assert used(policies).psi_runs == 1

"""A partner that learns how steps end, in runs that no account and no cap would hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import JsonValue

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.flow.planning import COIN_STEP, build
from atoll.flow.policy import repository
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.decision import PolicySettings, decide
from atoll.flow.policy.grants import Caps
from atoll.flow.policy.service import Policies
from atoll.flow.store import DataSets
from atoll.jobs.definition import Job, Step
from atoll.jobs.plan import Plan
from tests.flow.access.support import person
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, HOST, NOW, facts, grant, only_psi, plan_of, steps
from tests.flow.policy.test_caps import MATCHED, used

__all__ = ["house"]

PSI = only_psi()
LOCAL = plan_of({name: step for name, step in steps().items() if name == "read"}, name="local")
WATCHER = "helper"


def beside() -> Plan:
    """Return the plan of an intersection, with another table of the host's that reaches no one."""
    both: dict[str, JsonValue] = {"tables": {GUEST: "loans", HOST: "baskets"}}
    made = {"read": Step(component="reader", parameters=both)}
    aligned: dict[str, JsonValue] = {"tables": {HOST: "staff"}, "aligned": True}
    made["alone"] = Step(component="reader", parameters=aligned)
    made["match"] = Step(component="psi", inputs={"table": "read.table"})
    made["hold"] = Step(component="split", inputs={"table": "alone.table"})
    job = Job(name="beside", parties={GUEST: (Role.GUEST,), HOST: (Role.HOST,)}, steps=made)
    declared = {
        GUEST: {"read": facts("loans")},
        HOST: {"read": facts("baskets"), "alone": facts("staff")},
    }
    return build(job, CATALOGUE, declared, {GUEST: "k", HOST: "k"})


def test_jobs_of_local_steps_alone(house: House) -> None:
    """Lie: by halving, one job for each bit of a count, and nothing is sent. ATL-POL-005."""
    house.grant(limits={"runs": 1})
    policies = house.policies
    assert policies.consider("job-1", LOCAL, GUEST, runs=3).kind == "approve"
    assert policies.consider("job-2", LOCAL, GUEST).code == "ATL-POL-005"
    policies.begin("job-1", LOCAL, COIN_STEP, 1, GUEST, turn=1)
    policies.begin("job-1", LOCAL, "read", 1, GUEST, turn=1)
    policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=1)
    assert policies.consider("job-2", LOCAL, GUEST).code == "ATL-POL-005"
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", LOCAL, COIN_STEP, 2, GUEST, turn=2)


def test_the_cap_of_a_table_binds_where_no_partner_is_sent_anything(house: House) -> None:
    """Lie: as before, approved by hand, and capped by the table."""
    policies = house.policies
    policies.grants.cap(house.admin, "baskets", GUEST, Caps(runs=1))
    approver = person(house.access, house.admin, "pia", ["approver"])
    assert policies.consider("job-1", LOCAL, GUEST).kind == "queue"
    policies.approve(approver, "job-1", LOCAL, LOCAL.digest(), GUEST)
    policies.begin("job-1", LOCAL, "read", 1, GUEST, turn=1)
    policies.ledger.settle("job-1")
    assert policies.consider("job-2", LOCAL, GUEST).code == "ATL-POL-005"


def test_a_table_without_partner_beside_one_that_has_one(house: House) -> None:
    """Lie: the table that is asked about stands in a job whose other table is charged."""
    plan, policies = beside(), house.policies
    row = DataSets(house.database).find("baskets")
    assert row is not None
    DataSets(house.database).add(replace(row, name="staff", digest="e" * 64))
    policies.grants.cap(house.admin, "staff", "*", Caps(runs=1))
    approver = person(house.access, house.admin, "pia", ["approver"])
    assert policies.consider("job-1", plan, GUEST).kind == "queue"
    policies.approve(approver, "job-1", plan, plan.digest(), GUEST)
    policies.begin("job-1", plan, "hold", 1, GUEST, turn=1)
    policies.ledger.settle("job-1")
    assert usage(policies.ledger, "staff", GUEST) == Counts(runs=1)
    assert used(policies) == Counts(runs=1)
    assert policies.consider("job-2", plan, GUEST).code == "ATL-POL-005"


def test_a_run_whose_coins_are_not_tossed_counts_from_its_first_task(house: House) -> None:
    """Lie: a job with a seed is stopped before its first step that sends anything."""
    house.grant()
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST).kind == "approve"
    policies.begin("job-1", PSI, "read", 1, GUEST, turn=1)
    policies.ledger.charge("job-1", PSI, "read", 1, [])
    policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=1)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "read", 2, GUEST, turn=2)


def test_an_initiator_that_is_sent_nothing_needs_a_grant_too(house: House) -> None:
    """Lie: a party without a table commands the steps of two that granted each other. ATL-POL-001.

    With a grant it counts the run, and that alone.
    """
    without = decide(PSI, HOST, WATCHER, [grant()], {}, NOW, PolicySettings())
    assert (without.kind, without.code) == ("queue", "ATL-POL-001")
    assert without.places == (f"baskets for {WATCHER}",)
    house.grant(partners=[GUEST, WATCHER])
    policies = house.policies
    assert policies.consider("job-1", PSI, WATCHER).kind == "approve"
    policies.begin("job-1", PSI, "match", 1, WATCHER, turn=1)
    policies.ledger.charge("job-1", PSI, "match", 1, MATCHED)
    policies.ledger.settle("job-1")
    assert usage(policies.ledger, "baskets", WATCHER) == Counts(runs=1)
    assert used(policies) == Counts(runs=1, psi_runs=1)


def test_own_jobs_are_not_charged_to_oneself(house: House) -> None:
    """What only this party works on in its own job is in no account."""
    policies: Policies = house.policies
    assert policies.consider("job-1", LOCAL, HOST).kind == "approve"
    policies.begin("job-1", LOCAL, "read", 1, HOST, turn=1)
    assert policies.ledger.open_jobs() == []
    assert house.database.read(lambda c: repository.known(c, "job-1"))

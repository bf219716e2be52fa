"""A partner that keeps approved jobs back until the grant that approved them is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atoll.core.errors import AtollError
from atoll.flow.planning import COIN_STEP
from atoll.flow.policy.counts import Counts
from atoll.jobs.definition import Step
from tests.flow.access.support import person
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, NOW, only_psi, plan_of, steps
from tests.flow.policy.test_caps import MATCHED, used

__all__ = ["house"]

PSI = only_psi()
JOBS = [f"job-{number}" for number in range(20)]


def revoke(house: House) -> None:
    (made,) = house.policies.grants.list(house.admin)
    house.policies.grants.revoke(house.admin, made.id)


def expire(house: House) -> None:
    house.wall.now = NOW + 11


@pytest.mark.parametrize("end", [revoke, expire])
def test_jobs_approved_before_the_grant_ended(house: House, end: Callable[[House], None]) -> None:
    """Lie: twenty jobs were approved and begin a week later. No run begins: ATL-POL-001."""
    house.wall.now = NOW
    house.grant(expires=NOW + 10)
    policies = house.policies
    assert {policies.consider(job, PSI, GUEST, runs=3).kind for job in JOBS} == {"approve"}
    end(house)
    for job in JOBS:
        for step in (COIN_STEP, "read", "match"):
            with pytest.raises(AtollError, match="ATL-POL-001"):
                policies.begin(job, PSI, step, 1, GUEST, turn=1)
        policies.ledger.settle(job)
    assert used(policies) == Counts()


def test_a_run_that_has_begun_and_reveals_later(house: House) -> None:
    """Lie: coins are tossed at once, so that the run has begun. No more is sent: ATL-POL-001."""
    house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST, runs=3)
    policies.begin("job-1", PSI, COIN_STEP, 1, GUEST, turn=1)
    revoke(house)
    policies.begin("job-1", PSI, "read", 1, GUEST, turn=1)
    with pytest.raises(AtollError, match="ATL-POL-001"):
        policies.begin("job-1", PSI, "match", 1, GUEST, turn=1)
    policies.ledger.settle("job-1")
    assert used(policies) == Counts(runs=1)


def test_a_grant_of_the_same_terms_is_another(house: House) -> None:
    """What was approved rests on one grant; under another it is decided when submitted again."""
    house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST)
    revoke(house)
    house.grant()
    with pytest.raises(AtollError, match="ATL-POL-001"):
        policies.begin("job-1", PSI, "match", 1, GUEST, turn=1)
    assert policies.consider("job-2", PSI, GUEST).kind == "approve"
    policies.begin("job-2", PSI, "match", 1, GUEST, turn=1)


def test_what_a_person_approved_without_a_grant_begins(house: House) -> None:
    """No grant ends it, neither one from after the approval nor one of an earlier approval."""
    approver = person(house.access, house.admin, "pia", ["approver"])
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST).kind == "queue"
    policies.approve(approver, "job-1", PSI, PSI.digest(), GUEST)
    house.grant()
    policies.consider("job-2", PSI, GUEST)
    policies.begin("job-2", PSI, "match", 1, GUEST, turn=1)
    policies.ledger.charge("job-2", PSI, "match", 1, MATCHED)
    policies.ledger.settle("job-2")
    revoke(house)
    policies.begin("job-1", PSI, "match", 1, GUEST, turn=1)
    assert policies.consider("job-2", PSI, GUEST, run=2).kind == "queue"
    policies.approve(approver, "job-2", PSI, PSI.digest(), GUEST, run=2)
    for known in (policies, house.again()):
        known.begin("job-2", PSI, COIN_STEP, 2, GUEST, turn=2)


def test_what_a_person_approved_under_a_grant_ends_with_it(house: House) -> None:
    """Its caps bound the approval, so it is over with them."""
    approver = person(house.access, house.admin, "pia", ["approver"])
    policies = house.policies
    house.grant(automatic=False)
    assert policies.consider("job-1", PSI, GUEST).code == "ATL-POL-009"
    policies.approve(approver, "job-1", PSI, PSI.digest(), GUEST)
    revoke(house)
    with pytest.raises(AtollError, match="ATL-POL-001"):
        policies.begin("job-1", PSI, "match", 1, GUEST, turn=1)


def _answers(house: House, **changed: Any) -> str | None:
    """Return why the house does not approve a job with these steps; None if it does."""
    house.grant()
    chosen = steps()
    for name, step in changed.items():
        chosen[name] = step
    return house.policies.consider("job-1", plan_of(chosen), GUEST, runs=1).code


def test_rows_that_are_only_stated_to_be_common(house: House) -> None:
    """Lie: no id is in common, the reader states that all are; all rows of a host showed."""
    parameters: dict[str, Any] = {**steps()["read"].parameters, "aligned": True}
    read = Step(component="reader", parameters=parameters)
    hold = Step(component="split", inputs={"table": "read.table"})
    assert _answers(house, read=read, hold=hold) == "ATL-POL-006"


def test_steps_that_send_nothing_choose_what_the_others_reveal(house: House) -> None:
    """Lie: a scaling that no grant named made the host's columns say "income above 22,000"."""
    cut: Any = {"columns": ["income"], "bounds": "value", "lower": 22_000, "upper": 22_000.01}
    scale = Step(component="scale", inputs={"table": "match.table"}, parameters=cut)
    hold = Step(component="split", inputs={"table": "scale.table"})
    assert _answers(house, scale=scale, hold=hold) == "ATL-POL-003"

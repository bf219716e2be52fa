"""A partner that has accounts closed while an attempt has not been reported."""

from __future__ import annotations

import pytest

from atoll.core.errors import AtollError
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.grants import Caps
from atoll.flow.policy.service import Policies
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, only_psi
from tests.flow.policy.test_caps import MATCHED, used

__all__ = ["house"]

PSI = only_psi()
WHOLE = Counts(runs=1, psi_runs=1)


def begun(house: House) -> Policies:
    """Return policies under which a job over one intersection has sent its share."""
    house.grant()
    house.policies.grants.cap(house.admin, "baskets", GUEST, Caps(psi_runs=1))
    assert house.policies.consider("job-1", PSI, GUEST).kind == "approve"
    house.policies.begin("job-1", PSI, "match", 1, GUEST, turn=1)
    return house.policies


def test_a_further_run_is_decided_on_while_an_attempt_is_not_reported(house: House) -> None:
    """Lie: the reservation is free in between, so the next job gets the last of the cap."""
    policies = begun(house)
    assert policies.consider("job-1", PSI, GUEST, run=4).code == "ATL-POL-005"
    assert used(policies) == WHOLE
    assert policies.consider("job-2", PSI, GUEST).code == "ATL-POL-005"
    after = house.again()
    assert used(after) == WHOLE
    after.ledger.charge("job-1", PSI, "match", 1, MATCHED)
    assert used(after) == WHOLE
    assert after.ledger.open_jobs() == []
    assert after.consider("job-2", PSI, GUEST).code == "ATL-POL-005"


def test_what_such_an_attempt_did_not_reveal_is_free_once_it_is_reported(house: House) -> None:
    policies = begun(house)
    for _ in range(2):
        policies.ledger.settle("job-1", 1)
    assert used(policies) == WHOLE
    lines = [line for line in policies.ledger.entries() if line["kind"] == "settle"]
    assert [line.get("keep") for line in lines] == [["match"]]
    policies.ledger.charge("job-1", PSI, "match", 1, [])
    assert used(policies) == Counts(runs=1)
    assert policies.ledger.open_jobs() == []
    assert policies.consider("job-2", PSI, GUEST).kind == "approve"


def test_the_end_of_a_run_closes_no_account_of_the_next(house: House) -> None:
    """Lie: the next run begins at once, before the end of the last one is written down."""
    house.grant()
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST, runs=3).kind == "approve"
    policies.begin("job-1", PSI, "match", 1, GUEST, turn=1)
    policies.ledger.charge("job-1", PSI, "match", 1, [])
    policies.begin("job-1", PSI, "read", 2, GUEST, turn=2)
    policies.ledger.charge("job-1", PSI, "read", 2, [])
    policies.ledger.settle("job-1", 1)
    policies.begin("job-1", PSI, "match", 2, GUEST, turn=2)
    assert used(policies).runs == 2
    policies.ledger.charge("job-1", PSI, "match", 2, MATCHED)
    policies.ledger.settle("job-1", 2)
    assert used(policies) == Counts(runs=2, psi_runs=1)
    assert policies.ledger.open_jobs() == []


def test_the_end_of_a_run_frees_nothing_that_a_later_decision_reserved(house: House) -> None:
    """Lie: as before, and the next run was approved: what it reserved is not another job's."""
    house.grant()
    house.policies.grants.cap(house.admin, "baskets", GUEST, Caps(psi_runs=1))
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST).kind == "approve"
    assert policies.consider("job-1", PSI, GUEST, run=2).kind == "approve"
    policies.ledger.settle("job-1", 1)
    assert policies.consider("job-2", PSI, GUEST).code == "ATL-POL-005"
    policies.ledger.settle("job-1", 2)
    assert policies.consider("job-3", PSI, GUEST).kind == "approve"
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match", 1, GUEST, turn=2)

"""An initiator whose proposals would use up what another partner may have."""

from __future__ import annotations

import pytest

from atoll.core.errors import AtollError
from atoll.flow.planning import COIN_STEP
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.service import Policies
from tests.flow.access.support import person
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, HOST, OTHER, plan_of, steps

__all__ = ["house"]

LIAR = GUEST
PSI = {name: step for name, step in steps().items() if name in ("read", "match")}
THREE = plan_of(PSI, hosts=(HOST, OTHER), name="three")


def sums(policies: Policies) -> list[int]:
    return [usage(policies.ledger, "baskets", name).psi_runs for name in (LIAR, OTHER)]


@pytest.mark.parametrize("queued", [False, True])
def test_proposals_that_only_wait(house: House, queued: bool) -> None:
    """Lie: jobs with a third party that never start. Its own job is approved all the same."""
    house.grant(partners=[LIAR, OTHER], limits={"psi_runs": 3}, automatic=not queued)
    policies = house.policies
    approver = person(house.access, house.admin, "pia", ["approver"])
    for number in range(3):
        job = f"job-{number}"
        assert (policies.consider(job, THREE, LIAR).kind == "queue") == queued
        if queued:
            policies.approve(approver, job, THREE, THREE.digest(), LIAR)
    assert sums(policies) == [3, 0]
    assert usage(policies.ledger, "baskets", OTHER) == Counts()


def test_a_run_that_begins_is_reserved_for_all(house: House) -> None:
    """No lie: before anything is sent the caps hold for each partner, and once."""
    house.grant(partners=[LIAR, OTHER], limits={"psi_runs": 1})
    policies = house.policies
    assert policies.consider("job-1", THREE, LIAR).kind == "approve"
    policies.begin("job-1", THREE, COIN_STEP, 1, LIAR, turn=1)
    policies.begin("job-1", THREE, "match", 1, LIAR, turn=1)
    assert sums(policies) == [1, 1]
    assert usage(policies.ledger, "baskets", LIAR).runs == 1
    assert usage(policies.ledger, "baskets", OTHER).runs == 1
    policies.ledger.settle("job-1")


def test_the_last_of_a_cap_is_had_by_the_run_that_begins_first(house: House) -> None:
    """Two jobs of two partners wait for the last run of a third party; one of them begins."""
    house.grant(partners=[LIAR], limits={"psi_runs": 9})
    house.grant(partners=[OTHER], limits={"psi_runs": 1})
    policies = house.policies
    for job in ("job-1", "job-2"):
        assert policies.consider(job, THREE, LIAR).kind == "approve"
    policies.begin("job-1", THREE, COIN_STEP, 1, LIAR, turn=1)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-2", THREE, COIN_STEP, 1, LIAR, turn=1)
    assert sums(policies) == [2, 1]

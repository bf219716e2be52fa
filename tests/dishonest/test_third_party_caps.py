"""An initiator whose proposals would use up what another partner may have."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.flow.planning import COIN_STEP, build
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.decision import PolicySettings
from atoll.flow.policy.grants import Caps
from atoll.flow.policy.service import Policies
from atoll.jobs.definition import Job, Step
from atoll.jobs.plan import Plan
from tests.flow.access.support import person
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, HOST, OTHER, facts, plan_of, steps

__all__ = ["house"]

LIAR = GUEST
PSI = {name: step for name, step in steps().items() if name in ("read", "match")}
MATCHED = [
    {"message": "psi.ecdh.tags", "field": "tags", "what": "tags", "elements": 9, "receiver": OTHER}
]
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
    # It has been charged for the run, and asks for no intersection any more.
    assert sums(policies) == [1, 1]
    assert usage(policies.ledger, "baskets", LIAR).runs == 2
    assert usage(policies.ledger, "baskets", OTHER).runs == 1


def use_up(house: House) -> None:
    """Let the third party have the only intersection that the table's cap allows it."""
    house.policies.grants.cap(house.admin, "baskets", OTHER, Caps(psi_runs=1))
    pair = plan_of(PSI, hosts=(HOST, OTHER), name="earlier")
    house.policies.ledger.charge("earlier", pair, "match", 0, MATCHED)


def answer(house: House, job: str, plan: Plan = THREE) -> tuple[str, str | None]:
    found = house.policies.consider(job, plan, LIAR)
    return found.kind, found.code


@pytest.mark.parametrize("granted", [False, True])
def test_what_is_left_of_a_third_partys_cap_shows_in_no_answer(house: House, granted: bool) -> None:
    """Proposals with more and more intersections read what another partner may still have."""
    if granted:
        house.grant(partners=[LIAR, OTHER])
    before = answer(house, "job-1")
    house.policies.ledger.settle("job-1")
    use_up(house)
    assert answer(house, "job-2") == before
    assert before[0] == ("approve" if granted else "queue")


def test_a_person_learns_of_a_third_partys_cap(house: House) -> None:
    use_up(house)
    approver = person(house.access, house.admin, "pia", ["approver"])
    assert answer(house, "job-1")[0] == "queue"
    with pytest.raises(AtollError, match="ATL-POL-005"):
        house.policies.approve(approver, "job-1", THREE, THREE.digest(), LIAR)


def test_each_look_at_a_third_partys_cap_costs_a_run(house: House) -> None:
    """Rule: it shows when a run begins, which is charged; nothing more begins than was approved."""
    house.grant(partners=[LIAR, OTHER])
    use_up(house)
    policies = house.policies
    mine, used = (usage(policies.ledger, "baskets", name) for name in (LIAR, OTHER))
    assert policies.consider("job-1", THREE, LIAR, runs=2).kind == "approve"
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", THREE, COIN_STEP, 1, LIAR, turn=1)
    assert usage(policies.ledger, "baskets", LIAR) == mine + Counts(runs=1)
    # Once more in the same run: another one is charged, and the step is refused all the same.
    policies.begin("job-1", THREE, COIN_STEP, 2, LIAR, turn=1)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", THREE, "match", 1, LIAR, turn=1)
    policies.ledger.settle("job-1")
    assert usage(policies.ledger, "baskets", LIAR) == mine + Counts(runs=2)
    assert usage(policies.ledger, "baskets", OTHER) == used + Counts(runs=1)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", THREE, COIN_STEP, 3, LIAR, turn=2)


def test_the_terms_of_a_third_partys_grant_have_one_code(house: House) -> None:
    """The codes were of columns, components, minimums or the grant: which of them did not fit."""
    policies = house.again(PolicySettings(default="deny"))
    house = House(house.database, house.access, house.admin, policies, house.wall)
    house.grant(partners=[LIAR], minimum_intersection=20)
    assert answer(house, "job-1") == ("refuse", "ATL-POL-016")
    house.grant(partners=[OTHER], minimum_intersection=77)
    assert answer(house, "job-2") == ("refuse", "ATL-POL-016")
    assert answer(house, "job-2") == ("refuse", "ATL-POL-016")
    reasons = policies.consider("job-2", THREE, LIAR).reasons
    assert "ATL-POL-006: match: minimum intersection 20 is too small" in reasons[0]
    # Its own code is the same whatever the other's grants are.
    small = plan_of(
        {name: step for name, step in steps(minimum=19).items() if name in PSI},
        hosts=(HOST, OTHER),
    )
    assert answer(house, "job-3", small) == ("refuse", "ATL-POL-006")


def alike(*names: str, content: str = "d") -> Plan:
    """Return a plan of an intersection for each of the shop's tables, all of the same content."""
    parties: dict[str, Any] = {GUEST: (Role.GUEST,), HOST: (Role.HOST,)}
    made, declared = dict[str, Step](), {GUEST: dict[str, Any](), HOST: dict[str, Any]()}
    for at, name in enumerate(names):
        tables: dict[str, Any] = {GUEST: "loans", HOST: name}
        made[f"read{at}"] = Step(component="reader", parameters={"tables": tables})
        made[f"match{at}"] = Step(
            component="psi",
            inputs={"table": f"read{at}.table"},
            parameters={"minimum_intersection": 20},
        )
        declared[GUEST][f"read{at}"] = facts("loans", label="y")
        declared[HOST][f"read{at}"] = facts(name).model_copy(update={"digest": content * 64})
    job = Job(name="alike", parties=parties, steps=made)
    return build(job, CATALOGUE, declared, {party: party * 8 for party in parties})


@pytest.mark.parametrize("granted", [False, True])
def test_tables_of_one_content_show_in_no_answer(house: House, granted: bool) -> None:
    """A job over both was refused at once where they were the same, as accounts are by content."""
    for name in ("june", "july"):
        house.add(name)
        house.policies.grants.cap(house.admin, name, "*", Caps(psi_runs=1))
        if granted:
            house.grant(name)
    kind = "approve" if granted else "queue"
    both, june, july = alike("june", "july"), alike("june"), alike("july")
    assert answer(house, "job-1", both)[0] == kind
    approver = person(house.access, house.admin, "pia", ["approver"])
    if not granted:
        with pytest.raises(AtollError, match="ATL-POL-005"):
            house.policies.approve(approver, "job-1", both, both.digest(), LIAR)
        house.policies.approve(approver, "job-2", june, june.digest(), LIAR)
    else:
        with pytest.raises(AtollError, match="ATL-POL-005"):
            house.policies.begin("job-1", both, COIN_STEP, 1, LIAR, turn=1)
        assert usage(house.policies.ledger, "june", LIAR).runs == 1
        house.policies.ledger.settle("job-1")
        assert answer(house, "job-2", june)[0] == kind
    house.policies.begin("job-2", june, COIN_STEP, 1, LIAR, turn=1)
    house.policies.begin("job-2", june, "match0", 1, LIAR, turn=1)
    house.policies.ledger.charge("job-2", june, "match0", 1, None)
    house.policies.ledger.settle("job-2")
    # Across jobs, too; the cap holds as the run begins, and its own name is refused at once.
    assert answer(house, "job-3", july)[0] == kind
    assert answer(house, "job-4", june) == ("refuse", "ATL-POL-005")
    if granted:
        with pytest.raises(AtollError, match="ATL-POL-005"):
            house.policies.begin("job-3", july, COIN_STEP, 1, LIAR, turn=1)
    else:
        with pytest.raises(AtollError, match="ATL-POL-005"):
            house.policies.approve(approver, "job-3", july, july.digest(), LIAR)

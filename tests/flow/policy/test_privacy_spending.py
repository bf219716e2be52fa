"""What runs with differential privacy spend of a table adds up in the ledger, under one cap."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.names import Role, Roles
from atoll.flow.planning import build
from atoll.jobs.definition import Job, Step
from atoll.jobs.plan import Plan
from atoll.privacy.accounting.api import Guarantee, Relation
from atoll.privacy.accounting.spending import Spending
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House
from tests.flow.policy.plans import GUEST, HOST, OTHER, TABLES, facts, only_psi
from tests.flow.policy.test_caps import MATCHED, reported


def _run(house: House, job: str, epsilon: float) -> str | None:
    """Propose a run that declares this ε and let it end; return the code of a refusal."""
    found = Guarantee(epsilon, 1e-6, Relation.ADD_OR_REMOVE)
    exposed = Spending(found, found).exposures("host", "guest")
    plan = only_psi().model_copy(update={"exposure": {"match": exposed}})
    decision = house.policies.consider(job, plan, GUEST)
    if decision.kind != "approve":
        return decision.code
    house.policies.begin(job, plan, "match", 0, GUEST)
    house.policies.ledger.charge(job, plan, "match", 0, MATCHED)
    house.policies.ledger.settle(job)
    return None


def test_runs_on_one_table_add_up_and_none_passes_the_cap(house: House) -> None:
    house.grant(limits={"epsilon": 1.0})
    assert _run(house, "job-1", 0.6) is None
    assert _run(house, "job-2", 0.4000011) == "ATL-POL-005"
    assert _run(house, "job-3", 0.399999) is None
    assert usage(house.policies.ledger, "baskets", GUEST).epsilon == pytest.approx(0.999999)
    assert _run(house, "job-4", 0.000002) == "ATL-POL-005"


HUB = "hub"
OWNERS = (GUEST, HOST, OTHER)


def _plan(**privacy: Any) -> Plan:
    """Return the plan of three owners who train with privacy of rows."""
    parties: dict[str, Roles] = dict.fromkeys(OWNERS, (Role.CLIENT,))
    parties[HUB] = (Role.AGGREGATOR,)
    parameters: dict[str, Any] = {"algorithm": "fedsgd", "privacy": {"epsilon": 0.6, **privacy}}
    steps = {
        "read": Step(component="reader", parameters={"tables": {p: TABLES[p] for p in OWNERS}}),
        "train": Step(
            component="horizontal", inputs={"train": "read.table"}, parameters=parameters
        ),
    }
    tables = {owner: {"read": facts(str(TABLES[owner]), label="y")} for owner in OWNERS}
    job = Job(name="rows", parties=parties, steps=steps)
    return build(job, CATALOGUE, tables, {party: party * 8 for party in parties})


def _train(house: House, job: str, plan: Plan) -> str | None:
    decision = house.policies.consider(job, plan, HUB)
    if decision.kind != "approve":
        return decision.code
    house.policies.begin(job, plan, "train", 0, HUB)
    sent = [reported("secure-sum.opened", "shares", 99, HUB)]
    house.policies.ledger.charge(job, plan, "train", 0, sent)
    house.policies.ledger.settle(job)
    return None


def test_training_with_privacy_is_charged_in_epsilon_to_all_who_learn(house: House) -> None:
    house.grant(
        partners=[GUEST, OTHER, HUB],
        components=["reader", "horizontal"],
        roles=["client"],
        columns=["*"],
        limits={"epsilon": 1.0},
    )
    plan = _plan()
    amounts = [entry.amount for entry in plan.exposure["train"]]
    assert {entry.unit for entry in plan.exposure["train"]} == {"epsilon"}
    assert max(amounts) == pytest.approx(0.6, rel=2e-3)
    assert max(amounts) <= 0.600001
    assert _train(house, "job-1", plan) is None
    for partner in (GUEST, OTHER, HUB):
        found = usage(house.policies.ledger, "baskets", partner)
        assert found.epsilon == pytest.approx(0.6, rel=2e-3)
        assert found.opened_sums == 0
    # A second run on the same rows would pass the cap: two times 0.6.
    assert _train(house, "job-2", _plan()) == "ATL-POL-005"


def test_no_cap_counts_the_sums_that_a_trusted_aggregator_sees() -> None:
    plan = _plan(noise="central")
    assert [entry.unit for entry in plan.exposure["train"]] == ["epsilon", "epsilon", "uncounted"]

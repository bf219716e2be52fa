"""What runs with differential privacy spend of a table adds up in the ledger, under one cap."""

from __future__ import annotations

import pytest

from atoll.privacy.accounting.api import Guarantee, Relation
from atoll.privacy.accounting.spending import Spending
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House
from tests.flow.policy.plans import GUEST, only_psi
from tests.flow.policy.test_caps import MATCHED


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

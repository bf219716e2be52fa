"""A partner that names another label, so that the rows it asks about look like others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from atoll.flow.policy.counts import Counts
from atoll.flow.policy.service import Policies
from atoll.flow.store import DataSets
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, HOST, only_psi
from tests.flow.policy.test_caps import MATCHED

__all__ = ["house"]

PSI = only_psi()
ROWS = "f" * 64
LABELS = {label: label * 64 for label in "abcd"}


class Tables:
    """Tables of which each named label makes another content: those that were looked at."""

    def __init__(self, looked: Mapping[str, str]) -> None:
        self.looked = dict(looked)

    def contents(self, name: str) -> Mapping[str, str]:
        return self.looked

    def all_contents(self) -> Mapping[str, str]:
        return self.looked


def asked(policies: Policies, job: str, table: str, label: str) -> Plan:
    """Return a plan over a table with this label, as it is declared for a job."""
    facts = PSI.tables[HOST]["read"]
    commitment = f"{job}{table}{label}".encode().hex().ljust(64, "0")
    named = facts.model_copy(update={"name": table, "digest": commitment})
    plan = PSI.model_copy(update={"tables": {**PSI.tables, HOST: {"read": named}}})
    policies.ledger.declared(job, plan.job, {GUEST: 9}, {commitment: LABELS[label]}, {table})
    return plan


def intersect(policies: Policies, job: str, plan: Plan) -> None:
    policies.begin(job, plan, "match", 1, GUEST, turn=1)
    policies.ledger.charge(job, plan, "match", 1, MATCHED)
    policies.ledger.settle(job)


def approved(house: House, policies: Policies, job: str, table: str, label: str) -> str | None:
    """Run a job if it is approved; return the code with which it is refused, or does not begin."""
    plan = asked(policies, job, table, label)
    decision = policies.consider(job, plan, GUEST)
    if decision.kind == "approve":
        try:
            intersect(policies, job, plan)
        except DeniedError as error:
            return error.code
    return decision.code


@pytest.fixture
def granted(house: House) -> House:
    """Let each of two names of the same rows be intersected once."""
    house.grant(limits={"psi_runs": 1})
    terms = {"partners": [GUEST], "components": ["psi"], "automatic": True}
    rows = DataSets(house.database)
    rows.add(replace(rows.get("baskets"), name="copy"))
    house.policies.grants.add(house.admin, "copy", {**terms, "limits": {"psi_runs": 1}})
    return house


def test_the_label_opens_no_other_account(granted: House) -> None:
    """Lie: the copy is asked about with a label of its own: a second time. ATL-POL-005."""
    policies = granted.policies
    policies.ledger.know(Tables(dict.fromkeys(LABELS.values(), ROWS)))
    assert approved(granted, policies, "job-1", "baskets", "a") is None
    assert approved(granted, policies, "job-2", "copy", "b") == "ATL-POL-005"
    assert approved(granted, policies, "job-3", "baskets", "c") == "ATL-POL-005"
    # The copy's run was charged when it was not let begin.
    assert usage(policies.ledger, "elsewhere", GUEST, LABELS["d"]) == Counts(runs=2, psi_runs=1)


def test_a_ledger_from_before_goes_on_counting(granted: House) -> None:
    """What was charged under the digest with a label counts for the rows, in open jobs, too."""
    before = granted.policies
    # As it was written then: no one knew that the contents are of the same rows.
    assert approved(granted, before, "job-1", "baskets", "a") is None
    waiting = asked(before, "job-2", "copy", "b")
    assert before.consider("job-2", waiting, GUEST).kind == "approve"
    after = granted.again()
    tables = Tables({LABELS["a"]: LABELS["a"], LABELS["b"]: LABELS["a"]})
    after.ledger.know(tables)
    assert usage(after.ledger, "elsewhere", GUEST, LABELS["a"]) == Counts(runs=2, psi_runs=2)
    # A look with another label shows which rows they are.
    tables.looked = dict.fromkeys(LABELS.values(), ROWS)
    assert approved(granted, after, "job-3", "copy", "c") == "ATL-POL-005"
    for digest in (*LABELS.values(), ROWS):
        assert usage(after.ledger, "elsewhere", GUEST, digest).psi_runs == 2
    # What was approved then begins no more: the one intersection was had under the other label.
    with pytest.raises(DeniedError, match="ATL-POL-005"):
        intersect(after, "job-2", waiting)
    for known in (after, granted.again()):
        used = usage(known.ledger, "elsewhere", GUEST, LABELS["d"])
        assert used == Counts(runs=2, psi_runs=1)
    assert after.ledger.verify() is None


def test_it_is_stated_once(granted: House) -> None:
    """The ledger grows by what there is to state, not by how often it is asked for."""
    policies = granted.policies
    tables = Tables(dict.fromkeys(LABELS.values(), ROWS))
    for _ in range(3):
        policies.ledger.know(tables)
        for name in ("baskets", "copy"):
            policies.ledger.note_contents({name: LABELS["a"]})
    lines = [line for line in policies.ledger.entries() if line["kind"] == "commitment"]
    assert len(lines) == len(LABELS)


def test_rows_under_a_standing_agreement_have_the_same_account(granted: House) -> None:
    """What a session holds may be of a later day: its rows are looked up when they are spent."""
    policies = granted.policies
    tables = Tables({LABELS["a"]: ROWS})
    policies.ledger.know(tables)
    assert approved(granted, policies, "job-1", "baskets", "a") is None
    tables.looked[LABELS["b"]] = ROWS
    assert usage(policies.ledger, "copy", GUEST, LABELS["b"]).psi_runs == 0
    policies.ledger.note_contents({"copy": LABELS["b"]})
    assert usage(policies.ledger, "copy", GUEST, LABELS["b"]).psi_runs == 1

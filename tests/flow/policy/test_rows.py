"""Rows are charged as they go, each way, also to whom they reach through a third party."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.core.errors import AtollError
from atoll.core.exposure import ROWS, Exposure
from atoll.core.reveal import Disclosures
from atoll.flow.policy.charges import charged
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.exposure import most_sent, table_exposures
from atoll.jobs.plan import Plan
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House
from tests.flow.policy.plans import GUEST, HOST, OTHER, only_psi, plan_of

BOTH = plan_of(hosts=(HOST, OTHER))
WAYS = {"m": ("host", "guest"), "q": ("guest", "host")}


def scored(plan: Plan, amount: int = 100) -> Plan:
    """Return a plan whose step tells the guest of hosts' rows, and hosts of what the guest asks."""
    exposure = tuple(
        Exposure(ROWS, amount, sender, receiver, message=message, field="rows")
        for message, (sender, receiver) in WAYS.items()
    )
    reveals = tuple(
        {"sender": sender, "receiver": receiver, "message": message, "field": "rows", "size": "n"}
        | {"what": "rows"}
        for message, (sender, receiver) in WAYS.items()
    )
    steps = {name: plan.job.steps[name] for name in ("read", "match")}
    job = plan.job.model_copy(update={"steps": steps})
    changes = {"job": job, "exposure": {"match": exposure}, "reveals": {"match": reveals}}
    return plan.model_copy(update=changes)


def sent(message: str, sender: str, receiver: str, elements: int = 40) -> dict[str, Any]:
    whole = {"sender": sender, "receiver": receiver, "message": message, "field": "rows"}
    return {**whole, "elements": elements, "what": "rows"}


def test_each_way_counts_what_went_that_way() -> None:
    plan, most = scored(only_psi()), Counts(rows=100)
    assert charged(plan, "match", most, [sent("m", HOST, GUEST)], GUEST) == Counts(rows=40)
    assert charged(plan, "match", most, [sent("q", GUEST, HOST)], HOST) == Counts(rows=40)
    assert charged(plan, "match", most, [sent("m", HOST, GUEST, 400)], GUEST).rows == 400
    for party, partner in ((HOST, GUEST), (GUEST, HOST)):
        (share,) = (made.partners[partner] for made in table_exposures(plan, party).values())
        assert share.steps["match"] == most


def test_what_a_partners_second_seat_is_sent_is_its_partys() -> None:
    plan, most = scored(only_psi()), Counts(rows=100)
    line = sent("m", HOST, f"{GUEST}:arbiter")
    assert charged(plan, "match", most, [line], GUEST) == Counts(rows=40)


def test_rows_of_unknown_number_are_counted_all_the_same() -> None:
    plan = scored(only_psi(), amount=0)
    assert charged(plan, "match", Counts(), [sent("m", HOST, GUEST)], GUEST) == Counts(rows=40)
    assert most_sent(plan, "match") == {}


def test_a_host_is_charged_for_what_the_guest_asks_it_about_another_one(house: House) -> None:
    house.grant(partners=[GUEST, OTHER])
    plan, policies = scored(BOTH), house.policies
    assert policies.consider("job-1", plan, GUEST).kind == "approve"
    policies.begin("job-1", plan, "match", 0, GUEST)
    policies.ledger.charge("job-1", plan, "match", 0, [sent("m", HOST, GUEST)])
    policies.ledger.settle("job-1")
    assert usage(policies.ledger, "baskets", GUEST).rows == 40
    # How many of these rows the guest asked the other host about is not known here.
    assert usage(policies.ledger, "baskets", OTHER).rows == 100


def test_nothing_sent_is_passed_on_to_nobody(house: House) -> None:
    house.grant(partners=[GUEST, OTHER])
    plan, policies = scored(BOTH), house.policies
    policies.consider("job-1", plan, GUEST)
    policies.begin("job-1", plan, "match", 0, GUEST)
    policies.ledger.charge("job-1", plan, "match", 0, [sent("m", HOST, GUEST, 0)])
    policies.ledger.settle("job-1")
    assert usage(policies.ledger, "baskets", OTHER) == Counts(runs=1)


def test_no_more_leaves_than_the_plan_states() -> None:
    bound = most_sent(scored(only_psi()), "match")
    assert bound == {"m": {"rows": 100}, "q": {"rows": 100}}
    counted = Disclosures({(m, f): n for m, fields in bound.items() for f, n in fields.items()})
    counted.add(HOST, GUEST, "m", [("rows", 60), ("bits", 10**9)])
    counted.add(HOST, GUEST, "m", [("rows", 40)])
    counted.add(HOST, OTHER, "m", [("rows", 100)])
    with pytest.raises(AtollError, match="ATL-REV-002"):
        counted.add(HOST, GUEST, "m", [("rows", 1)])
    assert counted.counts[HOST, GUEST, "m", "rows"] == 100

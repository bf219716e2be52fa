"""Caps and grants hang on what plans declare, by unit, sender and receiver, and on no name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import atoll.flow.estimating
import atoll.flow.policy
from atoll.components.api import Origin
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.exposure import OPENED_SUMS, UNCOUNTED, Exposure, at_least
from atoll.core.reveal import Reveal
from atoll.flow.estimating import STEP_SECONDS, estimated_seconds
from atoll.flow.planning import build
from atoll.flow.policy.charges import charged
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.decision import PolicySettings, decide
from atoll.flow.policy.exposure import table_exposures
from atoll.jobs.plan import Plan
from tests.flow.policy.books import append, usage
from tests.flow.policy.conftest import House
from tests.flow.policy.plans import GUEST, HOST, NOW, OTHER, grant, only_psi, plan_of, strange

REVEAL = {"message": "m", "field": "f", "size": "3", "what": "a sum"}
BOTH = plan_of(hosts=(HOST, OTHER))


def line(sender: str, receiver: str) -> dict[str, str]:
    return {"sender": sender, "receiver": receiver, **REVEAL}


def of_psi(plan: Plan, **changes: Any) -> Plan:
    """Return the plan of its intersection alone, with other terms."""
    job = plan.job
    kept = {name: job.steps[name] for name in ("read", "match")}
    return plan.model_copy(update={"job": job.model_copy(update={"steps": kept}), **changes})


def test_no_component_or_message_is_named_in_policy_and_estimates() -> None:
    files = [
        *Path(atoll.flow.policy.__path__[0]).glob("*.py"),
        Path(atoll.flow.estimating.__file__),
    ]
    names = "|".join(re.escape(name) for name in CATALOGUE)
    named = re.compile(rf"""["']({names})(["'.])|["'](psi|histogram|boosting|sample)\.""")
    assert len(files) > 8
    for path in files:
        assert not named.search(path.read_text(encoding="utf-8")), path


def test_a_partner_that_learns_nothing_of_a_table_needs_no_grant_on_it() -> None:
    plan = of_psi(BOTH, reveals={"match": (line("host", "guest"),)})
    asked = table_exposures(plan, HOST)["baskets"]
    assert asked.partners.keys() == {GUEST}
    found = decide(plan, HOST, GUEST, [grant()], {}, NOW, PolicySettings())
    assert found.kind == "approve"


def test_what_somebody_forwards_is_of_us_too() -> None:
    plan = of_psi(BOTH, reveals={"match": (line("guest", "host"),)})
    assert table_exposures(plan, HOST)["baskets"].partners.keys() == {OTHER}
    assert table_exposures(plan, GUEST)["loans"].partners.keys() == {HOST, OTHER}


def test_without_a_sender_everybody_may_have_told_it() -> None:
    old = {name: at for name, at in line("", "guest").items() if name != "sender"}
    plan = of_psi(BOTH, reveals={"match": (old,)})
    assert table_exposures(plan, HOST)["baskets"].partners.keys() == {GUEST}


def test_a_step_that_talks_and_says_nothing_tells_everyone_everything() -> None:
    plan = of_psi(BOTH, reveals={}, exposure={}, trust_models={"match": "local"})
    asked = table_exposures(plan, HOST)["baskets"]
    assert asked.partners.keys() == {GUEST, OTHER}
    assert asked.uncounted == {"match"}


def test_told_to_nobody_the_initiator_alone_is_asked_for_a_grant() -> None:
    silent = {**BOTH.edges, "match": ()}
    plan = of_psi(BOTH, reveals={}, edges=silent, trust_models={"match": "local"})
    assert table_exposures(plan, HOST)["baskets"].partners == {}
    ask = PolicySettings()
    assert decide(plan, HOST, GUEST, [], {}, NOW, ask).places == (f"baskets for {GUEST}",)
    assert decide(plan, HOST, GUEST, [grant()], {}, NOW, ask).kind == "approve"


def test_units_count_towards_those_who_receive_them() -> None:
    units = (
        Exposure("opened_sums", 5, receiver="guest"),
        Exposure("tree_nodes", 3, sender="guest", receiver="host"),
    )
    plan = of_psi(BOTH, exposure={"match": units})
    share = table_exposures(plan, HOST)["baskets"].partners
    assert share[GUEST].counts == Counts(runs=1, opened_sums=5)
    assert share[OTHER].counts == Counts(runs=1, tree_nodes=3)


def test_an_unknown_unit_needs_its_component_named() -> None:
    plan = of_psi(only_psi(), exposure={"match": (Exposure("furlongs", 2),)})
    assert table_exposures(plan, HOST)["baskets"].uncounted == {"match"}
    unnamed = decide(plan, HOST, GUEST, [grant(components=("*",))], {}, NOW, PolicySettings())
    assert unnamed.code == "ATL-POL-003"


SUM = Reveal("host", "guest", "m", "f", "3 * 4", "a sum")
LIST = Reveal("host", "guest", "m", "f", "rows_host", "a list")


@pytest.mark.parametrize(
    ("declared", "reported", "least"),
    [
        ((), (SUM,), (Exposure(OPENED_SUMS, 12),)),
        ((Exposure(OPENED_SUMS, 0),), (SUM, SUM), (Exposure(OPENED_SUMS, 24),)),
        (
            (Exposure(OPENED_SUMS, 40, message="m", field="f"),),
            (SUM,),
            (Exposure(OPENED_SUMS, 40),),
        ),
        (
            (Exposure("psi_runs", 1),),
            (SUM, LIST),
            (Exposure("psi_runs", 1), Exposure(UNCOUNTED, 1)),
        ),
        ((), (), (Exposure(UNCOUNTED, 1),)),
    ],
)
def test_code_of_others_exposes_no_less_than_its_reveals_say(
    declared: tuple[Exposure, ...], reported: tuple[Reveal, ...], least: tuple[Exposure, ...]
) -> None:
    assert at_least(declared, reported) == least


def test_others_that_tell_nothing_and_do_not_talk_expose_nothing() -> None:
    assert at_least((), (), sends=False) == ()


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf")])
def test_an_exposure_is_a_number(amount: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Exposure("opened_sums", amount)


def test_an_attempt_is_counted_by_what_was_sent_for_each() -> None:
    units = (Exposure("tree_nodes", 28, message="m", field="f", each=7),)
    plan = of_psi(only_psi(), exposure={"match": units})
    sent = {"sender": HOST, "receiver": GUEST, "message": "m", "field": "f", "elements": 2}
    most = Counts(tree_nodes=28)
    assert charged(plan, "match", most, [sent], GUEST).tree_nodes == 14
    assert charged(plan, "match", most, [{**sent, "elements": 9}], GUEST).tree_nodes == 28
    assert charged(plan, "match", most, [{**sent, "field": "other"}], GUEST).tree_nodes == 28
    assert charged(plan, "match", most, None, GUEST).tree_nodes == 28
    assert charged(plan, "match", most, [sent], OTHER) == Counts()


def test_sums_without_a_message_count_whole_for_each_receiver_named() -> None:
    """A guest that adds hosts' values up and returns the sum: what travels counts for nothing."""
    seen = {"sender": HOST, "receiver": GUEST, "message": "m", "field": "f"}
    for exposure, other in (
        (Exposure(OPENED_SUMS, 50, "host"), 50),
        (Exposure(OPENED_SUMS, 50, "host", "guest"), 0),
        (Exposure(OPENED_SUMS, 50, "host", "guest", "m", "f"), 0),
    ):
        plan = of_psi(BOTH, exposure={"match": (exposure,)})
        for elements in (2, 900):
            sent = [{**seen, "elements": elements}]
            most = Counts(opened_sums=50)
            assert charged(plan, "match", most, sent, OTHER).opened_sums == other
            counted = elements if exposure.message else 50
            assert charged(plan, "match", most, sent, GUEST).opened_sums == counted
        assert charged(plan, "match", Counts(opened_sums=50), [], OTHER) == Counts()


def test_a_plan_keeps_its_units_and_its_digest_on_the_way() -> None:
    plan = plan_of()
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again.digest() == plan.digest()
    assert again.exposure == plan.exposure
    old = plan.model_copy(update={"exposure": {}, "costs": {}})
    assert not {"exposure", "costs"} & old.canonical().keys()


def test_estimates_follow_the_declared_work() -> None:
    plan = plan_of()
    (work,) = plan.costs["train"]
    double = plan.model_copy(update={"costs": {"train": (work, work)}})
    one, two = (estimated_seconds(p)["train"] - STEP_SECONDS for p in (plan, double))
    assert two == pytest.approx(2 * one, abs=0.02)
    assert work.source


def test_undeclared_formulas_stay_uncounted_whatever_the_names() -> None:
    assert table_exposures(strange("boosting.v9"), HOST)["baskets"].uncounted == {"match"}


def test_what_one_seat_of_a_partner_tells_its_other_seat_counts() -> None:
    seats = (f"{GUEST}:guest", f"{HOST}:host", f"{GUEST}:arbiter")
    own = {"match": (line("arbiter", "guest"),)}
    plan = of_psi(only_psi(), reveals=own, seats={"match": seats})
    assert table_exposures(plan, HOST)["baskets"].partners.keys() == {GUEST}


def test_others_are_bounded_in_the_plan_and_ours_are_not() -> None:
    others = replace(CATALOGUE["psi"], origin=Origin("magic", "1", "0" * 64))
    job = only_psi().job
    tables = only_psi().tables
    made = build(job, {**CATALOGUE, "psi": others}, tables, dict(only_psi().certificates))
    assert made.exposure["match"] == (*only_psi().exposure["match"], Exposure(UNCOUNTED, 1))


def sent(receiver: str, elements: int = 4) -> dict[str, Any]:
    return {"sender": HOST, "receiver": receiver, **REVEAL, "elements": elements}


def test_who_hears_what_the_plan_does_not_foresee_is_charged(house: House) -> None:
    house.grant()
    plan = of_psi(BOTH, reveals={"match": (line("host", "guest"),)})
    policies = house.policies
    assert policies.consider("job-1", plan, GUEST).kind == "approve"
    policies.begin("job-1", plan, "match", 0, GUEST)
    policies.ledger.charge("job-1", plan, "match", 0, [sent(GUEST), sent(OTHER)])
    for partner in (GUEST, OTHER):
        assert usage(policies.ledger, "baskets", partner).psi_runs == 1


def test_a_job_from_before_units_is_charged_what_was_reserved_and_takes_no_more(
    house: House,
) -> None:
    house.grant()
    policies = house.policies
    old = only_psi().model_copy(update={"exposure": {}})
    digests = {"job": old.job.digest(), "plan": old.digest()}
    where = {"table": "baskets", "digest": old.tables[HOST]["read"].digest, "partner": GUEST}
    reserved = {"run": "job-1", **digests, **where, "step": "match", "counts": {"psi_runs": 1}}
    append(policies.ledger, ("reserve", reserved))
    policies.ledger.charge("job-1", old, "match", 0, [sent(GUEST)])
    assert usage(policies.ledger, "baskets", GUEST).psi_runs == 1
    policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-PLN-006"):
        policies.begin("job-1", old, "match", 0, GUEST)


def test_bytes_are_estimated_for_each_edge() -> None:
    one, two = only_psi(), BOTH
    assert two.estimated_bytes["match"] > 1.9 * one.estimated_bytes["match"] > 0
    assert two.estimated_bytes["train"] > 1.9 * plan_of().estimated_bytes["train"] > 0

from __future__ import annotations

import pytest

from atoll.flow.policy.counts import Counts
from atoll.flow.policy.exposure import table_exposures
from atoll.jobs.definition import Step
from atoll.learning.vertical.boosting import BoostingParameters
from atoll.learning.vertical.boosting.exposure import opened_cuts
from tests.flow.policy.plans import (
    COLUMNS,
    GUEST,
    HOST,
    OTHER,
    facts,
    only_psi,
    plan_of,
    steps,
    strange,
)


def test_a_plan_asks_for_columns_components_and_counts() -> None:
    asked = table_exposures(plan_of(), HOST)["baskets"]
    assert asked.columns == COLUMNS
    assert asked.components == {"psi", "split", "boosting", "prediction"}
    # 400 rows are trained on: two sums a cut; a bit a row and level (the guest: not the last), and
    # each node's fill whole bytes.
    sums = 2 * opened_cuts(BoostingParameters(trees=4, depth=3), 400, len(COLUMNS))
    trained = Counts(tree_nodes=4 * 7, opened_sums=sums, rows=4 * (1256 + 824))
    assert asked.steps["train"] == trained
    assert asked.counts == Counts(runs=1, psi_runs=1, rows=100) + trained
    assert asked.partners[GUEST].steps["train"].rows == 4 * 1256
    assert asked.uncounted == frozenset()
    assert ("match", "intersection", 20) in asked.minimums
    assert ("train", "group", 20) in asked.minimums


def test_the_label_is_a_column_too() -> None:
    assert table_exposures(plan_of(), GUEST)["loans"].columns == (*COLUMNS, "y")


def test_what_is_for_us_alone_is_no_reveal_of_ours() -> None:
    host = {message for _, message in table_exposures(plan_of(), HOST)["baskets"].reveals}
    guest = {message for _, message in table_exposures(plan_of(), GUEST)["loans"].reveals}
    assert "boosting.candidate_cuts" in host
    assert "boosting.candidate_cuts" not in guest
    assert "boosting.tree" in guest
    assert "boosting.tree" not in host


def test_with_two_hosts_what_a_host_learns_may_be_of_the_other() -> None:
    two = {m for _, m in table_exposures(plan_of(hosts=(HOST, OTHER)), HOST)["baskets"].reveals}
    assert "boosting.tree" in two


def test_steps_that_the_table_does_not_reach_ask_nothing_of_it() -> None:
    chosen = steps()
    chosen["again"] = Step(component="reader", parameters=chosen["read"].parameters)
    chosen["match"] = chosen["match"].model_copy(update={"inputs": {"table": "again.table"}})
    plan = plan_of(chosen)
    mine = {"read": facts("old"), "again": facts("baskets")}
    asked = table_exposures(plan.model_copy(update={"tables": {**plan.tables, HOST: mine}}), HOST)
    assert asked["old"].components == frozenset()
    assert asked["old"].counts == Counts(runs=1)
    assert asked["baskets"].counts.psi_runs == 1


def test_one_table_that_is_read_twice_counts_each_step_once() -> None:
    chosen = steps()
    chosen["again"] = Step(component="reader", parameters=chosen["read"].parameters)
    chosen["second"] = Step(component="psi", inputs={"table": "again.table"})
    plan = plan_of(chosen)
    mine = {"read": facts("baskets"), "again": facts("baskets", ("other",))}
    asked = table_exposures(plan.model_copy(update={"tables": {**plan.tables, HOST: mine}}), HOST)
    assert asked["baskets"].counts.psi_runs == 2
    assert asked["baskets"].columns == (*COLUMNS, "other")


@pytest.mark.parametrize("name", ["magic.v1", "sample.x", "sample", "boosting.score", "psi.ecdh"])
def test_a_step_that_no_unit_counts_is_named(name: str) -> None:
    asked = table_exposures(strange(name), HOST)["baskets"]
    assert asked.uncounted == {"match"}
    assert asked.covered() == {"match": Counts()}


def test_reveals_of_a_plain_size_are_opened_sums() -> None:
    reported = {
        "receiver": "guest",
        "message": "means",
        "field": "sums",
        "size": "3 * 4",
        "what": "…",
    }
    plan = strange("means.open", reveals={"match": (reported, reported)})
    asked = table_exposures(plan, HOST)["baskets"]
    assert asked.counts == Counts(runs=1, opened_sums=24)


def test_the_largest_parameter_of_any_party_counts() -> None:
    plan = plan_of()
    larger = {"train": {HOST: {"epsilon": 0.5}, GUEST: {"epsilon": 2.0}}}
    asked = table_exposures(plan.model_copy(update={"party_parameters": larger}), HOST)["baskets"]
    assert asked.counts.epsilon == 2.0


def test_a_privacy_parameter_is_counted() -> None:
    plan = only_psi()
    noisy = plan.model_copy(update={"parameters": {"match": {"epsilon": 0.5}}})
    assert table_exposures(noisy, HOST)["baskets"].counts.epsilon == 0.5

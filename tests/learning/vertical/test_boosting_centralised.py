"""A federated run gives, bit for bit, what the same algorithm gives in the clear."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.names import Role
from atoll.learning.vertical.boosting import BoostingParameters
from atoll.learning.vertical.boosting.api import NAMES as OBSERVED
from atoll.learning.vertical.boosting.api import Observed
from atoll.models.boosting import part_from_bytes, part_to_bytes
from atoll.models.boosting.scoring import probability
from tests.learning.vertical import play

CASES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "defaults": (2, 0, {}),
    "k is 0": (2, 0, {"minimum_rows": 0, "minimum_child_weight": 0.1}),
    "deep": (3, 0, {"depth": 5, "trees": 4}),
    "deep, k is 0": (2, 0, {"depth": 5, "trees": 4, "minimum_rows": 0}),
    "three hosts": (4, 0, {"minimum_rows": 8, "bins": 12}),
    "samples": (3, 0, {"row_sample": 0.6, "column_sample": 0.7, "minimum_rows": 5}),
    "stops early": (3, 80, {"early_stopping_rounds": 2, "trees": 30, "learning_rate": 1.0}),
    "validated": (2, 41, {"minimum_rows": 5, "depth": 4}),
    "classes": (3, 0, {"minimum_class_rows": 12, "minimum_rows": 5, "depth": 4}),
    "leaves": (2, 0, {"minimum_leaf_rows": 60, "minimum_rows": 3}),
    "gamma": (2, 0, {"gamma": 3.0, "reg_lambda": 0.0, "base_score": "half"}),
    "one level": (2, 0, {"depth": 1, "trees": 3}),
    "coarse": (2, 0, {"scale_bits": 5, "bins": 2}),
}


def settled(changes: dict[str, Any]) -> BoostingParameters:
    base: dict[str, Any] = {"trees": 6, "implementation": "ideal"}
    return BoostingParameters(**(base | changes))


def compare(names: int, held_out: int, parameters: BoostingParameters, seed: int = 7) -> None:
    x, y = play.table(420 + held_out, 4 * names + 1, seed)
    inputs = play.share(x, y, play.NAMES[:names], held_out)
    ran, plain = play.play(inputs, parameters, seed), play.in_the_clear(inputs, parameters, seed)
    guest = play.NAMES[0]
    assert ran.results[guest].part == plain.guest
    for host in play.NAMES[1:names]:
        assert ran.results[host].part == plain.hosts[host]
    history = ran.results[guest].history
    assert history.margin is not None
    np.testing.assert_array_equal(history.margin, plain.margin)
    np.testing.assert_array_equal(ran.scores, probability(plain.margin))
    losses = [t.validation_loss for t in history.trees if t.validation_loss is not None]
    assert losses == plain.losses
    assert sum(record.refused for record in history.trees) == plain.refused
    reported(ran, plain.observed, parameters, play.NAMES[1:names])


def reported(
    ran: play.Played,
    plain: dict[str, dict[str, list[int]]],
    parameters: BoostingParameters,
    hosts: tuple[str, ...],
) -> None:
    """Compare what was sent with the formulas, over counts that the centralised run worked out."""
    guest = play.NAMES[0]
    for host in hosts:
        lists = plain[host]
        counts: Observed = {
            host: {name: lists.get(name, []) for name in OBSERVED}
            | {"rows": sum(lists["tree_rows"]), "replied_nodes": len(lists.get("cells", []))}
        }
        for peer, seen in ((host, counts), (host, ran.results[guest].history.observed)):
            to_host = play.declared(parameters, seen, peer, Role.HOST)
            to_guest = play.declared(parameters, seen, peer, Role.GUEST)
            assert play.disclosed(ran, guest, host) == to_host
            assert play.disclosed(ran, host, guest) == to_guest
        seen = ran.results[host].history.observed
        assert play.declared(parameters, seen, guest, Role.GUEST) == to_guest
        assert play.declared(parameters, seen, guest, Role.HOST) == to_host


@pytest.mark.parametrize("name", CASES)
def test_equals_the_run_in_the_clear(name: str) -> None:
    names, held_out, changes = CASES[name]
    compare(
        names,
        held_out,
        settled(changes),
    )


@pytest.mark.parametrize("changes", [{}, {"depth": 5, "minimum_rows": 0}, {"row_sample": 0.5}])
def test_equals_the_run_in_the_clear_under_encryption(changes: dict[str, Any]) -> None:
    compare(3, 0, BoostingParameters(**({"trees": 2, "bins": 8} | changes)))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 1 << 30),
    k=st.integers(0, 40),
    depth=st.integers(1, 5),
    bins=st.integers(2, 40),
    weight=st.sampled_from([0.0, 0.5, 1.0, 5.0]),
    rows=st.sampled_from([1.0, 0.8, 0.3]),
)
def test_equals_the_run_in_the_clear_for_any_parameters(
    seed: int, k: int, depth: int, bins: int, weight: float, rows: float
) -> None:
    compare(
        2,
        0,
        BoostingParameters(
            trees=2,
            depth=depth,
            bins=bins,
            minimum_rows=k,
            minimum_child_weight=weight,
            row_sample=rows,
            implementation="ideal",
        ),
        seed,
    )


def test_the_cases_really_refuse_stop_and_use_hosts() -> None:
    names, _, changes = CASES["classes"]
    x, y = play.table(420, 4 * names + 1, 7)
    inputs = play.share(x, y, play.NAMES[:names])
    parameters = settled(changes)
    assert play.in_the_clear(inputs, parameters).refused > 0
    names, held_out, changes = CASES["stops early"]
    x, y = play.table(420 + held_out, 4 * names + 1, 7)
    inputs = play.share(x, y, play.NAMES[:names], held_out)
    stopped = play.in_the_clear(inputs, settled(changes))
    assert len(stopped.guest.trees) < len(stopped.losses) < 30
    assert min(stopped.guest.host_splits) > 0
    assert any(split.missing_left for part in stopped.hosts.values() for split in part.splits)


def test_parts_survive_being_stored() -> None:
    x, y = play.table(300, 8, 1)
    ran = play.play(
        play.share(x, y, play.NAMES[:2]), BoostingParameters(trees=3, implementation="ideal")
    )
    for result in ran.results.values():
        data = part_to_bytes(result.part)
        assert part_from_bytes(data) == result.part
        assert part_to_bytes(part_from_bytes(data)) == data


@pytest.mark.parametrize("empty", [play.NAMES[0], play.NAMES[1]])
def test_a_party_without_columns_takes_part(empty: str) -> None:
    x, y = play.table(300, 8, 1)
    inputs = play.share(x, y, play.NAMES[:3])
    inputs[empty] = replace(inputs[empty], features=np.empty((300, 0)), names=())
    parameters = settled({"column_sample": 0.8})
    ran, plain = play.play(inputs, parameters), play.in_the_clear(inputs, parameters)
    assert ran.results[play.NAMES[0]].part == plain.guest
    used = {record for tree in plain.guest.trees for record in tree.owner}
    assert play.NAMES.index(empty) not in used
    assert len(used) == 3

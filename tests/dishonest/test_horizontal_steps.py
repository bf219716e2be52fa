"""Parties of a step over clients' sums that lie, against the unchanged roles of the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.boosting import Boosting
from atoll.learning.horizontal.boosting.result import received_forest, result
from atoll.learning.horizontal.clustering import KMeans
from atoll.learning.horizontal.features import BinCounts, PartyStep
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import step_aggregator
from atoll.learning.horizontal.parties.messages import Ask, Counts
from atoll.learning.horizontal.parties.step_aggregator import StepClients
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.parties.step_work import StepWork
from atoll.learning.horizontal.sums import Update
from tests.learning.horizontal.test_parties import CLIENTS, ROLES, SEED
from tests.learning.horizontal.test_step_parties import COLUMNS, DATA, STEP, simulated, work

Hub = Callable[[Party], Any]
ALL = np.arange(len(CLIENTS))
TREES = dict(simulated(STEP).vectors)
CELLS = dict(STEP.message(STEP.begin(COLUMNS)))


def level(tree: float, depth: float, live: list[float], **changed: Any) -> Vectors:
    """Return a message that asks for a level's histograms."""
    grown = int(tree + 1) * STEP.shape.nodes
    names = ("tree.column", "tree.cut", "tree.missing_left", "weights")
    trees = {name: TREES[name][:grown] for name in names}
    common = {name: TREES[name] for name in ("thresholds", "base")}
    at = {"at": np.array([tree, depth]), "live": np.array(live)}
    return {**trees, **common, **at, **changed}


def play(
    sum_: str,
    *,
    hub: Hub | None = None,
    liar: type[StepClient] | None = None,
    step: PartyStep = STEP,
    data: Mapping[str, ClientRows] = DATA,
) -> world.World:
    of = work(step, sum_)

    def entry(party: Party) -> Any:
        if party.role == Role.AGGREGATOR:
            if hub is not None:
                return hub(party)
            return step_aggregator.run(party, of, lambda state: result(STEP, state))
        made = liar if liar is not None and party.name == "c0" else StepClient
        sent = made(party, of, data[party.name]).run()
        return received_forest(STEP, sent, COLUMNS)

    return world.run(
        ROLES,
        entry,
        seed=SEED,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


def codes(done: world.World) -> dict[str, str]:
    return {name: getattr(error, "code", repr(error)) for name, error in done.errors.items()}


def asking(*wanted: tuple[int, Vectors], step: PartyStep = STEP) -> Hub:
    """Return an aggregator that asks for these sums one after the other, and counts them."""

    def hub(party: Party) -> int:
        clients, got = StepClients(party, work(step)), 0
        for round_, message in wanted:
            got += clients.ask(round_, message, ALL).answered > 0
        return got

    return hub


@pytest.mark.parametrize(
    "wanted",
    [
        [(0, CELLS), (0, CELLS)],
        [(1, CELLS), (0, CELLS)],
        [(0, CELLS), (STEP.most_rounds, level(0, 0, [0]))],
        [(0, CELLS), (1, CELLS), (2, CELLS)],
        [(0, level(0, 0, [0])), (1, level(0, 0, [0]))],
        [(0, {"labels": np.zeros(1)}), (1, {"labels": np.zeros(1)})],
        [(0, CELLS), (1, {**CELLS, "more": np.zeros(4 * STEP.sizes(COLUMNS).message)})],
    ],
    ids=["twice", "back", "beyond", "cells thrice", "a level twice", "labels twice", "too much"],
)
def test_what_the_plan_has_no_room_for_is_not_summed(wanted: list[tuple[int, Vectors]]) -> None:
    done = play("plain", hub=asking(*wanted))
    assert set(codes(done).values()) >= {"ATL-HOR-082"}
    assert not done.results


@pytest.mark.parametrize(
    "message",
    [
        level(0, 1, [0]),
        level(0, 0, [0, 1]),
        level(0, 1, [1, 3]),
        level(0, 2, [3]),
        level(3, 0, [0]),
        level(0, 0, [0], thresholds=TREES["thresholds"][1:]),
        {"something": np.zeros(1)},
    ],
    ids=["root", "deeper", "leaf", "below", "no tree", "thresholds", "unknown"],
)
def test_only_histograms_of_the_step_are_summed(message: Vectors) -> None:
    done = play("plain", hub=asking((0, message)))
    assert codes(done)["c0"] == "ATL-HOR-100"


BINS = BinCounts(bins=4, cells=16, rounds=2)
CUTS = {"thresholds": np.tile([-1.0, 0.0, 1.0], COLUMNS)}
EDGES = dict(BINS.message(BINS.begin(COLUMNS)))


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ([(0, EDGES), (1, EDGES), (2, EDGES)], "ATL-HOR-082"),
        ([(0, CUTS), (1, CUTS)], "ATL-HOR-082"),
        ([(0, {"thresholds": np.tile(np.arange(4.0), COLUMNS)})], "ATL-HOR-100"),
        ([(0, {"thresholds": np.tile([0.0, 0.0, 1.0], COLUMNS)})], "ATL-HOR-100"),
        ([(0, {"thresholds": np.tile([2.0, 0.0, 1.0], COLUMNS)})], "ATL-HOR-100"),
    ],
    ids=["cells thrice", "bins twice", "more bins", "empty bins", "out of order"],
)
def test_no_more_bins_are_counted_than_planned(
    wanted: list[tuple[int, Vectors]], code: str
) -> None:
    """Gain: labels of narrower ranges of values than the plan states."""
    done = play("plain", hub=asking(*wanted, step=BINS), step=BINS)
    assert set(codes(done).values()) >= {code}
    assert not done.results


CLUSTERS = KMeans(clusters=2, cells=1, rounds=2, bound=4.0)


def centres(*values: float) -> Vectors:
    return {"centres": np.repeat(values, COLUMNS)}


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ([(0, centres(0)), (1, centres(0)), (2, centres(0))], "ATL-HOR-082"),
        ([(0, centres(0)), (0, centres(0, 1))], "ATL-HOR-082"),
        ([(0, centres(0, 1, 2))], "ATL-HOR-082"),
        ([(0, centres(0, 4.1))], "ATL-HOR-100"),
        ([(0, {"centres": np.zeros(COLUMNS + 1)})], "ATL-HOR-100"),
        ([(0, {**EDGES, **centres(0)})], "ATL-HOR-082"),
    ],
    ids=["a round more", "a round twice", "more centres", "beyond", "other columns", "more"],
)
def test_no_more_clusters_are_summed_than_planned(
    wanted: list[tuple[int, Vectors]], code: str
) -> None:
    """Gain: sums of fewer rows each than the plan states, or rows alone with a far centre."""
    rows = {name: ClientRows(np.nan_to_num(data.rows), data.targets) for name, data in DATA.items()}
    done = play("plain", hub=asking(*wanted, step=CLUSTERS), step=CLUSTERS, data=rows)
    assert set(codes(done).values()) >= {code}
    assert not done.results


@pytest.mark.parametrize(
    "names",
    [("c0", "c1"), ("c0", "c1", "c9"), ("c1", "c0", "c2"), ("c1", "c2", "c3"), ("c0",) * 3],
    ids=["too few", "not of the plan", "out of order", "without itself", "one name thrice"],
)
def test_a_round_of_other_clients_than_the_plan_allows_is_refused(names: tuple[str, ...]) -> None:
    def hub(party: Party) -> None:
        party.channel.send("c0", "ask", Ask(0, names, (), (), (), False))
        party.channel.receive("c0", "round-0/counts", Counts)

    assert codes(play("plain", hub=hub))["c0"] == "ATL-HOR-082"


def test_who_was_left_out_does_not_come_back() -> None:
    def hub(party: Party) -> int:
        clients, got = StepClients(party, work(sum_="plain")), 0
        for round_, here in enumerate((CLIENTS[1:], (CLIENTS[0], *CLIENTS[2:]))):
            clients.here = list(here)
            got += clients.ask(round_, CELLS, ALL).answered > 0
        return got

    assert codes(play("plain", hub=hub))["c2"] == "ATL-HOR-082"


@pytest.mark.parametrize("kept", [1, 1 << 20])
def test_what_refers_to_values_that_were_not_sent_is_refused(kept: int) -> None:
    def hub(party: Party) -> None:
        ask = Ask(0, CLIENTS, ("edges",), (kept,), (kept,), False)
        party.channel.send("c0", "ask", ask)
        party.channel.receive("c0", "round-0/counts", Counts)

    assert codes(play("plain", hub=hub))["c0"] == "ATL-HOR-082"


class Inconsistent(StepClients):
    """Sends one client other cells than the rest, so that the sum would be its counts alone."""

    def _send(self, round_: int, names: tuple[str, ...], message: Any, *, last: bool) -> None:
        whole, self.here = self.here, ["c1"]
        super()._send(round_, names, message, last=last)
        self.here = [name for name in whole if name != "c1"]
        other = {name: np.nextafter(vector, 0) for name, vector in message.items()}
        super()._send(round_, names, other, last=last)
        self.here = whole


@pytest.mark.parametrize("sum_", ["plain", "masked"])
def test_different_questions_to_different_clients_give_no_sum(sum_: str) -> None:
    def hub(party: Party) -> Any:
        return Inconsistent(party, work(sum_=sum_)).ask(0, CELLS, ALL).total

    done = play(sum_, hub=hub)
    if sum_ == "plain":
        # Where single sums are seen anyway, nothing is gained by it.
        assert done.results["hub"] is not None
        return
    assert "hub" not in done.results
    assert "ATL-SUM-011" in codes(done).values()


@pytest.mark.parametrize(
    "changed",
    [
        {"tree.column": np.concatenate([[float(COLUMNS)], TREES["tree.column"][1:]])},
        {"tree.column": np.full(len(TREES["tree.column"]), 1.0)},
        {"tree.column": TREES["tree.column"][1:]},
        {"tree.cut": TREES["tree.cut"] + 0.5},
        {"tree.rows": -TREES["tree.rows"]},
        {"thresholds": -TREES["thresholds"]},
    ],
    ids=["column", "depth", "size", "cut", "rows", "thresholds"],
)
def test_a_result_that_is_no_model_is_refused(changed: Vectors) -> None:
    def hub(party: Party) -> None:
        StepClients(party, work()).end(0, {**result(STEP, simulated(STEP)), **changed})

    assert set(codes(play("plain", hub=hub)).values()) == {"ATL-HOR-100"}


class Contradicting(StepClient):
    """Adds a row to one bin of one column."""

    def update(self, round_: int, sent: Vectors) -> Update:
        made = super().update(round_, sent)
        if "sums" in made.vectors:
            made.vectors["sums"][-1] += 1 if self.work.adding.mask is None else 1 << 40
        return made


@pytest.mark.parametrize("sum_", ["plain", "masked"])
def test_a_client_whose_columns_contradict_each_other_ends_it(sum_: str) -> None:
    done = play(sum_, liar=Contradicting)
    assert codes(done)["hub"] in {"ATL-HOR-101", "ATL-HOR-108"}


class Larger(StepClient):
    """Hands in one value more than asked for."""

    def update(self, round_: int, sent: Vectors) -> Update:
        made = super().update(round_, sent)
        vectors = {name: np.append(vector, vector[:1]) for name, vector in made.vectors.items()}
        return dataclasses.replace(made, vectors=vectors)


def test_a_client_whose_sums_have_another_size_is_named() -> None:
    error = play("plain", liar=Larger).errors["hub"]
    assert getattr(error, "code", "") == "ATL-HOR-081"
    assert getattr(error, "party", "") == "c0"


def test_the_step_itself_is_honest() -> None:
    assert isinstance(STEP, Boosting)
    assert isinstance(work(), StepWork)
    assert len(play("masked").check().results) == len(CLIENTS) + 1

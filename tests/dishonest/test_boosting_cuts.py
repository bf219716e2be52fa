"""Cuts that no honest party sends or asks for, against the shipped other side of boosting."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.audit.chosen_weights import NONE_U1, NONE_U4, LyingGuest
from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.api import Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.flow.work.specification import TaskSpec
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, messages, train
from atoll.learning.vertical.boosting.exposure import most_cuts
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.learning.vertical.boosting.sampling import sample_rows
from tests import whole
from tests.components.test_main_job import tables
from tests.dishonest.boosting_liars import (
    GUEST,
    HOST,
    SEATS,
    Powers,
    against_host,
    codes,
    training,
    two_tables,
)
from tests.dishonest.lying import lying

ROWS, RATE = 300, 0.3
SAMPLED = BoostingParameters(
    trees=1, depth=2, minimum_rows=5, row_sample=RATE, implementation="ideal"
)


class _Empty(LyingGuest):
    """Knows a column of the host of the sampled rows, and asks how it divides the others.

    It divides the root so that each child's sampled rows lie on one side of most cuts of it.
    """

    seen = 0

    def weights(self, tree: int) -> list[Any]:
        step = self._party.channel.scope.task
        self.sampled = sample_rows(self._party.public_rng, step, tree, self._rows, RATE)
        return [np.ones(len(self.sampled), dtype=np.int64) for _ in range(2)]

    def _count(self, node: Any) -> int:
        return int(np.isin(node.rows, self.sampled).sum())

    def _left(self, node: Any) -> Any:
        column = two_tables(ROWS)[HOST].features[:, 0]
        low = column <= np.median(column)
        other = np.random.default_rng(1).random(self._rows) < 0.5
        return np.where(np.isin(np.arange(self._rows), self.sampled), low, other)[node.rows]

    def _pair(self, node: Any) -> Any:
        both: Any = super()._pair(node)[:2]
        children = sorted(both, key=lambda child: child.number)
        return (*sorted(children, key=self._count), node)

    def _ask(self, tree: int, depth: int, nodes: Sequence[Any]) -> int:
        asked = 0
        for node in nodes if depth else ():
            empty = node.candidates[np.isin(node.sums[1], (0, self._count(node)))]
            for cut in empty[:4]:
                number, cuts = np.array([node.number], np.uint32), np.array([cut], np.uint32)
                order = messages.Order(tree, depth, False, number, cuts, NONE_U1, NONE_U4, b"")
                self._party.channel.send(self._host, "order", order)
                self._party.channel.receive(self._host, "left", messages.Left)
                self.seen += len(node.rows) - self._count(node)
                asked += 1
        return asked


@pytest.mark.parametrize("more", [{}, {"minimum_class_rows": 1}])
def test_a_cut_that_divides_no_sampled_row_is_not_announced(more: dict[str, int]) -> None:
    """The guest asks for cuts with an empty side among the sampled rows, and refuses them rightly.

    It saw four for each node, over the rows outside the sample. No honest guest asks: an empty side
    shows in the sums, and saves no loss. Rule: ATL-BST-005 before anything leaves.
    """
    liars: list[_Empty] = []
    parameters = SAMPLED.model_copy(update=more)

    def lie(party: Party) -> None:
        liars.append(
            _Empty(party, ROWS, parameters, Powers(party.at("histogram")), levels=2, refuse=True)
        )
        liars[0].run()

    ended = against_host(lie, parameters, ROWS).codes
    assert liars[0].seen == 0
    assert ended[HOST] == "ATL-BST-005"


class _Small(HostTrainer):
    """Sends the cuts of all columns, however few rows lie on a side."""

    asked = 0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._parameters = self._parameters.model_copy(update={"minimum_rows": 0})

    def _check_start(self, start: Any) -> None:
        pass

    def _judge(self, *given: Any) -> None:
        pass

    def _announce(self, tree: Any, depth: int, order: Any, *rest: Any) -> None:
        self.asked += len(order.ask_nodes)
        super()._announce(tree, depth, order, *rest)


def test_a_cut_with_fewer_than_k_rows_on_a_side_ends_the_job() -> None:
    """The host makes up columns that single out 12 rows where k is 20, and the guest refuses.

    It learned up to four choices for each node, in order: which of its sets fit the labels best. No
    honest host sends such a cut. Rule: ATL-BST-009 at the first that is announced.
    """
    rng = np.random.default_rng(3)
    label = (rng.random(ROWS) < 0.5).astype(np.float64)
    sets = np.array([np.isin(np.arange(ROWS), rng.choice(ROWS, 12)) for _ in range(40)]).T
    names = tuple(f"h{at}" for at in range(40))
    guest = BoostingInputs(rng.normal(size=(ROWS, 1)), ("g",), label)
    parameters = BoostingParameters(trees=3, implementation="ideal")
    liars: list[_Small] = []

    def entry(party: Party) -> Any:
        if party.name == GUEST:
            return train(party, guest, parameters)
        liars.append(_Small(party, BoostingInputs(sets.astype(np.float64), names), parameters))
        return liars[0].run()

    done = world.run(SEATS, entry, seed=7)
    assert liars[0].asked == 1
    assert codes(done.errors)[GUEST] == "ATL-BST-009"


class _Unbound(whole.Run):
    """A run in which nothing holds what the host sends against the plan."""

    def spec(self, party: str, step: str) -> TaskSpec:
        spec = super().spec(party, step)
        return spec if party != HOST else spec.model_copy(update={"most": {}})


def _of_many_columns(task: Task, parameters: BoostingParameters) -> Result:
    rows = task.inputs["train"].num_rows
    features = np.random.default_rng(1).normal(size=(rows, 40))
    names = tuple(f"h{at}" for at in range(features.shape[1]))
    train(task.party, BoostingInputs(features, names), parameters)
    return Result({}, {}, None)


def test_cuts_of_more_columns_than_the_plan_has_are_not_opened() -> None:
    """The host states 3 columns, and sends the cuts of 40: more choices, and the guest's processor.

    The guest opened them all. Now it counts what a root's cuts may be at most: ATL-BST-009.
    """
    planned = whole.Planned(training(trees=1, depth=1, bins=8), tables(), CATALOGUE)
    assert planned.plan is not None
    assert planned.plan.columns["train"] == {GUEST: 3, HOST: 3}
    liars = {HOST: lying({"boosting": _of_many_columns})}
    with tempfile.TemporaryDirectory() as folder:
        ran = _Unbound(planned, planned.plan, Path(folder), {}, liars).play()
    assert codes(ran.errors)[GUEST] == "ATL-BST-009"


def test_all_cuts_of_the_columns_in_the_plan_are_taken() -> None:
    """Columns with all their bins, and gaps, have as many cuts as the bound allows."""
    bins = 4
    column = np.repeat(np.arange(bins + 1.0), 40)
    column[-40:] = np.nan
    parameters = BoostingParameters(
        trees=1, depth=1, bins=bins, minimum_rows=1, implementation="ideal"
    )
    label = np.resize([0.0, 1.0], len(column))
    sent: list[Any] = []

    def entry(party: Party) -> Any:
        if party.name == GUEST:
            given = BoostingInputs(column[:, None], ("g",), label)
            made = train(replace(party, columns={HOST: 1}), given, parameters)
            sent.append(made.history.observed[HOST]["candidates"])
            return made
        return train(party, BoostingInputs(column[:, None], ("h",)), parameters)

    assert not world.run(SEATS, entry, seed=7).errors
    assert sent == [[most_cuts(parameters, 1)]]

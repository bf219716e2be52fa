"""Trains boosted trees on the rows of many owners with the same columns, by sums of histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from atoll.components.api import ArtifactFacts, Facts, Result, Task, Terms
from atoll.components.clients import EnoughRows
from atoll.components.over_clients import (
    FEW,
    SummedRows,
    aggregated,
    left_panels,
    over_clients,
    own_rows,
    planned,
    terms,
)
from atoll.components.step_cheats import BOOSTING_CHEATS
from atoll.core.names import Role, party_of
from atoll.core.report import KeyValuePanel, LinePanel, Panel, Report, Series
from atoll.jobs.schema import Port, Purpose
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.boosting import Boosting, Forest
from atoll.learning.horizontal.boosting.result import received_forest, result
from atoll.learning.horizontal.features.api import numbers
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties.step_aggregator import Stepped
from atoll.models.forest.kind import HORIZONTAL_TREES, card

if TYPE_CHECKING:
    from atoll.table import Table

WHAT = "histograms: gradients, Hessians and rows by node, column and bin"


# ``EnoughRows`` last, so that its field is the first of a form.
class HorizontalBoostingParameters(SummedRows, Boosting, EnoughRows):
    """How many trees of which form are grown, and how clients' histograms are added up."""

    @property
    def step(self) -> Boosting:
        """See ``SummedRows.step``."""
        return self

    @property
    def fewest(self) -> int:
        """See ``Boosting.fewest``: a sample is no smaller than a client's table may be."""
        return self.minimum_rows


def run(task: Task, parameters: HorizontalBoostingParameters) -> Result:
    """Train together; every client keeps the whole model.

    Errors: those of ``over_clients``; ATL-BIN-001 a value is infinite, ATL-HOR-020 a label of
    another form, ATL-HOR-104 a target beyond ``bound``, ATL-HOR-108.
    """
    if task.party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    own = own_rows(task, parameters, "train", "validation")
    data, held = rows_of(own.table, parameters), task.inputs.get("validation")
    held_out = data if held is None else rows_of(held, parameters, own.names)
    sent, cut = own.take_part(data)
    forest = received_forest(parameters, sent, len(own.names))
    part = forest.whole(party_of(task.party.name), own.names, parameters.loss)
    title = "Own training rows" if held is None else "Own held-out rows"
    panels = (*_figures(title, forest, held_out), *card(part), *cut)
    return Result({"model": part}, report=Report(title="Horizontal boosting", panels=panels))


def rows_of(
    table: Table, parameters: Boosting, columns: tuple[str, ...] | None = None
) -> ClientRows:
    """Return a table as rows and targets. Errors: ATL-BIN-001, ATL-HOR-020."""
    matrix = table.matrix(columns) if columns else table.matrix()
    return ClientRows(numbers(matrix), parameters.objectives.check(table.label()))


def _figures(title: str, forest: Forest, data: ClientRows) -> tuple[Panel, ...]:
    if not len(data):
        return ()
    margins = forest.margins(np.asarray(data.rows, dtype=np.float64))
    found = forest.loss.predict(margins)
    values: dict[str, float | int | str | None] = {
        "rows": len(data),
        "loss": float(forest.loss.of_rows(margins, data.targets).mean()),
    }
    if found.ndim == 2:
        values["accuracy"] = float((found.argmax(axis=1) == data.targets).mean())
    elif forest.loss.classifies:
        values["accuracy"] = float(((found >= 0.5) == data.targets).mean())
    return (KeyValuePanel(title=title, values=values),)


def _aggregate(task: Task, parameters: HorizontalBoostingParameters) -> Result:
    shown = 0

    def watch(state: State) -> None:
        nonlocal shown
        losses = parameters.losses(state).tolist()
        for tree in range(shown, len(losses)):
            task.party.metric("loss", losses[tree], tree)
        shown = len(losses)

    done, _ = aggregated(task, parameters, lambda state, _: result(parameters, state), watch)
    return Result(report=report(parameters, done))


def report(parameters: Boosting, done: Stepped) -> Report:
    """Return the aggregator's report: the loss before each tree, the trees, and who left."""
    losses = parameters.losses(done.state)
    trees = tuple(float(at) for at in range(len(losses)))
    series = (Series(name="all clients", x=trees, y=tuple(losses.tolist())),)
    forest = parameters.forest(done.state)
    names = tuple(f"column {at + 1}" for at in range(len(forest.binning.thresholds)))
    panels: tuple[Panel, ...] = (
        LinePanel(title="Training loss", x_label="trees", y_label="loss", series=series),
        *card(forest.whole("all", names, parameters.loss)),
        *left_panels(done.left),
    )
    return Report(title="Horizontal boosting", panels=panels)


def describe(facts: Facts, parameters: HorizontalBoostingParameters) -> Terms:
    """Return what training reveals: sums of histograms, and the trees.

    Errors: those of ``over_clients.planned`` and ``over_clients.terms``.
    """
    columns = planned(facts, parameters, "train", "validation")
    kind, clients = HORIZONTAL_TREES.name, facts.having(Role.CLIENT)
    return terms(
        facts,
        parameters,
        columns,
        "boosting",
        WHAT,
        {"model": {client: ArtifactFacts(kind, columns=columns) for client in clients}},
        minimums={"leaf": parameters.minimum_leaf_rows},
        warnings=_warnings(facts, parameters),
    )


def _warnings(facts: Facts, parameters: HorizontalBoostingParameters) -> tuple[str, ...]:
    rows = sum(table.rows for table in facts.inputs["train"].values())
    each = rows // (parameters.bins << (parameters.depth - 1))
    if not rows or each >= FEW:
        return ()
    return (
        f"the last level of a tree has about {each or 'no'} rows in a bin: sums over so few "
        "show values and labels of rows, though not whose they are; take fewer bins or levels",
    )


HORIZONTAL_BOOSTING = over_clients(
    "horizontal_boosting",
    HorizontalBoostingParameters,
    run,
    describe,
    sources=("atoll.learning.features", "atoll.learning.vertical.boosting", "atoll.models.forest"),
    inputs={
        "train": Port(
            "table",
            purpose=Purpose.TRAIN,
            everywhere=True,
            label="any",
            roles=frozenset({Role.CLIENT}),
        ),
        "validation": Port(
            "table",
            optional=True,
            purpose=Purpose.VALIDATE,
            label="any",
            roles=frozenset({Role.CLIENT}),
        ),
    },
    outputs={"model": HORIZONTAL_TREES.name},
    dishonest=BOOSTING_CHEATS,
)

"""Trains boosted trees on the rows of many owners with the same columns, by sums of histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from atoll.components.alignment import refuse_more_rows
from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.clients import PUBLIC_CODES, EnoughRows, check_clients, sum_warnings, width_of
from atoll.components.horizontal_shown import cut_panels
from atoll.components.step_cheats import BOOSTING_CHEATS
from atoll.core.exposure import EVERYONE, OPENED_SUMS, Exposure
from atoll.core.names import Role, party_of
from atoll.core.report import KeyValuePanel, LinePanel, Panel, Report, Series, TablePanel
from atoll.jobs.participation import ONE, SOME, star
from atoll.jobs.schema import Port, Purpose
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.boosting import Boosting, Forest
from atoll.learning.horizontal.boosting.result import received_forest, result
from atoll.learning.horizontal.features.api import numbers
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import step_aggregator
from atoll.learning.horizontal.parties.step_aggregator import Stepped
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.parties.step_work import (
    StepWork,
    Summed,
    bytes_of,
    reveals,
)
from atoll.models.forest.kind import HORIZONTAL_TREES, card

if TYPE_CHECKING:
    from atoll.table import Table

WHAT = "histograms: gradients, Hessians and rows by node, column and bin"
# With fewer rows in a bin of a column the plan warns.
FEW = 20


class HorizontalBoostingParameters(Summed, Boosting, EnoughRows):
    """How many trees of which form are grown, and how clients' histograms are added up."""

    @property
    def fewest(self) -> int:
        """See ``Boosting.fewest``: a sample is no smaller than a client's table may be."""
        return self.minimum_rows


def run(task: Task, parameters: HorizontalBoostingParameters) -> Result:
    """Train together; every client keeps the whole model.

    Errors: those of ``parties``; ATL-REV-002, ATL-BIN-001 a value is infinite, ATL-HOR-020 a label
    of another form, ATL-HOR-104 a target beyond ``bound``, ATL-HOR-108.
    """
    party = task.party
    if party.role == Role.AGGREGATOR:
        return _aggregate(task, parameters)
    table = task.inputs["train"]
    parameters.require(table, task.inputs.get("validation"))
    refuse_more_rows(party, table.num_rows, [party.name])
    data = rows_of(table, parameters)
    held = task.inputs.get("validation")
    held_out = data if held is None else rows_of(held, parameters, table.columns)
    work = _work(parameters, len(table.columns), task)
    client = StepClient(party, work, data)
    forest = received_forest(parameters, client.run(), work.columns)
    part = forest.whole(party_of(party.name), table.columns, parameters.loss)
    title = "Own training rows" if held is None else "Own held-out rows"
    panels = (*_figures(title, forest, held_out), *card(part), *cut_panels(client.cut))
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


def _work(parameters: HorizontalBoostingParameters, columns: int, task: Task) -> StepWork:
    party = task.party
    return StepWork.of(parameters, columns, parameters, party.clients, party.rows)


def _aggregate(task: Task, parameters: HorizontalBoostingParameters) -> Result:
    party = task.party
    columns = width_of(party)
    work = _work(parameters, columns, task)
    shown = 0

    def watch(state: State) -> None:
        nonlocal shown
        losses = parameters.losses(state).tolist()
        for tree in range(shown, len(losses)):
            party.metric("loss", losses[tree], tree)
        shown = len(losses)

    done = step_aggregator.run(party, work, lambda state: result(parameters, state), watch)
    return Result(report=report(parameters, done))


def report(parameters: Boosting, done: Stepped) -> Report:
    """Return the aggregator's report: the loss before each tree, the trees, and who left."""
    losses = parameters.losses(done.state)
    trees = tuple(float(at) for at in range(len(losses)))
    series = (Series(name="all clients", x=trees, y=tuple(losses.tolist())),)
    forest = parameters.forest(done.state)
    names = tuple(f"column {at + 1}" for at in range(len(forest.binning.thresholds)))
    panels: list[Panel] = [
        LinePanel(title="Training loss", x_label="trees", y_label="loss", series=series),
        *card(forest.whole("all", names, parameters.loss)),
    ]
    if done.left:
        gone = tuple(sorted(done.left.items()))
        panels.append(TablePanel(title="Clients that left", columns=("client", "round"), rows=gone))
    return Report(title="Horizontal boosting", panels=tuple(panels))


def describe(facts: Facts, parameters: HorizontalBoostingParameters) -> Terms:
    """Return what training reveals: sums of histograms, and the trees.

    Errors: ATL-HOR-084, ATL-HOR-085, ATL-HOR-105, ATL-HOR-160 to ATL-HOR-162.
    """
    columns = check_clients(facts, parameters.minimum_clients, "train", "validation")
    parameters.refuse_planned(facts, "train", "validation")
    clients, width = facts.having(Role.CLIENT), len(columns or ()) or 1
    work = StepWork.of(parameters, width, parameters, clients, {})
    models = {c: ArtifactFacts(HORIZONTAL_TREES.name, columns=columns) for c in clients}
    return Terms(
        implementation=f"horizontal.boosting.{parameters.sum}",
        trust_model="federated",
        reveals=reveals(parameters.sum == "masked", len(clients)),
        minimums={
            "clients": parameters.minimum_clients,
            "rows": parameters.minimum_rows,
            "leaf": parameters.minimum_leaf_rows,
        },
        estimated_bytes=bytes_of(work, len(clients)),
        outputs={"model": models},
        warnings=_warnings(facts, parameters),
        exposure=(Exposure(OPENED_SUMS, work.sizes.total, Role.CLIENT, EVERYONE),),
    )


def _warnings(facts: Facts, parameters: HorizontalBoostingParameters) -> tuple[str, ...]:
    masked, least = parameters.sum == "masked", parameters.minimum_clients
    found = sum_warnings(facts, least, WHAT, parameters.most_rounds, masked=masked)
    rows = sum(table.rows for table in facts.inputs["train"].values())
    each = rows // (parameters.bins << (parameters.depth - 1))
    if rows and each < FEW:
        found.append(
            f"the last level of a tree has about {each or 'no'} rows in a bin: sums over so few "
            "show values and labels of rows, though not whose they are; take fewer bins or levels"
        )
    return tuple(found)


HORIZONTAL_BOOSTING = Component(
    name="horizontal_boosting",
    version="1",
    parameters=HorizontalBoostingParameters,
    run=run,
    describe=describe,
    roles={Role.CLIENT: SOME, Role.AGGREGATOR: ONE},
    edges=star(Role.AGGREGATOR),
    quorum=lambda parameters: {Role.CLIENT: parameters.minimum_clients},
    sources=(
        "atoll.learning.horizontal",
        "atoll.learning.features",
        "atoll.learning.vertical.boosting",
        "atoll.models.forest",
        "atoll.operators.secure_sum",
        "atoll.crypto",
    ),
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
    public_codes=PUBLIC_CODES,
)

"""Trains boosted trees on all parties' columns; each party keeps its own part of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atoll.components.alignment import refuse_more_rows
from atoll.components.api import ArtifactFacts, Component, Facts, OwnFacts, Result, Task, Terms
from atoll.components.boosting_cheats import cheats
from atoll.components.columns import expect_columns
from atoll.components.scores import Scores, scores_of
from atoll.components.unused import unused_panels
from atoll.core.report import LinePanel, Panel, Report, Series, TablePanel
from atoll.core.settings import require_insecure
from atoll.jobs.schema import Port, Purpose
from atoll.learning.vertical import boosting
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, TrainingResult
from atoll.learning.vertical.boosting.exposure import MOST_ROWS
from atoll.models.boosting import part_to_bytes
from atoll.models.boosting.kind import BOOSTING_MODEL
from atoll.models.boosting.scoring import probability
from atoll.operators import histogram

if TYPE_CHECKING:
    from atoll.table import Table


def inputs_of(table: Table, guest: bool, validation: Table | None = None) -> BoostingInputs:
    """Return a table as what the algorithm takes; only the guest's has a label."""
    return BoostingInputs(
        features=table.matrix(),
        names=table.columns,
        label=table.label() if guest else None,
        validation=None if validation is None else inputs_of(validation, guest),
    )


def run(task: Task, parameters: BoostingParameters) -> Result:
    """Train together with the other parties. Errors: those of ``train``; ATL-REV-002."""
    party, table = task.party, task.inputs["train"]
    refuse_more_rows(party, table.num_rows, party.roles)
    guest = party.name == party.guest
    validation = task.inputs.get("validation")
    inputs = inputs_of(table, guest, validation)
    trained = boosting.train(party, inputs, parameters)
    outputs: dict[str, object] = {"model": trained.part}
    files = {"model.json": part_to_bytes(trained.part)}
    if guest and trained.history.margin is not None:
        scores = Scores(table.ids(), table.label(), probability(trained.history.margin))
        outputs["scores"] = scores
        files["scores.csv"] = scores.to_csv()
    return Result(outputs, files, report(trained, _unused(table, validation)))


def _unused(table: Table, validation: Table | None) -> tuple[Panel, ...]:
    """Return warnings for the validation rows' columns that the training rows lack."""
    more = () if validation is None else validation.columns
    extra = tuple(name for name in more if name not in table.columns)
    return unused_panels(extra, "the validation rows")


def report(trained: TrainingResult, more: tuple[Panel, ...] = ()) -> Report:
    """Return the report of a training: losses, importance, the trees in figures, then ``more``."""
    history = trained.history
    panels: list[Panel] = []
    losses = [
        (name, [(float(r.tree + 1), v) for r, v in values if v is not None])
        for name, values in (
            ("training", [(r, r.train_loss) for r in history.trees]),
            ("validation", [(r, r.validation_loss) for r in history.trees]),
        )
    ]
    series = tuple(
        Series(name=name, x=tuple(x for x, _ in points), y=tuple(y for _, y in points))
        for name, points in losses
        if points
    )
    if series:
        panels.append(LinePanel(title="Loss", x_label="trees", y_label="log-loss", series=series))
    panels += BOOSTING_MODEL.card(trained.part)
    panels.append(
        TablePanel(
            title="Trees",
            columns=("tree", "splits", "refused", "left out", "seconds"),
            rows=tuple(
                (r.tree, sum(r.splits.values()), r.refused, r.left_out, round(r.seconds, 3))
                for r in history.trees
            ),
        )
    )
    return Report(title="Vertical boosting", panels=(*panels, *more))


def _estimate(facts: Facts, parameters: BoostingParameters) -> int:
    """Return about how many bytes all parties send: rows out, cut sums and sides of rows back."""
    trees, rows = parameters.trees, facts.least_rows()
    # Of two siblings one is summed; each level divides all rows.
    nodes, sides = trees << (parameters.depth - 1), trees * parameters.depth * -(-rows // 8)

    def sizes(sender: str, receiver: str) -> dict[str, int | list[int]]:
        host = receiver if sender == facts.guest else sender
        cuts = nodes * facts.width(host) * parameters.bins
        named = {"cells": cuts, "candidates": cuts, "asked": nodes, "grown": nodes}
        named |= {"partition_bytes": sides, "left_bytes": sides}
        found: dict[str, int | list[int]] = {name: [value] for name, value in named.items()}
        none: list[int] = []
        return {**found, "validation_bytes": none, "rows": trees * rows, "replied_nodes": nodes}

    costs = (boosting.COST, histogram.COSTS[parameters.implementation])
    return sum(cost.size(facts.roles, sizes) for cost in costs)


def _held_out(facts: Facts) -> int:
    """Return the most validation rows that the parties can have in common; 0 without any."""
    held = facts.inputs.get("validation", {}).values()
    return min((own.rows or MOST_ROWS for own in held), default=0)


def describe(facts: Facts, parameters: BoostingParameters) -> Terms:
    """Return what training reveals, about how much it sends, and what that is worth to an attacker.

    Errors: ATL-BST-001, ATL-BST-003 and ATL-BST-012, for what cannot be trained; ATL-BST-010
    labels of one class.
    """
    rows, train = facts.least_rows(), facts.inputs["train"]
    boosting.check_plan(parameters, rows, validated="validation" in facts.inputs)
    held_out = _held_out(facts)
    boosting.check_validation(parameters, held_out)
    for party, validation in facts.inputs.get("validation", {}).items():
        expect_columns(train[party], validation, party, "the validation rows")
    models = {
        party: ArtifactFacts(BOOSTING_MODEL.name, columns=t.columns) for party, t in train.items()
    }
    own = train[facts.guest]
    if rows == 1 or (own.classes is not None and len(own.classes) == 1):
        raise boosting.one_class().located(party=facts.guest)
    chosen = histogram.choose(facts.setting, parameters.implementation)
    size = _estimate(facts, parameters)
    columns = max(facts.width(party) for party in facts.roles if party != facts.guest)
    return Terms(
        implementation=f"boosting.federated.{chosen}",
        trust_model="federated",
        reveals=boosting.reveals(parameters.implementation),
        minimums={"group": parameters.minimum_rows, "leaf": parameters.leaf_rows},
        estimated_bytes=size,
        outputs={"model": models, "scores": {facts.guest: scores_of(own)}},
        warnings=tuple(boosting.plan_warnings(parameters, rows, columns)),
        exposure=boosting.exposure(parameters, rows, columns, held_out),
        costs=(boosting.RATE.of(size),),
    )


def check(own: OwnFacts, parameters: BoostingParameters) -> None:
    """Refuse what only tests may run. Errors: ATL-SET-001."""
    if parameters.implementation == "ideal":
        require_insecure("the ideal histogram")


BOOSTING: Component = Component(
    name="boosting",
    version="1",
    parameters=BoostingParameters,
    run=run,
    describe=describe,
    check=check,
    sources=(
        "atoll.learning.vertical.boosting",
        "atoll.learning.features",
        "atoll.models.boosting",
        "atoll.operators.histogram",
        "atoll.crypto",
    ),
    inputs={
        "train": Port(
            "table", purpose=Purpose.TRAIN, everywhere=True, aligned=True, label="binary"
        ),
        "validation": Port(
            "table",
            optional=True,
            purpose=Purpose.VALIDATE,
            everywhere=True,
            aligned=True,
            label="binary",
        ),
    },
    outputs={"model": BOOSTING_MODEL.name, "scores": "scores"},
    dishonest=cheats(),
    # All parties know how many rows they have in common.
    public_codes=frozenset({"ATL-BST-012"}),
)

"""Scales each party's own columns, to mean and deviation or to a range; nothing is sent.

What was fitted is an output of its own, and goes in again where new rows are scaled alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from atoll.components.api import ArtifactFacts, Component, Facts, OwnFacts, Result, Task, Terms
from atoll.components.columns import expect_columns
from atoll.components.predict import Apply
from atoll.components.registered import check_owner
from atoll.components.transform import FITTED, changed
from atoll.core.errors import UserError
from atoll.core.report import Report
from atoll.jobs.participation import NO_EDGES, OWNERS
from atoll.jobs.schema import Port, Purpose
from atoll.jobs.validation import near
from atoll.learning.features.scaling import ScaleParameters, fit, no_column
from atoll.models.scaling import SCALE_TRANSFORM, ScalePart

if TYPE_CHECKING:
    from atoll.table import Table


def run(task: Task, parameters: ScaleParameters) -> Result:
    """Fit this party's table, or take what was fitted, and scale.

    Errors: those of ``fit`` and ``changed``; ATL-CMP-072 rows but nothing fitted, ATL-REG-010 it is
    another party's.
    """
    table: Table = task.inputs["table"]
    if FITTED in task.inputs:
        part: ScalePart | None = task.inputs[FITTED]
        if part is None:
            raise _nothing_fitted(task.party.name)
        check_owner(SCALE_TRANSFORM, part, task.party.name, task.step)
    else:
        part = fit(table, task.party.name, parameters)
    report = Report(title="Scaling", panels=SCALE_TRANSFORM.card(part))
    return Result({"table": changed(SCALE_TRANSFORM, part, table), FITTED: part}, report=report)


def _nothing_fitted(party: str) -> UserError:
    return UserError(
        "ATL-CMP-072",
        "this party has rows to scale, but no fitted scaling of its own",
        party=party,
        place=FITTED,
        hint="let each party with a table fit one, or leave the input out",
    )


def describe(facts: Facts, parameters: ScaleParameters) -> Terms:
    """Nothing leaves a party; rows and columns stay the same.

    Errors: ATL-CMP-072 a party has rows, but nothing fitted; ATL-MOD-003 a column is missing.
    """
    held = facts.inputs["table"]
    fitted = facts.inputs.get(FITTED)
    if fitted is None:
        made = {
            party: _fitted(table, facts.own.get(party, parameters)) for party, table in held.items()
        }
        return Terms(outputs={"table": held, FITTED: made})
    for party, table in held.items():
        if party not in fitted:
            raise _nothing_fitted(party)
        expect_columns(fitted[party], table, party, f"steps.{facts.step}")
    return Terms(outputs={"table": held, FITTED: {party: fitted[party] for party in held}})


def _fitted(table: ArtifactFacts, parameters: BaseModel) -> ArtifactFacts:
    columns = table.columns
    if columns is not None and isinstance(parameters, ScaleParameters):
        columns = parameters.chosen(columns)
    return ArtifactFacts(SCALE_TRANSFORM.name, columns=columns)


def check(own: OwnFacts, parameters: ScaleParameters) -> None:
    """Refuse columns that this party's table has not. Errors: ATL-TAB-002."""
    table = own.inputs.get("table")
    if table is None or table.columns is None or FITTED in own.inputs:
        return
    for name in parameters.named():
        if name not in table.columns:
            error = no_column(name).located(party=own.party)
            error.hint = near(name, table.columns)
            raise error


SCALE = Component(
    name="scale",
    version="1",
    parameters=ScaleParameters,
    run=run,
    roles=OWNERS,
    edges=NO_EDGES,
    describe=describe,
    check=check,
    sources=("atoll.learning.features.scaling", "atoll.models.scaling", "atoll.models.columns"),
    inputs={
        "table": Port("table"),
        FITTED: Port(SCALE_TRANSFORM.name, optional=True, purpose=Purpose.MODEL),
    },
    outputs={"table": "table", FITTED: SCALE_TRANSFORM.name},
    cuts=frozenset({"lower", "upper", "by_column"}),
    rows={"table": ("table", "all")},
    predict=Apply(fitted=FITTED, port=FITTED),
)

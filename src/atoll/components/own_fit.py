"""Steps that fit each party's own columns alone, or take what was fitted, and change them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from atoll.components.api import (
    ArtifactFacts,
    Component,
    Entry,
    Facts,
    OwnFacts,
    Result,
    Task,
    Terms,
)
from atoll.components.columns import expect_columns
from atoll.components.predict import Apply
from atoll.components.registered import check_owner
from atoll.components.transform import FITTED, changed
from atoll.core.errors import UserError
from atoll.core.report import Report
from atoll.jobs.participation import NO_EDGES, OWNERS
from atoll.jobs.schema import Port, Purpose
from atoll.jobs.validation import near
from atoll.learning.features.own_columns import OwnColumns, no_column
from atoll.models.kinds import ModelKind

if TYPE_CHECKING:
    from atoll.table import Table


def fitted_or_given(task: Task, kind: ModelKind, title: str, fit: Callable[[Table], Any]) -> Result:
    """Change this party's table by what ``fit`` makes of it, or by what was fitted before.

    Errors: those of ``fit`` and ``changed``; ATL-CMP-072 rows but nothing fitted, ATL-REG-010 it is
    another party's.
    """
    table: Table = task.inputs["table"]
    if FITTED in task.inputs:
        part = task.inputs[FITTED]
        if part is None:
            raise _nothing_fitted(task.party.name)
        check_owner(kind, part, task.party.name, task.step)
    else:
        part = fit(table)
    report = Report(title=title, panels=kind.card(part))
    return Result({"table": changed(kind, part, table), FITTED: part}, report=report)


def own_fit(
    name: str,
    kind: ModelKind,
    parameters: type[OwnColumns],
    run: Entry,
    *,
    sources: tuple[str, ...],
    cuts: frozenset[str],
) -> Component:
    """Return the component, whose ``run`` calls ``fitted_or_given``."""

    def describe(facts: Facts, own: OwnColumns) -> Terms:
        return _describe(facts, own, kind)

    return Component(
        name=name,
        version="1",
        parameters=parameters,
        run=run,
        roles=OWNERS,
        edges=NO_EDGES,
        describe=describe,
        check=_check,
        sources=("atoll.components.own_fit", "atoll.models.columns", *sources),
        inputs={
            "table": Port("table"),
            FITTED: Port(kind.name, optional=True, purpose=Purpose.MODEL),
        },
        outputs={"table": "table", FITTED: kind.name},
        cuts=cuts,
        rows={"table": ("table", "all")},
        predict=Apply(fitted=FITTED, port=FITTED),
    )


def _nothing_fitted(party: str) -> UserError:
    return UserError(
        "ATL-CMP-072",
        "this party has rows to change, but nothing fitted of its own",
        party=party,
        place=FITTED,
        hint="let each party with a table fit one, or leave the input out",
    )


def _describe(facts: Facts, parameters: OwnColumns, kind: ModelKind) -> Terms:
    """Nothing leaves a party; rows and columns stay the same.

    Errors: ATL-CMP-072 a party has rows, but nothing fitted; ATL-MOD-003 a column is missing.
    """
    held = facts.inputs["table"]
    fitted = facts.inputs.get(FITTED)
    if fitted is None:
        made = {
            party: _fitted(table, facts.own.get(party, parameters), kind)
            for party, table in held.items()
        }
        return Terms(outputs={"table": held, FITTED: made})
    for party, table in held.items():
        if party not in fitted:
            raise _nothing_fitted(party)
        expect_columns(fitted[party], table, party, f"steps.{facts.step}")
    return Terms(outputs={"table": held, FITTED: {party: fitted[party] for party in held}})


def _fitted(table: ArtifactFacts, parameters: Any, kind: ModelKind) -> ArtifactFacts:
    columns = table.columns
    if columns is not None and isinstance(parameters, OwnColumns):
        columns = parameters.chosen(columns)
    return ArtifactFacts(kind.name, columns=columns)


def _check(own: OwnFacts, parameters: OwnColumns) -> None:
    """Refuse columns that this party's table has not. Errors: ATL-TAB-002."""
    table = own.inputs.get("table")
    if table is None or table.columns is None or FITTED in own.inputs:
        return
    for name in parameters.named():
        if name not in table.columns:
            error = no_column(name).located(party=own.party)
            error.hint = near(name, table.columns)
            raise error

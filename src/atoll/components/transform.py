"""Applies to each party's rows what a step fitted; nothing is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.components.columns import expect_columns
from atoll.components.registered import check_owner, unknown_kind
from atoll.core.errors import UserError
from atoll.core.report import Report
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port, Purpose
from atoll.models.columns import match_columns
from atoll.models.kinds import ModelKind, kind_of

if TYPE_CHECKING:
    from atoll.table import Table

FITTED = "transform"


class TransformParameters(Frozen):
    """What was fitted determines everything."""


def run(task: Task, parameters: TransformParameters) -> Result:
    """Change the columns as they were changed when this was fitted; they are found by name.

    Errors: those of ``changed``; ATL-MOD-005 a kind that is not known here, ATL-REG-010 it is
    another party's.
    """
    table: Table = task.inputs["table"]
    part = task.inputs[FITTED]
    kind = kind_of(part, task.kinds)
    if kind is None:
        raise unknown_kind(type(part).__name__)
    check_owner(kind, part, task.party.name, task.step)
    report = Report(title="Transform", panels=kind.card(part))
    return Result({"table": changed(kind, part, table), FITTED: part}, report=report)


def changed(kind: ModelKind, part: Any, table: Table) -> Table:
    """Return the table as a fitted part changes it; other columns stay as they are.

    Errors: ATL-MOD-003 a column of the part is missing, or one that it adds is there; ATL-MOD-009
    this kind changes no columns; those of ``kind.changes``.
    """
    make, names = kind.changes, kind.columns(part)
    if make is None:
        raise _changes_nothing(kind.name)
    match_columns(names, table.columns)
    if not names:
        return table

    def of_batch(batch: Any) -> Any:
        import pyarrow as pa

        columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in names}
        floats = {name: np.asarray(values, np.float64) for name, values in columns.items()}
        for name, values in make(part, floats).items():
            new, at = pa.array(values, mask=np.isnan(values)), batch.schema.get_field_index(name)
            if name in names:
                batch = batch.set_column(at, name, new)
            elif at < 0:
                batch = batch.append_column(name, new)
            else:
                raise taken(name)
        return batch

    return table.map_partitions(of_batch)


def taken(name: str) -> UserError:
    """Return the refusal of a column that is added to a table which has one of its name."""
    return UserError(
        "ATL-MOD-003",
        f"there is a column {name!r} already",
        place="columns",
        hint="rename it, or choose another name for what is added",
    )


def _changes_nothing(kind: str) -> UserError:
    return UserError(
        "ATL-MOD-009",
        f"a fitted part of kind {kind!r} changes no columns by itself",
        place=FITTED,
        hint="apply it with the component that fitted it",
    )


def describe(facts: Facts, parameters: TransformParameters) -> Terms:
    """Nothing leaves a party; rows stay the same.

    Errors: ATL-MOD-003 a column is missing, ATL-MOD-009 this kind changes no columns.
    """
    made = {}
    for party, table in facts.inputs["table"].items():
        fitted = facts.inputs[FITTED][party]
        kind = facts.kinds.get(fitted.kind)
        if kind is not None and kind.changes is None:
            raise _changes_nothing(kind.name)
        expect_columns(fitted, table, party, f"steps.{facts.step}")
        # What is added is in the part, which the plan does not know.
        same = kind is not None and not kind.adds
        made[party] = table if same else replace(table, columns=None)
    return Terms(
        outputs={"table": made, FITTED: {party: facts.inputs[FITTED][party] for party in made}}
    )


TRANSFORM = Component(
    name="transform",
    version="1",
    parameters=TransformParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    sources=("atoll.models",),
    inputs={
        "table": Port("table", only_with=True),
        FITTED: Port("transform", purpose=Purpose.MODEL, only_with=True),
    },
    outputs={"table": "table", FITTED: "transform"},
    rows={"table": ("table", "all")},
)

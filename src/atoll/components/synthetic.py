"""Makes up a table at each party, so that nodes can be tried together without anybody's data."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.components.api import (
    Component,
    Facts,
    Result,
    TableDeclaration,
    Tables,
    Task,
    Terms,
)
from atoll.components.reader import table_facts
from atoll.core import codec
from atoll.core.names import LABELLED, Role
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import NO_EDGES, OWNERS
from atoll.jobs.plan import TableFacts
from atoll.table.labels import LabelFacts
from atoll.table.rule import ID_RULE

if TYPE_CHECKING:
    from atoll.table import Table

NAME = "synthetic"
LABEL = "y"


class SyntheticParameters(Frozen):
    """How much is made up; three quarters of the rows are in common."""

    rows: int = Field(200, ge=8, le=100_000, description="rows at each party")
    columns: int = Field(3, ge=1, le=100, description="feature columns at each party")
    seed: int = Field(1, ge=0, lt=1 << 32, description="what everything is made from; no secret")


def _columns(party: str, parameters: SyntheticParameters) -> tuple[str, ...]:
    return tuple(f"{party}-{at}" for at in range(parameters.columns))


def _shared(first: int, parameters: SyntheticParameters) -> npt.NDArray[np.float64]:
    """Return what the columns of all parties depend on, float64[rows], from row ``first`` on."""
    drawn = np.random.default_rng(parameters.seed).normal(size=2 * parameters.rows)
    return drawn[first : first + parameters.rows]


def _label(shared: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return (shared > 0).astype(np.int64)


def make(party: str, role: Role, parameters: SyntheticParameters) -> Table:
    """Return a party's made-up table; the label depends on columns of all parties."""
    import pyarrow as pa

    from atoll.table import Table

    rows, columns = parameters.rows, parameters.columns
    labelled = role in LABELLED
    # A guest's rows begin at 0, the others' a quarter later.
    first = 0 if role == Role.GUEST else rows // 4
    shared = _shared(first, parameters)
    own = hashlib.sha256(f"{parameters.seed}/{party}".encode()).digest()
    values = np.random.default_rng(int.from_bytes(own[:8], "big")).normal(size=(rows, columns))
    values[:, 0] += shared
    arrays = {"id": pa.array([f"synthetic-{at:06d}" for at in range(first, first + rows)])}
    if labelled:
        arrays[LABEL] = pa.array(_label(shared))
    names = _columns(party, parameters)
    arrays |= {name: pa.array(values[:, at]) for at, name in enumerate(names)}
    label = LABEL if labelled else None
    return Table.from_arrow(pa.table(arrays), id_column="id", label=label)


def run(task: Task, parameters: SyntheticParameters) -> Result:
    """Make this party's table up."""
    return Result({"table": make(task.party.name, task.party.role, parameters)})


def declare(
    party: str, role: Role, parameters: SyntheticParameters, tables: Tables
) -> TableDeclaration | None:
    """Return the facts of the table that this party will make up; it is not made for that.

    The digest is of all that the table follows from.
    """
    source = ["atoll/synthetic/v1", party, role.value, parameters.model_dump()]
    facts = TableFacts(
        name=NAME,
        digest=codec.digest(source),
        rows=parameters.rows,
        columns=_columns(party, parameters),
        label=LABEL if role in LABELLED else None,
        id_rule=ID_RULE,
    )
    label = None
    if role in LABELLED:
        first = 0 if role == Role.GUEST else parameters.rows // 4
        label = LabelFacts.of(_label(_shared(first, parameters)).astype(np.float64), LABEL)
    return TableDeclaration(facts, label, lambda: make(party, role, parameters))


def describe(facts: Facts, parameters: SyntheticParameters) -> Terms:
    """Nothing leaves a party here, and nothing in the table is anybody's."""
    return Terms(outputs={"table": table_facts(facts, LABEL)})


SYNTHETIC = Component(
    name=NAME,
    version="1",
    parameters=SyntheticParameters,
    run=run,
    roles=OWNERS,
    edges=NO_EDGES,
    declare=declare,
    by_row=lambda parameters: True,
    describe=describe,
    sources=("atoll.table",),
    outputs={"table": "table"},
)

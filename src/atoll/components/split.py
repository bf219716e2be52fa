"""Holds rows out for evaluation: the same rows at every party, chosen by the joint coin toss."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from atoll.components.api import ArtifactFacts, Component, Facts, Result, Task, Terms
from atoll.components.predict import Drop
from atoll.core.errors import DataError
from atoll.core.random import PublicRandom
from atoll.jobs.definition import Frozen
from atoll.jobs.participation import EVERYBODY, NO_EDGES
from atoll.jobs.schema import Port


class SplitParameters(Frozen):
    """How many rows are held out."""

    fraction: float = Field(
        default=0.2, gt=0, lt=1, description="share of the rows that is held out"
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=1 << 63,
        description="repeats this choice; empty: drawn from the joint coin toss or the job's seed",
    )


def run(task: Task, parameters: SplitParameters) -> Result:
    """Split an aligned table. Errors: ATL-JOB-014."""
    table = task.inputs["table"]
    rows = table.num_rows
    if rows < 2:
        raise _too_few()
    held = held_out(rows, parameters.fraction)
    public = task.party.public_rng
    if parameters.seed is not None:
        public = PublicRandom(b"atoll/split/v1" + parameters.seed.to_bytes(8, "big"))
    order = public.generator(task.step, 0, "split").permutation(rows)
    chosen = {"train": np.sort(order[held:]), "test": np.sort(order[:held])}
    return Result({n: task.agreed(table.take(at), n, table) for n, at in chosen.items()})


def held_out(rows: int, fraction: float) -> int:
    """Return how many of at least two rows are held out; more rows never mean fewer."""
    return min(max(round(rows * fraction), 1), rows - 1)


def _too_few() -> DataError:
    return DataError("ATL-JOB-014", "too few rows to hold some out", hint="two rows are the least")


def describe(facts: Facts, parameters: SplitParameters) -> Terms:
    """Nothing is sent: every party draws alike. Errors: ATL-JOB-014 fewer than two rows."""
    if facts.least_rows() == 1:
        raise _too_few()
    made: dict[str, dict[str, ArtifactFacts]] = {"train": {}, "test": {}}
    for party, table in facts.inputs["table"].items():
        held = held_out(table.rows, parameters.fraction) if table.rows else 0
        made["train"][party] = table.within(table.rows - held)
        made["test"][party] = table.within(held)
    return Terms(outputs=made)


SPLIT = Component(
    name="split",
    version="1",
    parameters=SplitParameters,
    run=run,
    roles=EVERYBODY,
    edges=NO_EDGES,
    describe=describe,
    sources=("atoll.components.split",),
    inputs={"table": Port("table", aligned=True)},
    outputs={"train": "table", "test": "table"},
    rows={"train": ("table", "some"), "test": ("table", "some")},
    predict=Drop(),
)

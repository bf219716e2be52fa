"""Tables with false sizes in the plan: what a party sends stays within what its own plan states."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components import boosting
from atoll.components.api import Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.flow import planning
from atoll.flow.policy.exposure import planned as planned_of
from atoll.flow.work.specification import TaskSpec
from atoll.jobs.definition import Job, parse_job
from atoll.table import Table
from tests import whole
from tests.dishonest.lying import Run, lying
from tests.held import HeldTables
from tests.whole import Whole

ROWS, STATED = 300, 30
GUEST, HOST, MILL = "bank", "shop", "mill"
ROLES = {GUEST: "guest", HOST: "host", MILL: "host"}


def job() -> Job:
    steps = {
        "reader": {
            "component": "reader",
            "parameters": {"tables": dict.fromkeys(ROLES, "rows")},
        },
        "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
        "train": {
            "component": "boosting",
            "inputs": {"train": "psi.table"},
            "parameters": {"implementation": "ideal", "minimum_rows": 10, "trees": 2},
        },
    }
    return parse_job({"name": "few", "parties": ROLES, "steps": steps})


def held() -> dict[str, HeldTables]:
    rng = np.random.default_rng(5)
    ids = pa.array([f"r{at}" for at in range(ROWS)])
    found = {}
    for party in ROLES:
        x = rng.normal(size=(ROWS, 2))
        columns = {f"{party}{at}": pa.array(x[:, at]) for at in range(2)}
        label = None
        if party == GUEST:
            columns["y"], label = pa.array((x[:, 0] > 0).astype(float)), "y"
        found[party] = HeldTables({"rows": Table.from_columns(ids, columns, label=label)})
    return found


def unbounded(component: str) -> Run:
    """Return a component that is as shipped, but holds no size against the plan."""

    def run(task: Task, parameters: Any) -> Result:
        bold = replace(task, party=replace(task.party, rows={}))
        return CATALOGUE[component].run(bold, parameters)

    return run


class Bold(whole.Run):
    """A run in which the host's channel alone holds what is sent against the plan."""

    def spec(self, party: str, step: str) -> TaskSpec:
        spec = super().spec(party, step)
        return spec if party == HOST else spec.model_copy(update={"most": {}})


def play(false: str = MILL) -> Whole:
    """Play a job in whose plan a party, the liar's third one, has fewer rows than it has."""
    planned = whole.Planned(job(), held(), CATALOGUE)
    assert planned.plan is not None
    facts = {party: dict(tables) for party, tables in planned.plan.tables.items()}
    facts[false]["reader"] = facts[false]["reader"].model_copy(update={"rows": STATED})
    plan = planning.build(job(), CATALOGUE, facts, planned.plan.certificates)
    lies = lying({name: unbounded(name) for name in ("psi", "boosting")})
    with tempfile.TemporaryDirectory() as folder:
        return Bold(planned, plan, Path(folder), {}, dict.fromkeys((GUEST, MILL), lies)).play()


def sums(ran: Whole) -> int:
    return sum(
        line["elements"] for line in ran.sent[HOST] if line["message"] == "histogram.ideal.cells"
    )


def test_a_table_that_is_stated_smaller_bounds_what_others_send() -> None:
    """A guest has a third party state 30 of its 300 rows, so that less is reserved for a host.

    The host trains on the 300 rows that they have in common. Now it holds its own rows against
    those of the plan, before it sends anything: ATL-REV-002.
    """
    ran = play()
    assert ran.plan is not None
    reserved, _ = planned_of(ran.plan, "train")
    assert sums(ran) <= reserved.opened_sums
    assert getattr(ran.errors.get(HOST), "code", None) == "ATL-REV-002"
    assert not [line for line in ran.sent[HOST] if line["step"] == "train"]


def test_own_rows_beyond_the_plan_are_not_intersected() -> None:
    """A host's own table has more rows than its plan states: ATL-REV-002 before it sends any."""
    ran = play(HOST)
    assert getattr(ran.errors.get(HOST), "code", None) == "ATL-REV-002"
    assert not [line for line in ran.sent[HOST] if line["step"] == "psi"]


def test_sums_are_bounded_by_the_plan_even_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that look a host's channel lets no more sums pass than were reserved: ATL-REV-002."""
    monkeypatch.setattr(boosting, "refuse_more_rows", lambda *given: None)
    ran = play()
    assert ran.plan is not None
    reserved, _ = planned_of(ran.plan, "train")
    assert 0 < sums(ran) <= reserved.opened_sums
    assert getattr(ran.errors.get(HOST), "code", None) == "ATL-REV-002"

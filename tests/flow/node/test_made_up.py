"""Which plans need no approval since they use nobody's data."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.flow import planning
from atoll.flow.policy.made_up import uses_only_synthetic_data
from atoll.jobs.definition import Job
from atoll.jobs.plan import Plan, TableFacts

TOYS = {
    "synthetic": {"component": "synthetic"},
    "psi": {"component": "psi", "inputs": {"table": "synthetic.table"}},
    "train": {"component": "boosting", "inputs": {"train": "psi.table"}},
}
READ = {
    "reader": {"component": "reader", "parameters": {"tables": {"bank": "a", "shop": "b"}}},
    "other": {"component": "psi", "inputs": {"table": "reader.table"}},
}
MODEL = {
    "model": {
        "component": "model",
        "parameters": {"model": "credit", "kind": "boosting.model"},
        "inputs": {"table": "psi.table"},
    },
    "score": {
        "component": "prediction",
        "inputs": {"model": "model.model", "table": "model.table"},
    },
}


def plan(steps: dict[str, Any]) -> Plan:
    job = Job.model_validate(
        {"name": "x", "parties": {"bank": "guest", "shop": "host"}, "steps": steps}
    )
    facts = TableFacts(name="t", digest="0" * 64, rows=90, columns=("x",), id_rule="id")
    brought = [name for name in steps if name in ("synthetic", "reader")]
    declared = {
        party: {name: facts.model_copy(update={"label": label}) for name in brought}
        for party, label in (("bank", "y"), ("shop", None))
    }
    return planning.build(job, CATALOGUE, declared, dict.fromkeys(job.parties, "k"))


def test_a_job_over_toys_uses_nobodys_data() -> None:
    assert uses_only_synthetic_data(plan(TOYS), "shop")


@pytest.mark.parametrize("more", [READ, MODEL])
def test_a_partys_table_or_model_is_somebodys(more: dict[str, Any]) -> None:
    assert not uses_only_synthetic_data(plan(TOYS | more), "shop")

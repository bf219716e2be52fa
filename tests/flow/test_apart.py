"""Plans warn of steps at home that are set for some parties alone, where others learn below."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.flow.apart import set_apart
from atoll.flow.planning import filled
from atoll.jobs.definition import parse_job

CLIENTS = ("east", "north", "victim", "west")
CUT: dict[str, Any] = {"with_mean": False, "with_std": False, "lower": 0, "upper": 0}


def warned(
    overrides: dict[str, Any], *, train: bool = True, parameters: dict[str, Any] | None = None
) -> list[str]:
    tables = dict.fromkeys(CLIENTS, "t")
    cut: dict[str, Any] = {
        "component": "scale",
        "inputs": {"table": "rows.table"},
        "parameters": parameters or {},
    }
    steps: dict[str, Any] = {
        "rows": {"component": "reader", "parameters": {"tables": tables}},
        "cut": {**cut, "overrides": overrides} if overrides else cut,
    }
    if train:
        steps["train"] = {"component": "horizontal", "inputs": {"train": "cut.table"}}
    roles = {"agg": "aggregator", **dict.fromkeys(CLIENTS, "client")}
    job = parse_job({"name": "one", "parties": roles, "steps": steps})
    return set_apart(job, CATALOGUE, filled(job, CATALOGUE), job.steps.keys())


def test_other_clients_columns_cut_to_a_constant() -> None:
    """Lie: the sum of four clients' updates is the victim's alone. Now the plan names the step."""
    (text,) = warned({name: CUT for name in CLIENTS if name != "victim"})
    assert text.startswith("cut: ")
    assert "east: lower, upper, with_mean, with_std" in text
    assert "victim" not in text
    assert "train" in text


@pytest.mark.parametrize(
    "parameters", [{"lower": 5.0, "upper": 5.000001}, {"by_column": {"age": {"upper": 5.0}}}]
)
def test_bounds_of_all_alike_are_named_where_others_learn_below(parameters: dict[str, Any]) -> None:
    """Lie: set for all, the same cut was in no warning, and few rows were left above it."""
    (text,) = warned({}, parameters=parameters)
    assert text.startswith("cut: ")
    assert "bounds" in text
    assert "train" in text
    assert warned({}, parameters=parameters, train=False) == []


def test_settings_of_all_alike_or_with_nothing_revealed_below_need_no_warning() -> None:
    assert warned({}) == []
    assert warned({"east": CUT}, train=False) == []

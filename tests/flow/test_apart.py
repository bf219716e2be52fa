"""Plans warn of steps at home that are set for some parties alone, where others learn below."""

from __future__ import annotations

from typing import Any

from atoll.components.catalogue import CATALOGUE
from atoll.flow.apart import set_apart
from atoll.flow.planning import filled
from atoll.jobs.definition import parse_job

CLIENTS = ("east", "north", "victim", "west")
CUT: dict[str, Any] = {"with_mean": False, "with_std": False, "lower": 0, "upper": 0}


def warned(
    overrides: dict[str, Any], *, train: bool = True, common: dict[str, Any] | None = None
) -> list[str]:
    tables = dict.fromkeys(CLIENTS, "t")
    cut: dict[str, Any] = {"component": "scale", "inputs": {"table": "rows.table"}}
    cut["parameters"] = common or {}
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


def test_a_column_cut_at_all_parties_alike() -> None:
    """Lie: the cut that is asked of one party is asked of all. The plan names it all the same."""
    close = {"method": "min-max", "lower": 5.0, "upper": 5.000001}
    (text,) = warned({}, common=close)
    assert text.startswith("cut: ")
    assert "(lower, upper)" in text
    assert "train" in text
    (one,) = warned({}, common={"by_column": {"x": {"upper": 1.0}}})
    assert "(by_column)" in one
    both = warned({"east": CUT}, common=close)
    assert ["east" in text for text in both] == [True, False]


def test_plain_settings_or_with_nothing_revealed_below_need_no_warning() -> None:
    assert warned({}) == []
    assert warned({}, common={"method": "min-max", "columns": ["x"]}) == []
    assert warned({"east": CUT}, common={"lower": 0.0}, train=False) == []

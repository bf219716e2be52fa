"""A plan for people: what they approve is all there, for each party, and cannot move the cursor."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.cli.plan_text import plan_lines, plan_text
from atoll.components.catalogue import CATALOGUE
from atoll.flow.api import views
from atoll.flow.planning import build
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan, TableFacts

Overrides = dict[str, dict[str, Any]]
OWN: Overrides = {"bank": {"label": True}, "shop": {"columns": ["s0"], "quantiles": [0.5, 0.9]}}


def make_plan(overrides: Overrides, *, label: str = "y") -> Plan:
    job = parse_job(
        {
            "name": "sums",
            "parties": {"bank": "guest", "shop": "host", "post": "host"},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {"bank": "a", "shop": "b", "post": "c"}},
                    "overrides": {"shop": {"id": "customer"}},
                },
                "statistics": {
                    "component": "statistics",
                    "inputs": {"table": "reader.table"},
                    "parameters": {"quantiles": [0.5]},
                    "overrides": overrides,
                },
            },
        }
    )
    declared = {
        party: {
            "reader": TableFacts(
                name=name,
                digest="1" * 64,
                rows=7,
                columns=("x",),
                id_rule="bytes",
            ).model_copy(update={"label": label if party == "bank" else None})
        }
        for party, name in (("bank", "a"), ("shop", "b"), ("post", "c"))
    }
    return build(job, CATALOGUE, declared, dict.fromkeys(declared, "2" * 64))


def parameters_of(shown: list[str], step: str) -> list[str]:
    """Return the line of a step's parameters and those of the parties below it."""
    at = next(n for n, line in enumerate(shown) if line.startswith(f"  {step}:"))
    end = next(n for n in range(at + 1, len(shown)) if not shown[n].startswith("    "))
    return shown[at:end]


def test_a_party_s_own_parameters_stand_below_those_of_all() -> None:
    common, *own = parameters_of(plan_lines(make_plan(OWN)), "statistics")
    assert "label False" in common
    assert "quantiles [0.5]" in common
    assert own == ["    bank: label True", "    shop: columns ['s0'], quantiles [0.5, 0.9]"]
    common, *own = parameters_of(plan_lines(make_plan(OWN)), "reader")
    assert own == ["    shop: id customer"]


@pytest.mark.parametrize("overrides", [{}, {"bank": {}}, {"shop": {"quantiles": [0.5]}}])
def test_parties_without_any_difference_are_not_named(overrides: Overrides) -> None:
    assert len(parameters_of(plan_lines(make_plan(overrides)), "statistics")) == 1


def test_a_node_s_answer_is_shown_in_the_same_way() -> None:
    made = make_plan(OWN)
    view = views.PlanView(
        digest=made.digest(), agreed=False, plan=made.canonical(), seconds={"statistics": 0.1}
    )
    assert plan_text(view).split("\n") == plan_lines(made)


def test_a_partner_s_text_cannot_move_the_cursor() -> None:
    shown = "\n".join(plan_lines(make_plan(OWN, label="y\x1b[2Jlabel")))
    assert "\x1b" not in shown
    assert "y\N{REPLACEMENT CHARACTER}[2Jlabel" in shown

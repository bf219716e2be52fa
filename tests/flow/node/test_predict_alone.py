"""Predict jobs of models that each client holds whole."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.components.predict import Apply
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.flow.node.models.fitted import FittedFacts
from atoll.flow.node.models.predicting import Trained, applied, predict_job
from atoll.flow.node.models.proposing import agreement_job
from atoll.flow.planning import schemas
from atoll.jobs.definition import parse_job
from atoll.jobs.participation import Edges
from atoll.jobs.validation import validate

CLIENTS = ("east", "north", "west")
TABLES = dict.fromkeys(CLIENTS, "new")


def trained(component: str, by: str = "scale", **parties: Any) -> Trained:
    """Return a model of clients whose columns were changed by what sums over them gave."""
    steps = {
        "rows": {
            "component": "reader",
            "parameters": {"tables": dict.fromkeys(CLIENTS, "old"), "label": "sick"},
        },
        "scale": {
            "component": f"horizontal_{by}",
            "inputs": {"table": "rows.table"},
            "parameters": {"minimum_rows": 20},
        },
        "train": {"component": component, "inputs": {"train": "scale.table"}},
    }
    held = {"hub": "aggregator", **dict.fromkeys(CLIENTS, "client"), **parties}
    job = parse_job({"name": "wards", "parties": held, "steps": steps})
    facts = FittedFacts(kind=f"{by}.transform", parties=CLIENTS, digest="a" * 64, bytes=9)
    return Trained(job, "train", f"{component}.model", "m.train", 1, {"scale": facts})


@pytest.mark.parametrize("component", ["horizontal", "horizontal_boosting"])
@pytest.mark.parametrize(
    ("by", "apart"), [("scale", "scale"), ("binning", "transform"), ("kmeans", "transform")]
)
def test_clients_score_alone_what_is_changed_as_it_was(component: str, by: str, apart: str) -> None:
    of = trained(component, by)
    assert applied(of.graph, "train", CATALOGUE) == (("scale", "transform"),)
    made = predict_job(of, TABLES)
    assert made.parties == dict.fromkeys(CLIENTS, (Role.CLIENT,))
    assert set(made.steps) == {"rows", "scale", "scale-fitted", "model", "prediction"}
    scale, scored = made.steps["scale"], made.steps["prediction"]
    assert (scale.component, scale.parameters) == (apart, {})
    assert scale.inputs == {"table": "rows.table", "transform": "scale-fitted.fitted"}
    assert made.steps["rows"].parameters["label"] == "sick"
    assert scored.component == "local_prediction"
    assert validate(made, schemas(CATALOGUE))[-1] == "prediction"
    assert all(
        CATALOGUE[step.component].edges_of(step.parameters).silent for step in made.steps.values()
    )


def test_whoever_aggregates_and_is_a_client_scores_as_a_client() -> None:
    made = predict_job(
        trained("horizontal", east=["aggregator", "client"], hub="host"), {**TABLES, "hub": "x"}
    )
    assert made.parties["east"] == (Role.CLIENT,)
    assert made.parties["hub"] == (Role.HOST,)


def test_each_client_needs_a_table_and_the_aggregator_has_none() -> None:
    of = trained("horizontal_boosting")
    for tables in ({"east": "new"}, {**TABLES, "hub": "new"}, {**TABLES, "south": "new"}):
        with pytest.raises(UserError, match="ATL-REG-009"):
            predict_job(of, tables)


def test_no_standing_agreement_is_made_of_what_each_scores_alone() -> None:
    with pytest.raises(UserError, match=r"ATL-REG-009.*each party holds the whole"):
        agreement_job(trained("horizontal"), TABLES, {})


def test_what_applies_a_fit_of_others_takes_it_and_sends_nothing() -> None:
    found = 0
    for component in CATALOGUE.values():
        rule = component.predict
        if not isinstance(rule, Apply) or not rule.by:
            continue
        by, found = CATALOGUE[rule.by], found + 1
        port = by.inputs[rule.port]
        assert port.optional or port.only_with
        assert port.accepts(component.outputs[rule.fitted])
        assert isinstance(by.edges, Edges)
        assert by.edges.silent
        assert set(component.inputs) <= set(by.inputs)
        assert component.rows.keys() <= by.outputs.keys()
    assert found

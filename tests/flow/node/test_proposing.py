"""A standing agreement is proposed by a job that is made of a model."""

from __future__ import annotations

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import UserError
from atoll.flow.node.models.proposing import agreement_job
from atoll.flow.planning import schemas
from atoll.jobs.definition import Job
from atoll.jobs.validation import validate
from tests.flow.node.test_fitted_transforms import facts, held, scaled
from tests.flow.node.test_model_service import GRAPH, KIND, MODEL, TABLES, bank, make

__all__ = ["bank", "make"]

TERMS = {"per_day": 5, "most": 9, "until": "2030-01-31"}


def test_it_has_one_step_over_the_parties_of_the_model() -> None:
    made = agreement_job(held(), {"shop": "y"}, TERMS)
    assert validate(made, schemas(CATALOGUE)) == ("scores",)
    assert made.parties == GRAPH.parties
    assert made.steps["scores"].component == "scoring"
    assert made.steps["scores"].parameters == {
        "model": MODEL,
        "version": 1,
        "kind": KIND,
        "tables": {"shop": "y"},
        **TERMS,
    }
    whole = agreement_job(held(), TABLES, TERMS, "bad")
    assert whole.steps["scores"].parameters["label"] == "bad"
    # Of a label in a table that is not named nothing is said.
    assert (
        "label" not in agreement_job(held(), {"shop": "y"}, TERMS, "bad").steps["scores"].parameters
    )


def test_what_was_scaled_takes_no_single_rows() -> None:
    with pytest.raises(UserError, match=r"ATL-REG-009.*go through scale"):
        agreement_job(held(scaled(), scale=facts("bank", "shop")), TABLES, TERMS)


@pytest.mark.parametrize("tables", [{"bank": "x"}, {"shop": "y", "mill": "z"}])
def test_each_host_and_nobody_else_names_a_table(tables: dict[str, str]) -> None:
    with pytest.raises(UserError, match="ATL-REG-009"):
        agreement_job(held(), tables, TERMS)


def test_a_model_that_nothing_scores_with_is_refused() -> None:
    odd = held(Job.model_validate(GRAPH.model_dump(mode="json")))
    odd = type(odd)(odd.graph, odd.step, "own.model", odd.model, odd.version)
    with pytest.raises(UserError, match="ATL-REG-009"):
        agreement_job(odd, TABLES, TERMS)


def test_a_last_day_that_is_over_is_refused_before_anybody_is_asked() -> None:
    made = agreement_job(held(), {"shop": "y"}, TERMS, today="2030-01-31")
    assert made.steps["scores"].parameters["until"] == "2030-01-31"
    with pytest.raises(UserError, match="ATL-AGR-003"):
        agreement_job(held(), {"shop": "y"}, TERMS, today="2030-02-01")

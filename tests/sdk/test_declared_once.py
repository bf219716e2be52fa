"""A parameter is declared once: estimator, demo and pages say what its class says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from pydantic import BaseModel, Field
from sklearn.base import clone

from atoll.cli.demo.command import command
from atoll.core.errors import AtollError
from atoll.learning.vertical.boosting import BoostingParameters
from atoll.operators.psi import PsiParameters
from atoll.sdk import VerticalBoostingClassifier
from atoll.sdk.constructors import taking

DOCS = Path(__file__).resolve().parents[2] / "docs"
OWN = {"columns", "guest", "id", "label"}
SIGNATURE = inspect.signature(VerticalBoostingClassifier).parameters
CLASSES: tuple[type[BaseModel], ...] = (BoostingParameters, PsiParameters)
DEFAULTS = {name: f.default for owner in CLASSES for name, f in owner.model_fields.items()}


class Settings(BaseModel):
    rounds: int = Field(default=3, ge=1, lt=9, description="how often")
    way: str = Field(default="up", description="whereto")


class Made:
    @taking((Settings, ("rounds",)))
    def __init__(self, *, label: str = "y", **parameters: Any) -> None:
        """Be made."""
        self.label = label
        vars(self).update(parameters)


def test_a_constructor_takes_the_fields_of_a_class() -> None:
    assert str(inspect.signature(Made)) == "(*, label: 'str' = 'y', rounds: int = 3) -> None"
    assert vars(Made()) == {"label": "y", "rounds": 3}
    assert vars(Made(rounds=4)) == {"label": "y", "rounds": 4}
    assert inspect.getdoc(Made.__init__) == "Be made.\nrounds (3; ≥ 1, < 9): how often"
    for wrong in ({"way": "up"}, {"round": 1}):
        with pytest.raises(TypeError, match="unexpected keyword"):
            Made(**wrong)


def test_the_estimator_has_every_parameter_of_the_training_with_its_default() -> None:
    wanted = (BoostingParameters.model_fields.keys() - {"early_stopping_rounds"}) | {
        "minimum_intersection"
    }
    assert SIGNATURE.keys() == OWN | wanted
    assert {name: SIGNATURE[name].default for name in wanted} == {n: DEFAULTS[n] for n in wanted}
    made = VerticalBoostingClassifier().get_params()
    assert {name: made[name] for name in wanted} == {n: DEFAULTS[n] for n in wanted}
    assert VerticalBoostingClassifier.__init__.__doc__ is not None
    assert "depth (3; ≥ 1, ≤ 10): levels of splits" in VerticalBoostingClassifier.__init__.__doc__


def test_the_estimator_stays_one_of_scikit_learns() -> None:
    model = VerticalBoostingClassifier(scale_bits=8).set_params(minimum_leaf_rows=5)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert (copy.get_params()["scale_bits"], copy.get_params()["minimum_leaf_rows"]) == (8, 5)
    with pytest.raises(TypeError):
        VerticalBoostingClassifier(early_stopping_rounds=3)
    with pytest.raises(AtollError, match="ATL-JOB-005"):
        model.set_params(early_stopping_rounds=3)


@pytest.mark.parametrize(("name", "value"), [("trees", 0), ("bins", 300), ("minimum_rows", -1)])
def test_what_is_out_of_the_classes_bounds_is_refused_when_fitted(name: str, value: int) -> None:
    model = VerticalBoostingClassifier(**{name: value})
    with pytest.raises(AtollError, match="ATL-JOB-006"):
        model.fit(np.zeros((40, 2)), np.arange(40) % 2)


def test_the_demo_offers_what_the_class_declares() -> None:
    forms = BoostingParameters.model_json_schema()["properties"]
    options = {str(one.name): one for one in command.params}
    rows = dict(
        re.findall(
            r"^\| `--([a-z-]+)[^`]*` \| (\S*) ?\|", (DOCS / "guide/demo.md").read_text(), re.M
        )
    )
    shared = options.keys() & forms.keys()
    assert shared == {"trees", "depth", "bins", "minimum_rows"}
    for name in shared:
        option, form = options[name], forms[name]
        assert isinstance(option, click.Option)
        assert isinstance(option.type, click.IntRange)
        assert (option.type.min, option.type.max) == (form["minimum"], form["maximum"])
        assert option.default == form["default"] == int(rows[name.replace("_", "-")])
    assert options["seed"].default == int(rows["seed"])


@pytest.mark.parametrize("page", sorted((DOCS / "guide").glob("*.md")), ids=lambda page: page.name)
def test_a_default_in_a_sentence_is_the_classes(page: Path) -> None:
    for name, shown in re.findall(r"`(\w+)` \([^)]*default (\d+)\)", page.read_text()):
        if name in DEFAULTS:
            assert DEFAULTS[name] == int(shown), name


def test_a_page_has_such_a_sentence() -> None:
    assert "`minimum_rows` (k, default 20)" in (DOCS / "guide/what-leaves.md").read_text()

"""Boosted trees over rows of several owners, in scikit-learn's shape over the real protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import roc_auc_score

from atoll.core.errors import AtollError
from atoll.sdk import HorizontalBoostingClassifier, HorizontalBoostingRegressor

SMALL: dict[str, Any] = {"trees": 6, "depth": 3, "bins": 16, "cells": 64, "seed": 3}


def frame(seed: int, rows: int = 200) -> pd.DataFrame:
    """Return one owner's rows: the class follows from a product, which no linear model learns."""
    random = np.random.default_rng(seed)
    made = pd.DataFrame(random.normal(size=(rows, 3)), columns=["a", "b", "c"])
    label = np.where(made.a * made.b > 0, "yes", "no")
    return made.assign(y=label, c=made.c.mask(np.arange(rows) % 7 == 0))


def test_owners_grow_trees_and_missing_values_are_values() -> None:
    tables = {f"site-{at}": frame(at) for at in range(3)}
    model = HorizontalBoostingClassifier(**SMALL).fit(tables)
    more = frame(99, 600)
    assert list(model.classes_) == ["no", "yes"]
    found = model.predict_proba(more[["c", "b", "a"]])
    assert np.isnan(more.c).any()
    assert roc_auc_score(more.y == "yes", found[:, 1]) > 0.9
    assert model.score(more.drop(columns="y"), more.y) > 0.8
    one, *others = model.parts_.values()
    assert all(
        (part.predict(more[["a", "b", "c"]].to_numpy()) == found[:, 1]).all() for part in others
    )
    assert one.spec.trees == 6
    sent = {line["message"] for lines in model.reveals_.values() for line in lines}
    assert {kind for kind in sent if not kind.startswith("flow.")} == {
        "horizontal.values",
        "secure-sum.opened",
        "secure-sum.survivors",
    }


def test_several_classes_and_a_mask_that_changes_nothing() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(300, 2))
    labels = np.digitize(rows[:, 0], [-0.5, 0.5]) * 10
    made = [
        HorizontalBoostingClassifier(**SMALL, sum=sum_).fit(rows, labels).predict_proba(rows)
        for sum_ in ("masked", "plain")
    ]
    assert np.array_equal(made[0], made[1])
    assert (made[0].argmax(axis=1) * 10 == labels).mean() > 0.95


def test_numbers_are_learned_within_their_bound() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(300, 2))
    values = np.where(rows[:, 0] * rows[:, 1] > 0, 3.0, -1.0)
    model = HorizontalBoostingRegressor(**SMALL, bound=5.0).fit(rows, values)
    assert model.score(rows, values) > 0.7
    # Of the causes the federation raises that of one party: the aggregator's is that all left.
    with pytest.raises(AtollError, match=r"ATL-HOR-104|ATL-NET-048"):
        HorizontalBoostingRegressor(**SMALL).fit(rows, values)


def test_they_are_estimators() -> None:
    model = HorizontalBoostingClassifier(trees=3)
    assert clone(model).get_params() == model.get_params()
    assert is_classifier(model)
    assert is_regressor(HorizontalBoostingRegressor())
    assert "loss" not in model.get_params()

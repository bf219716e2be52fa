"""Estimators over rows of several owners, in scikit-learn's shape over the real protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_digits

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.sdk import (
    HorizontalBoostingClassifier,
    HorizontalBoostingRegressor,
    HorizontalClassifier,
    HorizontalRegressor,
)

Floats = npt.NDArray[np.float64]


def digits() -> tuple[Floats, npt.NDArray[np.int64]]:
    found = load_digits()
    return found.data / 16, found.target


def two(seed: int, rows: int = 80) -> pd.DataFrame:
    """Return one owner's rows: the class follows from both columns."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(rows, 2)), columns=["a", "b"])
    return frame.assign(y=np.where(frame.a > frame.b, "yes", "no"))


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def test_digits_of_three_owners() -> None:
    rows, labels = digits()
    model = HorizontalClassifier(rounds=15, learning_rate=0.5, seed=3)
    model.fit(rows[:1500], labels[:1500])
    assert model.score(rows[1500:], labels[1500:]) > 0.85
    found = model.predict_proba(rows[1500:])
    assert found.shape == (297, 10)
    assert np.allclose(found.sum(axis=1), 1)
    assert sorted(model.parts_) == ["owner-0", "owner-1", "owner-2"]
    weights = [part.weights.tobytes() for part in model.parts_.values()]
    assert len(set(weights)) == 1
    sent = {line["message"] for lines in model.reveals_.values() for line in lines}
    assert "horizontal.change" not in sent


def test_a_seed_repeats_the_model_and_the_mask_changes_nothing_but_rounding() -> None:
    rows, labels = digits()
    rows, labels = rows[labels < 2][:150], labels[labels < 2][:150]
    made = [
        HorizontalClassifier(rounds=3, seed=5, sum=sum_).fit(rows, labels).predict_proba(rows)
        for sum_ in ("masked", "masked", "plain")
    ]
    assert np.array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() < 1e-5


def test_tables_by_owner_with_labels_of_text() -> None:
    tables = {f"site-{at}": two(at) for at in range(4)}
    model = HorizontalClassifier(algorithm="scaffold", rounds=10, learning_rate=0.5, seed=1)
    model.fit(tables)
    more = two(99)
    assert list(model.classes_) == ["no", "yes"]
    assert model.score(more.drop(columns="y"), more.y) > 0.9
    turned = more[["b", "a"]]
    assert (model.predict(turned) == model.predict(more[["a", "b"]])).all()
    with refused("ATL-MOD-003"):
        model.predict(more[["a"]])
    with refused("ATL-SDK-032"):
        model.predict(more[["a", "b"]].to_numpy())
    # A row without a value has no class; it must not get the first one.
    with refused("ATL-SDK-032"):
        model.predict(more[["a", "b"]].where(more.a < 0))


def test_owners_of_rows_are_named_by_an_array() -> None:
    whole = two(7, 200)
    owners = np.array(["north", "east", "west"])[np.arange(200) % 3]
    model = HorizontalClassifier(owners=owners, rounds=4, seed=1)
    model.fit(whole[["a", "b"]], whole.y)
    assert sorted(model.parts_) == ["east", "north", "west"]
    with refused("ATL-SDK-032"):
        model.fit(whole[["a", "b"]].iloc[1:], whole.y.iloc[1:])


def test_digits_with_privacy_of_rows() -> None:
    rows, labels = digits()
    model = HorizontalClassifier(
        algorithm="fedsgd", rounds=25, learning_rate=4.0, privacy={"epsilon": 3.0}, seed=3
    )
    model.fit(rows[:1500], labels[:1500])
    assert model.score(rows[1500:], labels[1500:]) > 0.75
    assert any("ε = 2.99" in text or "ε = 3" in text for text in model.plan_.warnings)
    panel: Any = model.reports_["train"].panels[0]
    assert panel.values["epsilon against the aggregator"] == pytest.approx(3, rel=2e-3)
    assert panel.values["one unit is"] == "one row"
    copy: Any = clone(model)
    assert copy.get_params()["privacy"] == {"epsilon": 3.0}
    with refused("ATL-HOR-140"):
        HorizontalClassifier(privacy={"epsilon": 3.0}).fit(rows[:90], labels[:90])


def test_a_regression_with_privacy_between_two_owners() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(3000, 2))
    target = rows @ [0.5, -0.3] + 1 + 0.1 * random.normal(size=3000)
    model = HorizontalRegressor(
        algorithm="fedsgd",
        rounds=20,
        sum="plain",
        minimum_clients=2,
        owners=2,
        privacy={"epsilon": 5.0, "noise": "local"},
        seed=2,
    )
    model.fit(rows, target)
    assert model.score(rows, target) > 0.7


def test_two_owners_need_a_plain_sum() -> None:
    tables = {name: two(at) for at, name in enumerate(("north", "east"))}
    with refused("ATL-HOR-084"):
        HorizontalClassifier(rounds=2).fit(tables)
    model = HorizontalClassifier(rounds=2, sum="plain", minimum_clients=2).fit(tables)
    assert len(model.parts_) == 2


@pytest.mark.parametrize("counts", [False, True])
def test_regression(counts: bool) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 3))
    line = rows @ [0.5, -0.3, 0.2] + 1
    target = random.poisson(np.exp(line)) if counts else line + 0.1 * random.normal(size=300)
    model = HorizontalRegressor(counts=counts, rounds=30, learning_rate=0.05, seed=2)
    model.fit(rows, target)
    mean = np.exp(line) if counts else line
    assert np.corrcoef(model.predict(rows), mean)[0, 1] > 0.97
    assert model.score(rows, target) > (0.4 if counts else 0.9)


def test_owners_with_few_rows_follow_the_hint() -> None:
    tables = {name: two(at)[:8] for at, name in enumerate(("north", "east", "west"))}
    with refused("ATL-HOR-162") as caught:
        HorizontalClassifier(rounds=2).fit(tables)
    assert "minimum_rows" in (caught.value.hint or "")
    assert len(HorizontalClassifier(rounds=2, minimum_rows=8).fit(tables).parts_) == 3


@pytest.mark.parametrize(
    ("estimator", "component", "chosen"),
    [
        (HorizontalClassifier, "horizontal", {"family", "classes"}),
        (HorizontalRegressor, "horizontal", {"family", "classes"}),
        (HorizontalBoostingClassifier, "horizontal_boosting", {"loss", "classes", "bound"}),
        (HorizontalBoostingRegressor, "horizontal_boosting", {"loss", "classes"}),
    ],
)
def test_every_parameter_of_the_step_is_one_of_the_estimator(
    estimator: Any, component: str, chosen: set[str]
) -> None:
    fields = CATALOGUE[component].parameters.model_fields
    wanted = {name: field.default for name, field in fields.items() if name not in chosen}
    made = estimator()
    assert made.get_params().items() >= wanted.items()
    own = {"counts"} if estimator is HorizontalRegressor else set()
    assert made.get_params().keys() == wanted.keys() | own | {"owners", "label", "seed"}
    assert clone(made.set_params(minimum_rows=3)).minimum_rows == 3
    assert "minimum_rows (10; " in (estimator.__init__.__doc__ or "")


def test_it_keeps_to_scikit_learns_protocol() -> None:
    model = HorizontalClassifier(rounds=7, hidden=(4,))
    copy: Any = clone(model)
    assert copy.get_params() == model.get_params()
    assert is_classifier(model)
    assert is_regressor(HorizontalRegressor())
    with refused("ATL-SDK-033"):
        model.predict([[0.0]])
    with refused("ATL-JOB-005"):
        model.set_params(round=3)

"""The classifier finds columns by name: which party has which is settled by fit alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped]
import polars
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from atoll.core.errors import AtollError
from atoll.sdk import VerticalBoostingClassifier
from atoll.table import Table

ROWS = 120
QUICK: dict[str, Any] = {"trees": 3, "minimum_rows": 5, "implementation": "ideal"}
OWNERS = {"age": "bank", "income": "bank", "visits": "shop", "spent": "shop"}


def frame(seed: int = 3) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Return four columns of different scales, and a label that hangs on two of them."""
    x = np.random.default_rng(seed).normal(size=(ROWS, 4))
    y = (x[:, 0] + 2 * x[:, 3] > 0).astype(np.int64)
    return pd.DataFrame(x * [1, 10, 100, 1000] + [0, 50, 0, 7], columns=list(OWNERS)), y


@functools.cache
def known() -> VerticalBoostingClassifier:
    """Return one fitted model for all tests that leave it as it is."""
    return fitted()


def fitted(**parameters: Any) -> VerticalBoostingClassifier:
    data, y = frame()
    return VerticalBoostingClassifier(**{**QUICK, **parameters}).fit(data, y)


def shares(data: pd.DataFrame, y: Any = None) -> dict[str, pd.DataFrame]:
    """Return a table per party: the guest's with the label, if there is one."""
    known = data.assign(id=[f"p{at}" for at in range(len(data))])
    bank = known[["id", "age", "income"]]
    return {
        "bank": bank if y is None else bank.assign(y=y),
        "shop": known[["id", "visits", "spent"]],
    }


def refused(code: str, action: Callable[[], Any]) -> AtollError:
    with pytest.raises(AtollError) as caught:
        action()
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("parameters", [{}, {"columns": OWNERS, "guest": "shop"}])
def test_the_order_of_a_frames_columns_does_not_matter(parameters: dict[str, Any]) -> None:
    data, y = frame()
    model = fitted(**parameters)
    wanted = model.predict_proba(data)
    assert roc_auc_score(y, wanted[:, 1]) > 0.95
    turned = data[["spent", "age", "visits", "income"]]
    np.testing.assert_array_equal(model.predict_proba(turned), wanted)
    assert model.score(turned, y) == model.score(data, y)


@pytest.mark.parametrize(
    "make",
    [
        lambda data: polars.DataFrame(dict(data)),
        lambda data: pa.table(dict(data)),
        lambda data: pa.record_batch(dict(data)),
        lambda data: Table.from_pandas(data.assign(id=[f"p{at}" for at in range(len(data))])),
    ],
    ids=["polars", "arrow", "batch", "table"],
)
def test_frames_of_all_kinds_go_by_name(make: Callable[[Any], Any]) -> None:
    data, y = frame()
    wanted = known().predict_proba(data)
    turned = make(data[["spent", "visits", "income", "age"]])
    np.testing.assert_array_equal(known().predict_proba(turned), wanted)
    model = VerticalBoostingClassifier(columns=OWNERS, **QUICK).fit(turned, y)
    assert model.parts_["bank"].columns == ("income", "age")
    assert list(model.feature_names_in_) == ["spent", "visits", "income", "age"]
    assert model.n_features_in_ == 4


def test_what_columns_and_guest_say_later_changes_nothing() -> None:
    data, _ = frame()
    model = fitted(columns=OWNERS, guest="shop")
    wanted = model.predict_proba(data)
    model.set_params(columns=None, guest=None)
    np.testing.assert_array_equal(model.predict_proba(data), wanted)


def test_further_columns_are_left_out_whatever_they_hold() -> None:
    data, y = frame()
    model = known()
    wanted = model.predict_proba(data)
    more = data.assign(y=y, name="text", mixed=[1, "a"] * (ROWS // 2))
    more = more[["name", "spent", "y", "mixed", "visits", "income", "age"]]
    np.testing.assert_array_equal(model.predict_proba(more), wanted)
    np.testing.assert_array_equal(
        model.predict_proba(polars.DataFrame(dict(more.drop(columns="mixed")))), wanted
    )


def test_missing_and_renamed_columns_are_named() -> None:
    data, _ = frame()
    model = fitted(columns=OWNERS)
    error = refused("ATL-MOD-003", lambda: model.predict(data.drop(columns=["income", "spent"])))
    assert error.message == "columns of the model are missing: 'income', 'spent'"
    renamed = data.rename(columns={"visits": "visits_2024"})
    error = refused("ATL-MOD-003", lambda: model.predict_proba(renamed))
    assert "'visits'" in error.message
    assert "'visits_2024'" in str(error.hint)
    error = refused("ATL-SDK-032", lambda: clone(model).fit(renamed, frame()[1]))
    assert error.message == "columns without a party: 'visits_2024'"


def test_names_and_positions_are_not_compared() -> None:
    data, y = frame()
    array = data.to_numpy()
    named, plain = known(), VerticalBoostingClassifier(**QUICK).fit(array, y)
    np.testing.assert_array_equal(named.predict_proba(data), plain.predict_proba(array))
    for action in (
        lambda: named.predict(array),
        lambda: plain.predict(data),
        lambda: plain.predict(shares(data)),
        lambda: VerticalBoostingClassifier(**QUICK).fit(shares(data, y)).predict(array),
    ):
        assert "names" in refused("ATL-SDK-032", action).message


def test_arrays_have_the_width_of_the_training() -> None:
    data, y = frame()
    array = data.to_numpy()
    model = VerticalBoostingClassifier(**QUICK).fit(array, y)
    for wrong in (array[:, :3], np.column_stack([array, array[:, 0]])):
        error = refused("ATL-SDK-032", functools.partial(model.predict, wrong))
        assert error.message.startswith("the model was fitted on 4 columns, not ")


def test_columns_that_are_called_by_numbers() -> None:
    data, y = frame()
    numbered = data.set_axis([3, 1, 2, 0], axis=1)
    owner = {3: "bank", 1: "bank", 2: "shop", 0: "shop"}
    model = VerticalBoostingClassifier(columns=owner, **QUICK).fit(numbered, y)
    assert model.parts_["bank"].columns == ("3", "1")
    assert not hasattr(model, "feature_names_in_")
    wanted = model.predict_proba(numbered)
    np.testing.assert_array_equal(model.predict_proba(numbered[[0, 1, 2, 3]]), wanted)


def test_names_of_an_earlier_fit_are_gone() -> None:
    data, y = frame()
    model = fitted()
    assert list(model.feature_names_in_) == list(OWNERS)
    model.fit(data.iloc[:, :3].to_numpy(), y)
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 3


def test_per_party_tables_go_by_name() -> None:
    data, y = frame()
    own = shares(data, y)
    model = VerticalBoostingClassifier(**QUICK).fit(own)
    assert model.n_features_in_ == 4
    assert model.guest_ == "bank"
    wanted = model.predict_proba(own)
    assert roc_auc_score(y, wanted[:, 1]) > 0.95
    other = {
        "shop": own["shop"].assign(note="text", extra=1.0)[
            ["note", "spent", "id", "extra", "visits"]
        ],
        "bank": own["bank"].assign(y=np.nan)[["income", "y", "age", "id"]],
    }
    np.testing.assert_array_equal(model.predict_proba(other), wanted)


def test_a_column_that_changed_its_party_is_missing_there() -> None:
    data, y = frame()
    own = shares(data, y)
    model = VerticalBoostingClassifier(**QUICK).fit(own)
    moved = {
        "bank": own["bank"].assign(spent=own["shop"]["spent"]),
        "shop": own["shop"].drop(columns="spent"),
    }
    error = refused("ATL-MOD-003", lambda: model.predict(moved))
    assert (error.party, error.message) == ("shop", "columns of the model are missing: 'spent'")
    renamed = own | {"bank": own["bank"].rename(columns={"income": "incomes"})}
    error = refused("ATL-MOD-003", lambda: model.predict(renamed))
    assert error.party == "bank"
    assert error.hint == "columns go by name; the model does not know 'incomes'"
    error = refused("ATL-TAB-002", lambda: model.predict(own | {"shop": data[["visits", "spent"]]}))
    assert (error.party, error.message) == ("shop", "there is no column 'id'")
    error = refused("ATL-SDK-032", lambda: model.predict({"bank": own["bank"], "mill": data}))
    assert "bank, shop" in str(error.hint)


def test_one_table_and_per_party_tables_take_each_others_place() -> None:
    data, y = frame()
    own = shares(data, y)
    model = fitted(columns=OWNERS)
    wanted = model.predict_proba(data)
    np.testing.assert_array_equal(model.predict_proba(own), wanted)
    turned = data[["spent", "age", "visits", "income"]]
    model = VerticalBoostingClassifier(**QUICK).fit(own)
    np.testing.assert_allclose(model.predict_proba(turned), model.predict_proba(own))
    same = {"bank": own["bank"], "shop": own["shop"].rename(columns={"spent": "age"})}
    model = VerticalBoostingClassifier(**QUICK).fit(same)
    error = refused("ATL-SDK-032", lambda: model.predict(data))
    assert error.message == "several parties have a column of the same name"


def test_a_host_may_call_a_column_like_the_label() -> None:
    data, y = frame()
    named = {"age": "age", "income": "income", "visits": "visits", "spent": "y"}
    model = VerticalBoostingClassifier(**QUICK).fit(data.rename(columns=named), y)
    assert model.parts_["host"].columns == ("visits", "y")
    turned = data.rename(columns=named)[["y", "age", "visits", "income"]]
    np.testing.assert_array_equal(model.predict_proba(turned), known().predict_proba(data))


def test_two_columns_of_one_name_are_refused() -> None:
    data, y = frame()
    twice = data.set_axis(["age", "income", "visits", "age"], axis=1)
    arrow = pa.Table.from_arrays([pa.array(data[name]) for name in data], list(twice.columns))
    model = known()
    for wrong in (twice, arrow):
        for action in (
            lambda wrong=wrong: VerticalBoostingClassifier(**QUICK).fit(wrong, y),
            lambda wrong=wrong: model.predict(wrong),
        ):
            error = refused("ATL-TAB-011", action)
            assert error.message == "column 4 repeats an earlier name"
    own = shares(data, y)
    own["shop"] = pd.concat([own["shop"], own["shop"][["spent"]]], axis=1)
    error = refused("ATL-TAB-011", lambda: VerticalBoostingClassifier(**QUICK).fit(own))
    assert error.party == "shop"


def test_a_column_called_like_the_ids_is_refused() -> None:
    data, y = frame()
    model = VerticalBoostingClassifier(**QUICK)
    named = data.rename(columns={"visits": "id"})
    assert "'id'" in refused("ATL-SDK-032", lambda: model.fit(named, y)).message
    model.set_params(id="row").fit(named, y)
    assert model.parts_["host"].columns == ("id", "spent")


@pytest.mark.parametrize(
    "make",
    [
        lambda data: data,
        lambda data: polars.DataFrame(dict(data)),
        lambda data: pa.table(dict(data)),
        lambda data: data.astype({"visits": "category"}),
    ],
    ids=["pandas", "polars", "arrow", "category"],
)
def test_a_column_of_text_is_refused_by_name(make: Callable[[Any], Any]) -> None:
    data, y = frame()
    text = data.assign(visits=["secret"] * ROWS)
    error = refused("ATL-TAB-016", lambda: VerticalBoostingClassifier(**QUICK).fit(make(text), y))
    assert error.place == "column 'visits'"
    own = shares(data, y)
    own["shop"] = make(own["shop"].assign(visits=["secret"] * ROWS))
    error = refused("ATL-TAB-016", lambda: VerticalBoostingClassifier(**QUICK).fit(own))
    assert (error.party, error.place) == ("shop", "column 'visits'")
    error = refused("ATL-TAB-016", lambda: known().predict(make(text)))
    assert error.place == "column 'visits'"


def test_no_value_is_in_what_is_said_of_text(tmp_path: Path) -> None:
    data, y = frame()
    mixed = data.assign(visits=[1.0, "secret"] * (ROWS // 2))
    error = refused("ATL-TAB-016", lambda: VerticalBoostingClassifier(**QUICK).fit(mixed, y))
    assert error.place == "column 'visits'"
    assert "secret" not in str(error)
    error = refused("ATL-SDK-032", lambda: known().predict([["secret"] * 4]))
    array = mixed.to_numpy()
    error = refused("ATL-SDK-032", lambda: VerticalBoostingClassifier(**QUICK).fit(array, y))
    assert "secret" not in str(error)
    own = shares(data, y)
    shares(mixed)["shop"].to_csv(tmp_path / "shop.csv", index=False)
    given = own | {"shop": tmp_path / "shop.csv"}
    error = refused("ATL-TAB-013", lambda: VerticalBoostingClassifier(**QUICK).fit(given))
    assert "column 'visits'" in str(error.place)
    assert "secret" not in str(error)


def test_per_party_files_go_by_name(tmp_path: Path) -> None:
    data, y = frame()
    own = shares(data, y)
    wanted = VerticalBoostingClassifier(**QUICK).fit(own).predict_proba(own)
    files = {party: tmp_path / f"{party}.csv" for party in own}
    for party, table in own.items():
        table.to_csv(files[party], index=False)
    model = VerticalBoostingClassifier(**QUICK).fit(files)
    for party, table in own.items():
        table[table.columns[::-1]].to_csv(files[party], index=False)
    np.testing.assert_allclose(model.predict_proba(files), wanted)


def test_a_frame_that_cannot_be_read_is_not_taken_for_an_array() -> None:
    data, y = frame()
    lazy = polars.DataFrame(dict(data)).lazy()
    refused("ATL-SDK-031", lambda: VerticalBoostingClassifier(**QUICK).fit(lazy, y))
    refused("ATL-SDK-031", lambda: known().predict(lazy))


def test_pipelines_and_cross_validation_over_frames_and_arrays() -> None:
    data, y = frame()
    turned = data[["spent", "age", "visits", "income"]]
    model = VerticalBoostingClassifier(columns=OWNERS, **QUICK)
    assert cross_val_score(model, data, y, cv=2, scoring="roc_auc").min() > 0.7
    framed = make_pipeline(StandardScaler().set_output(transform="pandas"), clone(model))
    check_is_fitted(framed.fit(data, y)[-1])
    # The scaler itself refuses another order; the classifier behind it would not.
    scaled = framed[0].transform(data)
    np.testing.assert_array_equal(
        framed[-1].predict_proba(scaled[list(turned.columns)]), framed.predict_proba(data)
    )
    plain = make_pipeline(StandardScaler(), VerticalBoostingClassifier(**QUICK)).fit(data, y)
    assert plain.score(data, y) > 0.8

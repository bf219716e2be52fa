"""A part's columns are found by their names in whatever table is there."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.channel import world
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.models.boosting import GuestPart, HostPart, Part, score
from atoll.models.columns import match_columns
from tests.models.test_boosting_part import explicit, models

names = st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=12)


def refused(trained: list[str], given: list[str]) -> UserError:
    with pytest.raises(UserError) as caught:
        match_columns(trained, given, place="here")
    assert caught.value.code == "ATL-MOD-003"
    assert caught.value.place == "here"
    return caught.value


@given(names, st.data())
def test_columns_are_found_in_any_order_among_any_others(
    trained: list[str], data: st.DataObject
) -> None:
    others = [name for name in data.draw(names) if name not in trained]
    there = data.draw(st.permutations([*trained, *others]))
    found = match_columns(trained, there)
    assert found.positions.dtype == np.int64
    assert [there[at] for at in found.positions] == trained
    assert list(found.unused) == [name for name in there if name in others]
    features = np.arange(3.0 * len(there)).reshape(3, len(there))
    taken = found.take(features)
    np.testing.assert_array_equal(taken, features[:, [there.index(name) for name in trained]])


def test_columns_that_stand_right_are_not_copied() -> None:
    features = np.zeros((2, 2))
    assert match_columns(("a", "b"), ("a", "b")).take(features) is features
    assert match_columns(("a",), ("a", "b")).take(features).shape == (2, 1)


def test_missing_columns_are_named_with_what_they_may_be_called_now() -> None:
    error = refused(["age", "income", "visits"], ["zip", "incomes", "age"])
    assert error.message == "columns of the model are missing: 'income', 'visits'"
    assert error.hint == "columns go by name; the model does not know 'incomes', 'zip'"
    error = refused(["age", "income"], ["age"])
    assert error.hint == "columns go by name; the table has no others"
    # Both are shown alike.
    assert "Unicode form" in str(refused(["\u00e9"], ["e\u0301", "age"]).hint)
    many = refused([f"a{at}" for at in range(9)], [f"b{at}" for at in range(8)])
    assert many.message.endswith("'a3', 'a4' and 4 more")
    assert str(many.hint).endswith("'b4' and 3 more")


def test_two_columns_of_one_name_are_refused() -> None:
    assert "'b'" in refused(["a"], ["a", "b", "b"]).message


@given(models(), st.randoms(use_true_random=False), st.integers(0, 1 << 30))
def test_scores_do_not_depend_on_where_columns_stand(
    model: tuple[GuestPart, dict[str, HostPart]], random: Random, seed: int
) -> None:
    guest, hosts = model
    parts: dict[str, Part] = {"bank": guest, **hosts}
    rng = np.random.default_rng(seed)
    tables = {name: rng.normal(size=(7, 2)) for name in parts}
    given = {}
    for name, part in parts.items():
        there = [*part.columns, "more"]
        random.shuffle(there)
        columns = dict(zip(part.columns, tables[name].T, strict=True)) | {
            "more": rng.normal(size=7)
        }
        given[name] = (np.column_stack([columns[column] for column in there]), there)
    roles = {name: Role.HOST if name in hosts else Role.GUEST for name in parts}
    done = world.run(roles, lambda p: score(p, parts[p.name], *given[p.name])).check()
    np.testing.assert_array_equal(done.results["bank"], explicit(guest, hosts, tables))

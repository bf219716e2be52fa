from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.learning.features.union import unite
from atoll.table import Table


def table(ids: list[str], *, start: float = 0.0, label: bool = False) -> Table:
    columns: dict[str, Any] = {"a": pa.array([start + at for at in range(len(ids))])}
    if label:
        columns["y"] = pa.array([1.0] * len(ids))
    return Table.from_columns(pa.array(ids), columns, label="y" if label else None)


def names(made: Table) -> list[str]:
    return [entry.decode() for entry in made.ids().to_pylist()]


keys = st.lists(st.integers(0, 20).map(str), min_size=1, max_size=12, unique=True)


@given(st.lists(keys, min_size=1, max_size=5))
def test_rows_are_those_of_a_plain_loop(parts: list[list[str]]) -> None:
    tables = [table(ids, start=100.0 * at) for at, ids in enumerate(parts)]
    made = unite(tables, "keep-first")
    expected: dict[str, float] = {}
    for at, ids in enumerate(parts):
        for row, name in enumerate(ids):
            expected.setdefault(name, 100.0 * at + row)
    assert names(made.table) == list(expected)
    assert made.table.matrix()[:, 0].tolist() == list(expected.values())
    assert made.rows == tuple(len(ids) for ids in parts)
    assert made.left_out == sum(made.rows) - len(expected)


@given(st.lists(keys, min_size=1, max_size=4))
def test_parties_with_the_same_ids_keep_their_rows_aligned(parts: list[list[str]]) -> None:
    bank = unite([table(ids, label=True) for ids in parts], "keep-first").table
    shop = unite([table(ids, start=7.0) for ids in parts], "keep-first").table
    assert names(bank) == names(shop)


def test_columns_are_put_in_order_and_widened() -> None:
    ids = pa.array(["1", "2"])
    whole = Table.from_columns(ids, {"a": pa.array([1, 2]), "b": pa.array([1, 2])})
    other = Table.from_columns(
        pa.array(["3"]), {"b": pa.array([0.5]), "a": pa.array([9])}, id_column="key"
    )
    made = unite([whole, other], "error").table
    assert made.columns == ("a", "b")
    assert made.id_name == "id"
    assert made.matrix().tolist() == [[1, 1], [2, 2], [9, 0.5]]
    assert pa.types.is_integer(made.schema.field("a").type)


@given(st.permutations(["a", "b", "y"]), st.permutations(["a", "b", "y"]), st.booleans())
def test_columns_and_labels_go_by_name(first: list[str], second: list[str], whole: bool) -> None:
    def made(key: str, order: list[str], start: int, id_column: str = "id") -> Table:
        kind = pa.int32() if whole and start else pa.float32()
        values = {"a": start + 1, "b": start + 2, "y": start}
        columns = {name: pa.array([values[name]], kind) for name in order}
        return Table.from_columns(pa.array([key]), columns, id_column=id_column, label="y")

    tables = [made("1", first, 0), made("2", second, 10, "key"), made("3", first, 20)]
    found = unite(tables, "error").table
    assert (found.id_name, found.label_name) == ("id", "y")
    assert found.columns == tables[0].columns
    assert found.matrix(["a", "b"]).tolist() == [[1, 2], [11, 12], [21, 22]]
    assert found.label().tolist() == [0, 10, 20]
    assert names(found) == ["1", "2", "3"]


def test_a_label_is_no_column_of_another_table() -> None:
    """A table whose label is a feature elsewhere is refused, whichever comes first."""
    columns = {"a": pa.array([1.0]), "y": pa.array([1.0])}
    labelled = Table.from_columns(pa.array(["1"]), columns, label="y")
    plain = Table.from_columns(pa.array(["2"]), columns)
    turned = Table.from_columns(pa.array(["3"]), columns, label="a")
    for other in (plain, turned):
        for tables in ([labelled, other], [other, labelled]):
            error = refused(tables, "error")
            assert error.code == "ATL-CMP-030"
            assert str(error.hint).endswith("; the labels differ")


def test_ids_are_no_column_of_another_table() -> None:
    first = Table.from_columns(pa.array(["1"]), {"key": pa.array([1.0])})
    other = Table.from_columns(pa.array(["2"]), {"id": pa.array([1.0])}, id_column="key")
    assert refused([first, other], "error").hint == "absent: key; too many: id"


def refused(tables: list[Table], duplicates: Literal["error", "keep-first"]) -> AtollError:
    with pytest.raises(AtollError) as caught:
        unite(tables, duplicates)
    return caught.value


def test_other_columns_and_labels_are_refused() -> None:
    renamed = table(["9"]).rename({"a": "b"})
    error = refused([table(["1"]), renamed], "keep-first")
    assert error.code == "ATL-CMP-030"
    assert error.hint == "absent: a; too many: b"
    assert refused([table(["1"]), table(["2"], label=True)], "error").code == "ATL-CMP-030"


def test_whole_numbers_that_would_lose_digits_are_refused() -> None:
    large = Table.from_columns(pa.array(["1"]), {"a": pa.array([(1 << 53) - 1])})
    assert unite([large, table(["2"])], "error").table.num_rows == 2
    parts = [part.set_column(1, "a", pa.array([(1 << 53) + 1])) for part in large.partitions]
    error = refused([Table(parts, "id"), table(["2"])], "error")
    assert error.code == "ATL-CMP-030"
    assert "column 'a'" in str(error.place)


def test_duplicates_are_refused_by_row_and_not_by_id() -> None:
    error = refused([table(["alpha", "beta"]), table(["gamma", "beta"])], "error")
    assert error.code == "ATL-CMP-031"
    assert error.place == "row 2 of tables.1"
    assert "beta" not in str(error)


def test_a_table_of_known_ids_adds_nothing() -> None:
    first = table(["1", "2"])
    made = unite([first, table(["2", "1"], start=50)], "keep-first")
    assert made.table.matrix().tolist() == first.matrix().tolist()
    assert made.left_out == 2

"""The table: partitions, rows and columns, content hash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.table import Table


def make(ids: list[str], **columns: Any) -> Table:
    return Table.from_columns(pa.array(ids), columns)


def keys(table: Table) -> list[bytes]:
    found: list[bytes] = table.ids().to_pylist()
    return found


def refused(code: str) -> Any:
    return pytest.raises(AtollError, match=f"^{code}:")


SMALL = make(["b", "a", "c"], x=[1.0, None, 3.0], y=[0, 1, 1])


def test_shape_and_names() -> None:
    table = Table.from_columns(pa.array(["b", "a"]), {"x": [1.0, 2.0], "y": [0, 1]}, label="y")
    assert (table.num_rows, table.columns, table.id_name, table.label_name) == (
        2,
        ("x",),
        "id",
        "y",
    )
    assert table.label().tolist() == [0.0, 1.0]
    assert table.matrix().tolist() == [[1.0], [2.0]]
    assert keys(table) == [b"b", b"a"]
    assert table.select([]).columns == ()
    assert table.without_label().label_name is None


def test_matrix_marks_missing_with_nan_in_both_orders() -> None:
    for order in ("C", "F"):
        matrix = SMALL.matrix(["y", "x"], order=order)
        assert (matrix.flags.c_contiguous, matrix.flags.f_contiguous) == (
            order == "C",
            order == "F",
        )
        np.testing.assert_array_equal(matrix, [[0, 1], [1, np.nan], [1, 3]])
    with refused("ATL-TAB-015") as error:
        SMALL.matrix(["x"], missing=False)
    assert error.value.place == "row 2, column 'x'"


def test_align_and_take() -> None:
    assert keys(SMALL.align(pa.array([b"c", b"b"]))) == [b"c", b"b"]
    assert SMALL.align([b"c", b"b"]).matrix(["x"]).tolist() == [[3.0], [1.0]]
    assert keys(SMALL.take(np.array([2, 0]))) == [b"c", b"b"]
    with refused("ATL-TAB-020"):
        SMALL.align([b"c", b"nobody"])
    with refused("ATL-TAB-003"):
        SMALL.take(np.array([1, 1]))
    with refused("ATL-TAB-020"):
        SMALL.take(np.array([3]))
    with refused("ATL-TAB-021"):
        SMALL.take(np.array([0.5]))


def test_join_union_subtract() -> None:
    other = make(["d", "c", "a"], z=[4, 5, 6])
    joined = SMALL.join(other)
    assert keys(joined) == [b"a", b"c"]
    np.testing.assert_array_equal(joined.matrix(), [[np.nan, 1, 6], [3, 1, 5]])
    assert keys(SMALL.subtract_by_key(other)) == [b"b"]
    more = make(["a", "e"], x=[9.0, 8.0], y=[7, 7])
    both = SMALL.union(more)
    assert keys(both) == [b"b", b"a", b"c", b"e"]
    assert both.matrix(["y"])[:, 0].tolist() == [0, 1, 1, 7]
    with refused("ATL-TAB-019"):
        SMALL.join(more)
    with refused("ATL-TAB-021"):
        SMALL.union(other)
    with refused("ATL-TAB-017"):
        SMALL.join(make(["q"], z=[1]))


def test_union_matches_columns_by_name() -> None:
    first = Table.from_columns(["a"], {"x": [1.0], "y": [0], "z": [5.0]}, label="y")
    other = Table.from_columns(
        ["b", "a"], {"z": [6.0, 7.0], "y": [1, 1], "x": [2.0, 3.0]}, label="y"
    )
    both = first.union(other)
    assert (both.columns, both.label().tolist()) == (("x", "z"), [0.0, 1.0])
    assert both.matrix().tolist() == [[1.0, 5.0], [2.0, 6.0]]
    for wrong, printed in (
        (other.rename({"z": "q"}), "absent 'z'; too many 'q'"),
        (make(["b"], x=[1], z=[6.0], y=[1]), "of another type 'x'"),
    ):
        with refused("ATL-TAB-021") as error:
            first.union(wrong)
        assert error.value.message == f"the tables have different columns: {printed}"
    for relabelled in (
        make(["b"], x=[2.0], y=[1], z=[6.0]),
        Table.from_columns(["b"], {"x": [2.0], "y": [1], "z": [6.0]}, label="z"),
    ):
        with refused("ATL-TAB-021"):
            first.union(relabelled)


def test_rename_and_unknown_names() -> None:
    renamed = SMALL.rename({"x": "height", "id": "person"})
    assert (renamed.columns, renamed.id_name) == (("height", "y"), "person")
    with refused("ATL-TAB-019"):
        SMALL.rename({"x": "y"})
    for wrong in (lambda: SMALL.column("q"), lambda: SMALL.select(["q"]), lambda: SMALL.label()):
        with refused("ATL-TAB-002"):
            wrong()


def test_filter_by_mask_and_function() -> None:
    assert keys(SMALL.filter(np.array([True, False, True]))) == [b"b", b"c"]
    assert keys(SMALL.filter(lambda part: np.asarray(part.column("y")) == 1)) == [b"a", b"c"]
    with refused("ATL-TAB-021"):
        SMALL.filter(np.array([True]))
    with refused("ATL-TAB-017"):
        SMALL.filter(np.zeros(3, dtype=bool))


def test_map_partitions_checks_what_comes_back() -> None:
    table = SMALL.repartition(1)

    def double(part: Any) -> Any:
        twice = pa.array(np.asarray(part.column("y")) * 2.0)
        return pa.record_batch([part.column("id"), twice], names=["id", "twice"])

    assert table.map_partitions(double).matrix()[:, 0].tolist() == [0, 2, 2]
    with refused("ATL-TAB-003"):
        table.map_partitions(lambda part: pa.record_batch([pa.array(["same"])], names=["id"]))


def test_reduce_combines_in_the_order_of_partitions() -> None:
    table = SMALL.repartition(1)
    assert table.reduce(lambda p: p.column("id").to_pylist(), lambda a, b: a + b) == keys(SMALL)


@given(
    st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=60),
    st.integers(1, 70),
    st.data(),
)
def test_partitioning_changes_no_content(numbers: list[int], size: int, data: Any) -> None:
    values = [None if n % 5 == 0 else n / 7 for n in numbers]
    table = Table.from_columns(pa.array(numbers), {"x": pa.array(values, pa.float64())})
    cut = table.repartition(size)
    assert max(part.num_rows for part in cut.partitions) <= size
    assert cut.digest() == table.digest()
    order = data.draw(st.permutations(range(len(numbers))))
    shuffled = cut.take(np.array(order))
    assert keys(shuffled) == [str(numbers[at]).encode() for at in order]
    assert shuffled.align(table.ids()).digest() == table.digest()
    assert (shuffled.digest() == table.digest()) == (list(order) == sorted(order))


def test_the_digest_of_rows_sees_all_but_the_label_and_the_order_of_columns() -> None:
    columns = {"x": [0.0, 1.0], "y": [2.0, 3.0]}
    ids = pa.array(["a", "b"])
    same = [Table.from_columns(ids, columns, label=label) for label in (None, "x", "y")]
    same.append(Table.from_columns(ids, dict(reversed(columns.items()))))
    assert len({table.rows_digest() for table in same}) == 1
    assert len({table.digest() for table in same}) == 4
    others = [
        make(["a", "b"], x=[0.0, 1.0]),
        make(["a", "b"], x=[0.0, 1.0], y=[2.0, 4.0]),
        make(["a", "b"], x=[0.0, 1.0], z=[2.0, 3.0]),
        make(["a", "b"], x=[0.0, 1.0], y=[2, 3]),
        make(["a", "c"], x=[0.0, 1.0], y=[2.0, 3.0]),
        make(["b", "a"], x=[0.0, 1.0], y=[2.0, 3.0]),
        make(["a", "b"], x=[2.0, 3.0], y=[0.0, 1.0]),
    ]
    digests = {table.rows_digest() for table in (same[0], *others)}
    assert len(digests) == 1 + len(others)
    assert not digests & {table.digest() for table in same}


def test_digest_sees_names_types_values_and_missing() -> None:
    plain = make(["a", "b"], x=[0.0, 1.0])
    others = [
        make(["a", "b"], z=[0.0, 1.0]),
        make(["a", "b"], x=[0, 1]),
        make(["a", "b"], x=[None, 1.0]),
        make(["a", "c"], x=[0.0, 1.0]),
        make(["ab", "0"], x=[0.0, 1.0]),
        make(["b", "a"], x=[0.0, 1.0]),
        Table.from_columns(pa.array(["a", "b"]), {"x": [0.0, 1.0]}, label="x"),
    ]
    digests = [table.digest() for table in (plain, *others)]
    assert len(set(digests)) == len(digests)
    nan = make(["a", "b"], x=[float("nan"), 1.0])
    assert nan.digest() == others[2].digest()


def test_pandas_and_polars_there_and_back() -> None:
    assert Table.from_pandas(SMALL.to_pandas()).matrix(["x"]).shape == (3, 1)
    assert Table.from_polars(SMALL.to_polars()).digest() == SMALL.digest()
    assert SMALL.head(2).num_rows == 2


@pytest.mark.parametrize(
    ("column", "code"),
    [
        (pa.array([1.0, float("inf")]), "ATL-TAB-014"),
        (pa.array(["u", "v"]), "ATL-TAB-016"),
        (pa.array([1, 2**53 + 1]), "ATL-TAB-024"),
        (pa.array([1, 2], pa.timestamp("s")), "ATL-TAB-016"),
    ],
)
def test_features_that_are_no_numbers_are_refused(column: Any, code: str) -> None:
    with refused(code):
        make(["a", "b"], x=column)


def test_misuse_is_refused() -> None:
    with refused("ATL-TAB-016"):
        SMALL.matrix(["id"])
    with refused("ATL-TAB-016"):
        Table.from_columns(pa.array([1, 2]), {"x": pa.array([1.0, 2.0])}, label="id")
    with refused("ATL-TAB-021"):
        Table([SMALL.partitions[0], SMALL.select(["x"]).partitions[0]], "id")
    with refused("ATL-TAB-021"):
        Table.from_arrow("a,b")
    with refused("ATL-TAB-021"):
        SMALL.repartition(0)
    assert Table.from_arrow(SMALL.to_arrow(), columns=["x", "x"]).columns == ("x",)
    assert (SMALL.head(0).num_rows, SMALL.repartition(1).head(2).num_rows) == (1, 2)


def test_missing_label_and_empty_table_are_refused() -> None:
    with refused("ATL-TAB-015"):
        Table.from_columns(pa.array(["a"]), {"y": pa.array([None], pa.float64())}, label="y")
    with refused("ATL-TAB-017"):
        Table.from_columns(pa.array([], pa.string()), {"x": pa.array([], pa.float64())})

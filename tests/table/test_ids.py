"""``id-rule/v1``: the same person is the same bytes at every party."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.table import Table
from atoll.table.ids import duplicates, normalise
from atoll.table.problems import raise_first


def rule(column: Any) -> list[bytes]:
    done = normalise(column, name="id", first_row=1, sink=raise_first())
    assert done.type == pa.binary()
    result: list[bytes] = done.to_pylist()
    return result


def test_text_bytes_and_integers_agree() -> None:
    for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        assert rule(pa.array(["01", " 7\t", "Ab", "NA"], pa.string()).cast(kind)) == [
            b"01",
            b"7",
            b"Ab",
            b"NA",
        ]
    assert rule(pa.array([7, -3], pa.int32())) == [b"7", b"-3"]
    assert rule(pa.array([2**64 - 1], pa.uint64())) == [b"18446744073709551615"]
    assert rule(pa.array(["x", "y", "x"]).dictionary_encode()) == [b"x", b"y", b"x"]
    assert rule(pa.array([b"ab", b"cd"], pa.binary(2))) == [b"ab", b"cd"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=30), max_size=20))
def test_composed_form_is_unicodes_own(texts: list[str]) -> None:
    texts = [text for text in texts if text.strip(" \t\n\v\f\r")]
    want = [unicodedata.normalize("NFC", text.strip(" \t\n\v\f\r")).encode() for text in texts]
    assert rule(pa.array(texts, pa.string())) == want


def test_a_slice_starts_where_it_says() -> None:
    assert rule(pa.array(["a", "b", "c"]).slice(1)) == [b"b", b"c"]


@pytest.mark.parametrize(
    ("column", "code", "place"),
    [
        (pa.array([1.0, 2.0]), "ATL-TAB-006", "column 'id'"),
        (pa.array([True]), "ATL-TAB-006", "column 'id'"),
        (pa.array(["a", "  "]), "ATL-TAB-004", "row 2, column 'id'"),
        (pa.array(["a", "b", None]), "ATL-TAB-004", "row 3, column 'id'"),
        (pa.array(["a", "x" * 257]), "ATL-TAB-005", "row 2, column 'id'"),
        (pa.array([b"a", b"b", b"\xff", b"c"]), "ATL-TAB-007", "row 3, column 'id'"),
    ],
)
def test_refused_with_code_and_row(column: Any, code: str, place: str) -> None:
    with pytest.raises(AtollError) as error:
        rule(column)
    assert (error.value.code, error.value.place) == (code, place)


def test_the_longest_id_passes() -> None:
    assert rule(pa.array(["é" * 128])) == [("é" * 128).encode()]


def test_duplicates_name_both_rows() -> None:
    ids = pa.chunked_array([[b"a", b"b"], [b"c", b"a"], [b"b", b"a"]])
    assert duplicates(ids, 10) == [(3, 0), (4, 1), (5, 0)]
    with pytest.raises(AtollError, match="the id of row 1 occurs again, at row 3") as error:
        Table.from_columns(pa.array(["é", "b", "e\u0301 "]), {})
    assert error.value.code == "ATL-TAB-003"

"""CSV: what a lenient parser would swallow is refused, with code and row; the rest is read."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.core.limits import Limits
from atoll.table import Table, read_csv, write_csv
from atoll.table.problems import Problem
from atoll.table.sources.csv import Reader
from atoll.table.sources.structure import CsvLimits


@pytest.fixture
def put(tmp_path: Path) -> Any:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def keys(table: Table) -> list[bytes]:
    found: list[bytes] = table.ids().to_pylist()
    return found


def test_ids_stay_what_they_are(put: Any) -> None:
    table = read_csv(put("x,id\n1,01\n2, 1 \n3,1.0\n4,NA\n5,1e3\n"))
    assert keys(table) == [b"01", b"1", b"1.0", b"NA", b"1e3"]
    assert table.columns == ("x",)


def test_numbers_and_missing(put: Any) -> None:
    rows = ["1", "-2.5e3", "+4", ".5", " 7 ", "", "NA", " null ", '""', "nan", "?", "  "]
    text = "id,x,y\n" + "".join(f"{at},{value},1\n" for at, value in enumerate(rows))
    want = [1, -2500, 4, 0.5, 7, *[np.nan] * 7]
    np.testing.assert_array_equal(read_csv(put(text)).matrix(["x"])[:, 0], want)


def test_quotes_line_ends_and_marks(put: Any) -> None:
    text = '\ufeff"id","x ""y"""\r\n"a,b",1\r\n"c\nd",2\r\n"e ""f""",3\r\n\r\n\r\n'
    table = read_csv(put(text))
    assert keys(table) == [b"a,b", b"c\nd", b'e "f"']
    assert table.columns == ('x "y"',)
    assert keys(read_csv(put("id;x\na;1\nb;2"), delimiter=";")) == [b"a", b"b"]


BROKEN = [
    ("", "ATL-TAB-017", None),
    ("id,x\n", "ATL-TAB-017", None),
    ("id,x\n\n\n", "ATL-TAB-017", None),
    ("key,x\na,1\n", "ATL-TAB-002", None),
    ("id,x\na,1\nb,2\na,3\n", "ATL-TAB-003", "row 4, column 'id'"),
    ("id,x\na,1\n ,2\n", "ATL-TAB-004", "row 3, column 'id'"),
    ("id,x\na,1\n" + "b" * 257 + ",2\n", "ATL-TAB-005", "row 3, column 'id'"),
    (b"id,x\na,1\n\xe4,2\n", "ATL-TAB-007", "row 3"),
    ("id,x\na,1\n".encode("utf-16"), "ATL-TAB-007", "row 1"),
    ('id,x\na,1\n"b,2\nc,3\n', "ATL-TAB-008", "row 3"),
    ('id,x\na,1\n"b,2\n"c",3\n', "ATL-TAB-008", "row 3"),
    ('id,x\na,1\nb"c,2\n', "ATL-TAB-008", "row 3"),
    ('id,x\na,1\n"b"c,2\n', "ATL-TAB-008", "row 3"),
    ('id,x\na,1\n "b",2\n', "ATL-TAB-008", "row 3"),
    ('id,x\n"a\nb",1\n"c"d,2\n', "ATL-TAB-008", "row 3 (line 4)"),
    ("id,x\na,1\nb\nc,3\n", "ATL-TAB-009", "row 3"),
    ("id,x\na,1\nb,2,3\n", "ATL-TAB-009", "row 3"),
    ("id,x\na,1\n\nb,2\n", "ATL-TAB-009", "row 3"),
    ('id,x\n"a\n\n",1\nb\n', "ATL-TAB-009", "row 3 (line 5)"),
    (b"id,x\na,1\nb\x00,2\n", "ATL-TAB-010", "row 3"),
    ("id,x,x\na,1,2\n", "ATL-TAB-011", "row 1"),
    ("id,,x\na,1,2\n", "ATL-TAB-011", "row 1"),
    ("id,x\na,1\nb,lots\n", "ATL-TAB-013", "row 3, column 'x'"),
    ("id,x,y\na,1,1\nb,2,no\nc,no,3\n", "ATL-TAB-013", "row 3, column 'y'"),
    ("id,x\na,1\nb,inf\n", "ATL-TAB-014", "row 3, column 'x'"),
    ("id,x\na,1\nb,1e999\n", "ATL-TAB-014", "row 3, column 'x'"),
    ("id,x\ra,1\rb,2\r", "ATL-TAB-022", "row 1"),
    ("id,x\na,1\nb,2\rc,3\n", "ATL-TAB-022", "row 3"),
]


@pytest.mark.parametrize("block", [7, 16 << 20])
@pytest.mark.parametrize(("content", "code", "place"), BROKEN)
def test_refused_with_code_and_row(
    put: Any, content: str | bytes, code: str, place: str | None, block: int
) -> None:
    with pytest.raises(AtollError) as error:
        read_csv(put(content), csv_limits=CsvLimits(block_bytes=block))
    assert error.value.code == code
    where = "table.csv" if place is None else f"table.csv, {place}"
    assert error.value.place in (where, None)
    assert code in ("ATL-TAB-017",) or error.value.place == where
    assert error.value.hint


def test_a_missing_label_is_refused(put: Any) -> None:
    with pytest.raises(AtollError, match=r"ATL-TAB-015.*row 3, column 'y'"):
        read_csv(put("id,y\na,1\nb,\n"), label="y")


def test_no_value_is_ever_said(put: Any) -> None:
    secret = "17hunter2"
    for text in (
        f"id,x\na,{secret}\n",
        f"{secret},{secret}\na,{secret}\n",
        f"9{secret},x y\na,1\n",
        f'id,x\n"{secret}"z,1\n',
        f"id,x\n{secret},1\n{secret},2\n",
    ):
        with pytest.raises(AtollError) as error:
            read_csv(put(text))
        assert secret not in str(error.value)
        assert error.value.__cause__ is None


@pytest.mark.parametrize("head", ["id,x\na,", 'id,x\na,"', "", 'id,x\na,1\n"'])
def test_an_endless_field_ends_early(tmp_path: Path, head: str) -> None:
    """A sparse file of 1 GiB: reading it whole would take the memory and the time."""

    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            start = head.encode() if not self.given else b""
            data = start + b"7" * (size - len(start))
            self.given += size
            return data

    stream = Endless()
    problems: list[Problem] = []
    reader = Reader(stream, delimiter=",", limits=CsvLimits(), sink=problems.append)
    assert sum(block.rows for block in reader) == head.count("\n", 6)
    assert problems[-1].code == "ATL-TAB-012"
    assert stream.given <= 2 * CsvLimits().block_bytes


def test_limits_on_rows_columns_and_records(put: Any) -> None:
    path = put("id,x,y\na,1,2\nb,3,4\n")
    with pytest.raises(AtollError, match="ATL-TAB-018"):
        read_csv(path, limits=Limits(rows=1))
    with pytest.raises(AtollError, match="ATL-TAB-018"):
        read_csv(path, csv_limits=CsvLimits(columns=2))
    with pytest.raises(AtollError, match=r"ATL-TAB-012.*row 2"):
        read_csv(put("id,x,y\naa,11,22\nb,3,4\n"), csv_limits=CsvLimits(record_bytes=7))


def test_not_a_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(AtollError, match="ATL-TAB-001"):
            read_csv(path)


def test_only_chosen_columns_have_to_be_numbers(put: Any) -> None:
    path = put("id,name,x\na,Ann,1\nb,Bob,2\n")
    assert read_csv(path, columns=["x"]).columns == ("x",)
    with pytest.raises(AtollError, match="ATL-TAB-002"):
        read_csv(path, columns=["z"])


def blocks(data: bytes, limits: CsvLimits) -> tuple[list[str], bytes, list[tuple[Any, ...]], int]:
    problems: list[Problem] = []
    reader = Reader(io.BytesIO(data), delimiter=",", limits=limits, sink=problems.append, most=1000)
    kept = b"".join(block.data for block in reader)
    return reader.header, kept, [(p.code, p.row, p.line) for p in problems], reader.rows


soup = st.lists(st.sampled_from([b"a", b"b", b",", b'"', b"\n", b"\r\n", b"\r", b" ", b"\xc3\xa9"]))


@given(soup.map(b"".join), st.integers(1, 40))
@example(b'id,x\n"a\n\n",1\nb,2\n\n', 3)
def test_no_structure_is_seen_that_the_standard_reader_does_not_see(tail: bytes, size: int) -> None:
    data = b"id,x\n" + tail
    header, kept, problems, rows = blocks(data, CsvLimits())
    in_pieces = blocks(data, CsvLimits(block_bytes=size))
    assert in_pieces[2][:1] == problems[:1]
    if problems:
        return
    assert in_pieces == (header, kept, problems, rows)
    text = io.StringIO(data.decode().rstrip("\r\n"), newline="")
    theirs = list(csv.reader(text, strict=True))
    assert len(theirs) == rows + 1
    assert all(len(row) == 2 for row in theirs)


clean = st.text(st.characters(exclude_categories=["Cs", "Cn", "Cc"]), min_size=1, max_size=8)
unique = clean.map(lambda text: unicodedata.normalize("NFC", text)).filter(lambda t: t == t.strip())
value = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


@given(st.dictionaries(unique, value, min_size=1, max_size=20), st.integers(1, 64))
def test_written_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, float | None], size: int
) -> None:
    values = np.array(list(rows.values()), dtype=np.float64)
    table = Table.from_columns(pa.array(list(rows)), {'a, "b"': values})
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_csv(table, path)
    assert read_csv(path).digest() == table.digest()
    again = read_csv(path, csv_limits=CsvLimits(block_bytes=size))
    assert again.digest() == table.digest()


def test_public_tables(atoll_data: Path) -> None:
    guest = read_csv(atoll_data / "fate" / "default_credit_hetero_guest.csv", label="y")
    host = read_csv(atoll_data / "fate" / "default_credit_hetero_host.csv")
    assert (guest.num_rows, len(guest.columns), len(host.columns)) == (30_000, 13, 10)
    both = guest.join(host.rename({name: f"host_{name}" for name in host.columns}))
    assert both.num_rows == 30_000
    with pytest.raises(AtollError, match=r"ATL-TAB-011.*row 1"):
        read_csv(atoll_data / "fate" / "breast_normal_test.csv")

"""The check of a file: every problem with its row, columns in sum, no values."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from atoll.core.errors import AtollError
from atoll.table import Table, read_csv, write
from atoll.table.check import check_file

BAD = b'\xef\xbb\xbfid,x,y\na,1,0\nb,twelve,1\n,3,1\nd,4\ne,5,1,7\nf,inf,\nb,1,1\nq,2,1\n"z,1,1\n'


def test_all_problems_of_a_file_with_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(BAD)
    report = check_file(path, label="y")
    assert not report.ok
    assert report.complete
    assert [(problem.code[-3:], problem.row, problem.column) for problem in report.problems] == [
        ("013", 3, "x"),
        ("004", 4, "id"),
        ("009", 5, None),
        ("009", 6, None),
        ("014", 7, "x"),
        ("015", 7, "y"),
        ("003", 8, "id"),
        ("008", 10, None),
    ]
    assert report.problems[6].message == "the id of row 3 occurs again"
    assert report.rows == 8
    assert any("byte order mark" in note for note in report.notes)
    assert "twelve" not in report.to_text() + json.dumps(report.to_dict())


def test_a_sound_file_has_columns_in_sum(tmp_path: Path) -> None:
    path = tmp_path / "good.csv"
    path.write_text("x,id,y\n1,a,0\n,bcd,1\n2.5,e,0\n")
    report = check_file(path, label="y")
    assert (report.ok, report.rows, report.format) == (True, 3, "csv")
    assert [column.to_dict() for column in report.columns] == [
        {
            "name": "id",
            "role": "id",
            "type": "bytes",
            "missing": 0,
            "distinct": 3,
            "many": False,
            "minimum": 1.0,
            "maximum": 3.0,
        },
        {
            "name": "y",
            "role": "label",
            "type": "integer",
            "missing": 0,
            "distinct": 2,
            "many": False,
            "minimum": 0.0,
            "maximum": 1.0,
        },
        {
            "name": "x",
            "role": "feature",
            "type": "number",
            "missing": 1,
            "distinct": 2,
            "many": False,
            "minimum": 1.0,
            "maximum": 2.5,
        },
    ]
    assert report.to_text().endswith("no problems")


def test_the_list_of_problems_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + "a,1\n" * 50)
    report = check_file(path, limit=5)
    assert (len(report.problems), report.complete) == (5, False)
    assert report.columns[0].distinct == 1
    assert "more than 5 problems" in report.to_text()


def test_many_values_are_not_counted_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,x\n" + "".join(f"{at},{at}\n" for at in range(1500)))
    column = check_file(path).columns[1]
    assert (column.distinct, column.many) == (1000, True)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "ATL-TAB-017"),
        (b"id,x\n", "ATL-TAB-017"),
        (b"key,x\na,1\n", "ATL-TAB-002"),
        ("id,x\na,1\n".encode("utf-16"), "ATL-TAB-007"),
        (b"id,x,x\na,1,2\n", "ATL-TAB-011"),
        (b"id,x\na,1\n" + b"b" * (2 << 20) + b",2\n", "ATL-TAB-012"),
        (b"id,x\na,1\rb,2\r", "ATL-TAB-022"),
    ],
)
def test_what_ends_the_check_is_a_problem_too(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert [problem.code for problem in check_file(path).problems] == [code]


def test_typed_files_and_damaged_ones(tmp_path: Path) -> None:
    table = Table.from_columns(pa.array(["a", "b"]), {"x": [1.0, None], "y": [0, 1]}, label="y")
    for name in ("t.parquet", "t.arrow"):
        write(table, tmp_path / name)
        report = check_file(tmp_path / name, label="y")
        assert (report.ok, report.rows, len(report.columns)) == (True, 2, 3)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        assert check_file(tmp_path / name).problems[0].code == "ATL-TAB-026"
    bad = pa.table({"id": [1.5, 2.5], "when": pa.array([1, 2], pa.timestamp("s"))})
    parquet.write_table(bad, tmp_path / "bad.parquet")
    codes = {problem.code for problem in check_file(tmp_path / "bad.parquet").problems}
    assert "ATL-TAB-006" in codes


def test_only_what_cannot_be_looked_at_is_raised(tmp_path: Path) -> None:
    for name, code in (("none.csv", "ATL-TAB-001"), ("t.xlsx", "ATL-TAB-023")):
        with pytest.raises(AtollError) as error:
            check_file(tmp_path / name)
        assert error.value.code == code


def test_public_tables_agree_with_the_reader(atoll_data: Path) -> None:
    tables = sorted((atoll_data / "fate").glob("*.csv"))
    assert len(tables) > 30
    for path in tables:
        report = check_file(path)
        if report.ok:
            assert read_csv(path).num_rows == report.rows
        else:
            with pytest.raises(AtollError) as error:
                read_csv(path)
            assert error.value.code in {problem.code for problem in report.problems}

"""Rows are numbered as their file numbers them."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll.table import Table, read, write


@pytest.mark.parametrize(("ending", "first"), [("csv", 2), ("parquet", 1), ("arrow", 1)])
def test_the_header_of_a_csv_file_is_row_1(tmp_path: Path, ending: str, first: int) -> None:
    made = Table.from_columns(["a", "b", "c"], {"x": [1.0, 2.0, 3.0], "y": [1, 1, 0]}, label="y")
    file = tmp_path / f"rows.{ending}"
    write(made, file)
    facts = read(file, id_column="id", label="y").label_facts()
    assert facts is not None
    assert (facts.classes, facts.rows) == ((0.0, 1.0), (first + 2, first))

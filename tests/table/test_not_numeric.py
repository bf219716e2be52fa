"""Whatever a table comes from: a column that is no number is refused by its name, no value told."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import polars
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from atoll.core.errors import DataError
from atoll.sdk.frames import as_table
from atoll.table import Table, read, read_csv

COLUMNS: dict[str, Any] = {"id": ["p1", "p2"], "x": [1.0, 2.0], "town": ["secret", "secret"]}
ARROW = pa.table(COLUMNS)


def csv_file(folder: Path) -> Table:
    (folder / "t.csv").write_text("id,x,town\np1,1.0,secret\np2,2.0,secret\n")
    return read_csv(folder / "t.csv")


def parquet_file(folder: Path) -> Table:
    parquet.write_table(ARROW, folder / "t.parquet")
    return read(folder / "t.parquet")


def arrow_file(folder: Path) -> Table:
    feather.write_feather(ARROW, str(folder / "t.arrow"), compression="uncompressed")
    return read(folder / "t.arrow")


def categories(folder: Path) -> Table:
    encoded = ARROW.column("town").dictionary_encode()
    return Table.from_arrow(ARROW.set_column(2, "town", encoded))


def mixed(folder: Path) -> Table:
    return Table.from_pandas(pd.DataFrame(COLUMNS | {"town": [1, "secret"]}))


WAYS: dict[str, Callable[[Path], Table]] = {
    "csv": csv_file,
    "parquet": parquet_file,
    "arrow file": arrow_file,
    "arrow": lambda folder: Table.from_arrow(ARROW),
    "categories": categories,
    "columns": lambda folder: Table.from_columns(
        ARROW["id"], {"x": ARROW["x"], "town": ARROW["town"]}
    ),
    "pandas": lambda folder: Table.from_pandas(pd.DataFrame(COLUMNS)),
    "pandas of several types": mixed,
    "polars": lambda folder: Table.from_polars(polars.DataFrame(COLUMNS)),
    "frame of pandas": lambda folder: as_table(pd.DataFrame(COLUMNS)),
    "frame of polars": lambda folder: as_table(polars.DataFrame(COLUMNS)),
}


@pytest.mark.parametrize("way", WAYS)
def test_text_is_refused_by_the_name_of_its_column(way: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        WAYS[way](tmp_path)
    error = caught.value
    # A file of text has values that are no numbers; elsewhere the whole column has a type.
    assert error.code == ("ATL-TAB-013" if way == "csv" else "ATL-TAB-016")
    assert str(error.place).endswith("column 'town'")
    assert "secret" not in str(error)


def test_truth_values_become_numbers() -> None:
    columns = {"id": ["a", "b"], "yes": [True, False]}
    for made in (
        Table.from_arrow(pa.table(columns)),
        Table.from_pandas(pd.DataFrame(columns)),
        Table.from_polars(polars.DataFrame(columns)),
    ):
        assert made.schema.field("yes").type == pa.uint8()


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pd.read_csv(io.StringIO("id,x,y\na,1,2\n"))
    for names in (["id", "x", "x"], ["id", 1, "1"]):
        with pytest.raises(DataError, match="column 3 repeats an earlier name") as caught:
            Table.from_pandas(frame.set_axis(names, axis=1))
        assert caught.value.code == "ATL-TAB-011"

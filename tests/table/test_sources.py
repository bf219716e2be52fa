"""Parquet, Arrow and CSV by name; files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from atoll.core.errors import AtollError
from atoll.core.files import atomic_output
from atoll.core.limits import Limits
from atoll.table import Table, read, write
from atoll.table.sources import read_ipc, read_parquet

TABLE = Table.from_columns(
    pa.array(["b", "a", "c"]), {"x": [1.5, None, 3.0], "n": [1, 2, 3], "y": [0, 1, 1]}, label="y"
)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.ipc", "t.feather", "T.PARQUET"])
def test_typed_files_keep_content_id_and_label(tmp_path: Path, name: str) -> None:
    renamed = TABLE.rename({"id": "person"}).repartition(2)
    write(renamed, tmp_path / name)
    again = read(tmp_path / name)
    assert (again.id_name, again.label_name) == ("person", "y")
    assert again.digest() == renamed.digest()
    assert read(tmp_path / name, columns=["n"]).columns == ("n",)


def test_csv_by_name(tmp_path: Path) -> None:
    write(TABLE, tmp_path / "t.csv")
    again = read(tmp_path / "t.csv", label="y")
    np.testing.assert_array_equal(again.matrix(), TABLE.matrix())
    with pytest.raises(AtollError, match="ATL-TAB-023"):
        write(TABLE, tmp_path / "t.xlsx")


def test_an_arrow_stream_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE.to_arrow())
    assert read(tmp_path / "t.arrow", label="y").digest() == TABLE.digest()


def test_integers_of_typed_files_are_ids_in_decimal(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": [7, 30], "x": [1, 2]}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").ids().to_pylist() == [b"7", b"30"]


def test_damaged_and_oversized_files_are_refused(tmp_path: Path) -> None:
    for name in ("t.parquet", "t.arrow"):
        path = tmp_path / name
        for content in (b"", b"ARROW1", b"nonsense" * 10, b"PAR1PAR1"):
            path.write_bytes(content)
            with pytest.raises(AtollError, match="ATL-TAB-026"):
                read(path)
    write(TABLE, tmp_path / "t.parquet")
    with pytest.raises(AtollError, match="ATL-TAB-018"):
        read_parquet(tmp_path / "t.parquet", limits=Limits(rows=2))


def test_a_forged_offset_is_refused(tmp_path: Path) -> None:
    """A file whose offsets point outside its buffer must not make us read there."""
    path = tmp_path / "t.arrow"
    table = pa.table({"id": pa.array([b"aaaa", b"bbbb"], pa.binary())})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    good = path.read_bytes()
    offsets = np.array([0, 4, 8], dtype="<i4").tobytes()
    assert good.count(offsets) == 1
    path.write_bytes(good.replace(offsets, np.array([0, 4, 1 << 30], dtype="<i4").tobytes()))
    with pytest.raises(AtollError, match="ATL-TAB-026"):
        read_ipc(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("before")

    def fail() -> None:
        with atomic_output(path) as stream:
            stream.write(b"half")
            raise KeyError("in the middle")

    with pytest.raises(KeyError):
        fail()
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.csv"]
    assert path.read_text() == "before"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet", "t.arrow"):
        with pytest.raises(AtollError, match="ATL-TAB-025"):
            write(TABLE, tmp_path / "none" / name)


def test_engine_threads_and_nesting() -> None:
    from atoll.table.engines.local import LocalEngine

    engine = LocalEngine(2)

    def outer(at: int) -> list[Any]:
        return engine.map(lambda inner: (at, inner), range(3))

    assert engine.map(outer, range(5)) == [[(at, i) for i in range(3)] for at in range(5)]
    with pytest.raises(ZeroDivisionError):
        engine.map(lambda at: 1 // at, [1, 0, 2])
    engine.close()
    with pytest.raises(AtollError, match="ATL-TAB-028"):
        LocalEngine(-1)

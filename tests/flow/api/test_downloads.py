"""Artifacts as files: no formula, no private kind, the same rows in every form."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from atoll.flow.api.downloads import Form, download
from atoll.flow.api.services import Content
from atoll.flow.api.table_export import FORMULA, csv_pieces, escaped
from atoll.flow.work.artifacts import store
from atoll.jobs.errors import DeniedError
from atoll.table import Table


def fetched(content: Content, form: Form | None) -> bytes:
    answer = download(content, form)
    assert isinstance(answer, StreamingResponse)

    async def collect() -> bytes:
        pieces: list[Any] = [piece async for piece in answer.body_iterator]
        return b"".join(pieces)

    return asyncio.run(collect())


def kept(table: Table, folder: Path) -> Content:
    stored = store("table", table, folder)
    return Content("rows", "table", folder / stored.digest, stored.digest, stored.size)


def test_every_form_holds_the_same_rows(tmp_path: Path) -> None:
    table = Table.from_columns(["=1+1", "b"], {"@x": [1.5, None], "y": [-1.0, 2.0]})
    content = kept(table, tmp_path)
    rows = list(csv.reader(io.StringIO(fetched(content, None).decode())))
    assert rows == [["id", "'@x", "y"], ["'=1+1", "1.5", "-1"], ["b", "", "2"]]
    assert parquet.read_table(io.BytesIO(fetched(content, "parquet"))).equals(table.to_arrow())
    arrow = pa.ipc.open_file(fetched(content, "arrow")).read_all()
    assert arrow.equals(table.to_arrow())


@pytest.mark.parametrize(
    ("value", "expected", "ending"),
    [({"a": [1, None]}, b'{"a":[1,null]}', "json"), (b"\x00\x01", b"\x00\x01", "bin")],
)
def test_what_a_component_of_others_left_is_json_or_bytes(
    tmp_path: Path, value: Any, expected: bytes, ending: str
) -> None:
    stored = store("other.thing", value, tmp_path)
    content = Content("it", "other.thing", tmp_path / stored.digest, stored.digest, stored.size)
    assert fetched(content, None) == expected
    headers = download(content, None).headers
    assert headers["Content-Disposition"] == f'attachment; filename="it.{ending}"'


def test_a_seed_stays(tmp_path: Path) -> None:
    with pytest.raises(DeniedError, match="ATL-API-014"):
        download(Content("seed", "seed", tmp_path / "x", "0" * 64, 32), None)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=5))
def test_no_cell_begins_a_formula(texts: list[str]) -> None:
    batch = pa.record_batch({"=head": pa.array(texts, pa.string())})
    rows = list(csv.reader(io.StringIO(b"".join(csv_pieces([batch])).decode(), newline="")))
    assert [row[0] if row else "" for row in rows[1:]] == [escaped(text) for text in texts]
    assert not any(cell.startswith(FORMULA) for row in rows for cell in row)

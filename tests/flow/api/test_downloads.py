"""Artifacts as files: no formula, no private kind, the same rows in every form."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from atoll.components.download import arrow_of, to_csv
from atoll.components.local_prediction import _to_csv as predictions
from atoll.components.scores import Scores
from atoll.flow.api.downloads import Form, download
from atoll.flow.api.sending import Pieces
from atoll.flow.api.services import Content
from atoll.flow.api.table_export import csv_pieces
from atoll.flow.work.artifacts import store
from atoll.jobs.errors import DeniedError
from atoll.table import Table

BEGIN = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?")


def fetched(content: Content, form: Form | None) -> bytes:
    answer = download(content, form)
    assert isinstance(answer, Pieces)
    return b"".join(answer.pieces)


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
    for made in (b"".join(csv_pieces([batch])), to_csv(pa.Table.from_batches([batch]))):
        rows = list(csv.reader(io.StringIO(made.decode(), newline="")))
        cells = [row[0] if row else "" for row in rows]
        assert cells[0] == "'=head"
        assert [cell.removeprefix("'") for cell in cells] == [
            text.removeprefix("'") for text in ("=head", *texts)
        ]
        assert not any(cell.startswith(BEGIN) and not NUMBER.fullmatch(cell) for cell in cells)


FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "%x", "|x", "-5,1", "-"]
PLAIN = ["plain", "-5", "+4.5", "'=1", "1=1", "a\n=1"]


def test_both_exports_escape_formulas_in_ids_and_names_and_no_numbers() -> None:
    ids = [*FORMULAS, *PLAIN]
    made = Table.from_columns(
        pa.array(ids), {"=evil": -np.arange(float(len(ids))), "fine": np.arange(len(ids))}
    )
    pieces = b"".join(csv_pieces(made.to_arrow().to_batches()))
    plain = list(csv.reader(io.StringIO(to_csv(arrow_of(made), escape=False).decode(), newline="")))
    assert [row[0] for row in plain[1:]] == ids
    assert pieces == to_csv(arrow_of(made))
    rows = list(csv.reader(io.StringIO(pieces.decode(), newline="")))
    assert rows[0] == ["id", "'=evil", "fine"]
    assert [row[0] for row in rows[1:]] == [f"'{text}" for text in FORMULAS] + PLAIN
    assert rows[2][1] == "-1"


@pytest.mark.parametrize("classes", [None, 3])
def test_the_files_of_scores_hold_no_formula(classes: int | None) -> None:
    """Ids as they are stood in `scores.csv` and `predictions.csv`: one is whatever a file holds."""
    ids = [*FORMULAS, *PLAIN]
    nothing = np.full(len(ids), np.nan)
    scores = Scores(pa.array(ids).cast(pa.binary()), nothing, np.arange(float(len(ids))))
    chances = None if classes is None else np.full((len(ids), classes), 0.25)
    made = scores.to_csv() if chances is None else predictions(scores, chances)
    rows = list(csv.reader(io.StringIO(made.decode(), newline="")))
    assert [row[0] for row in rows[1:]] == [f"'{text}" for text in FORMULAS] + PLAIN
    assert [float(row[1]) for row in rows[1:]] == list(range(len(ids)))
    assert scores.to_arrow().column("id").to_pylist() == ids

"""Artifacts in files: what is written comes back, and nothing else is taken for it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.components.scores import Scores
from atoll.core.errors import AtollError
from atoll.core.report import KeyValuePanel, Report
from atoll.flow.work.artifacts import CODECS, PARTIAL, Staging, decode, load, store
from atoll.jobs.errors import TamperedError
from atoll.models.boosting import GuestPart, HostPart, Split, Tree
from atoll.table import Table

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(1, 40))
    ids = draw(st.lists(st.uuids(), min_size=rows, max_size=rows, unique=True))
    floats = st.lists(st.none() | NUMBERS, min_size=rows, max_size=rows)
    whole = st.lists(st.none() | st.integers(-99, 99), min_size=rows, max_size=rows)
    columns = {"a": pa.array(draw(floats), pa.float64()), "b": pa.array(draw(whole), pa.int16())}
    label = draw(st.sampled_from(["y", None]))
    if label:
        columns["y"] = pa.array([float(at % 2) for at in range(rows)])
    table = Table.from_columns(
        pa.array([str(one) for one in ids]), columns, id_column="key", label=label
    )
    agreed = draw(st.sampled_from([None, "a" * 64, "0123456789abcdef" * 4]))
    return table.repartition(draw(st.integers(1, rows))).with_alignment(agreed)


def again(kind: str, value: Any, folder: Path) -> Any:
    kept = store(kind, value, folder)
    path = folder / kept.digest
    assert path.stat().st_size == kept.size
    assert store(kind, value, folder) == kept
    return load(kind, path, kept.digest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@given(table=tables())
def test_a_table_comes_back_with_its_id_label_and_partitions(folder: Path, table: Table) -> None:
    found = again("table", table, folder)
    assert found.digest() == table.digest()
    assert (found.id_name, found.label_name) == (table.id_name, table.label_name)
    assert found.alignment == table.alignment
    assert found.columns == table.columns
    assert [p.num_rows for p in found.partitions] == [p.num_rows for p in table.partitions]
    assert found.take(np.array([0])).ids().to_pylist() == table.ids().to_pylist()[:1]


@given(table=tables(), data=st.data())
def test_scores_come_back_to_the_last_bit(folder: Path, table: Table, data: st.DataObject) -> None:
    rows = table.num_rows
    score = np.array(data.draw(st.lists(NUMBERS, min_size=rows, max_size=rows)))
    scores = Scores(table.ids(), np.zeros(rows), score)
    found = again("scores", scores, folder)
    assert found.ids.to_pylist() == scores.ids.to_pylist()
    assert np.array_equal(found.score, score)
    assert found.to_csv() == scores.to_csv()
    assert found.probabilities is None
    wide = np.array(data.draw(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=rows, max_size=rows)))
    both = again("scores", Scores(table.ids(), np.zeros(rows), score, wide), folder)
    assert np.array_equal(both.probabilities, wide)
    assert np.array_equal(both.score, score)


@pytest.mark.parametrize("kind", ["metrics", "statistics", "mine.thing"])
@given(value=JSON)
def test_json_comes_back(folder: Path, kind: str, value: Any) -> None:
    found = again(kind, value, folder)
    assert found == value
    assert json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)


@given(value=st.binary(max_size=99))
def test_bytes_come_back(folder: Path, value: bytes) -> None:
    assert again("mine.thing", value, folder) == value
    if value:
        assert again("file", value, folder) == value


TREE = Tree(
    owner=(1, -1, -1),
    split=(0, 0, 0),
    left=(1, 0, 0),
    right=(2, 0, 0),
    weight=(0.0, 0.1, -0.3),
    gain=(1.5, 0.0, 0.0),
    rows=(9, 4, 5),
)


def test_models_reports_and_seeds_come_back(folder: Path) -> None:
    guest = GuestPart(
        model="0" * 32,
        party="bank",
        hosts=("shop",),
        columns=("a",),
        base_margin=0.1,
        splits=(),
        host_splits=(1,),
        trees=(TREE,),
    )
    host = HostPart(
        model="0" * 32,
        party="shop",
        guest="bank",
        columns=("b",),
        splits=(Split(column=0, threshold=0.1),),
    )
    report = Report(title="Found", panels=(KeyValuePanel(title="Rows", values={"own": 3}),))
    for kind, value in (
        ("boosting.model", guest),
        ("boosting.model", host),
        ("report", report),
        ("seed", bytes(range(32))),
    ):
        assert again(kind, value, folder) == value


WRONG = [
    ("table", {"not": "a table"}),
    ("scores", [1, 2]),
    ("boosting.model", b"{}"),
    ("report", {"title": "x"}),
    ("seed", b"short"),
    ("seed", "text"),
    ("metrics", {1: 2}),
    ("metrics", {"a": object()}),
    ("metrics", {"a": float("nan")}),
    ("metrics", {"a": np.float64(1.0)}),
    ("file", "text"),
    ("mine.thing", {"a": {2}}),
    ("nothing-known", {}),
    ("Mine.Thing", {}),
    ("../up.x", {}),
]


@pytest.mark.parametrize(("kind", "value"), WRONG)
def test_a_value_of_another_kind_is_refused_and_leaves_nothing(
    tmp_path: Path, kind: str, value: Any
) -> None:
    with pytest.raises(AtollError) as caught:
        store(kind, value, tmp_path)
    assert caught.value.code == "ATL-WRK-005"
    assert not list(tmp_path.iterdir())


def stored(folder: Path, kind: str) -> bytes:
    table = Table.from_columns(
        pa.array(["a", "b", "c"]),
        {"x": pa.array([1.0, None, 3.0]), "y": pa.array([0.0, 1.0, 0.0])},
        label="y",
    )
    values: dict[str, Any] = {
        "table": table,
        "scores": Scores(table.ids(), table.label(), np.array([0.1, 0.2, 0.3])),
        "boosting.model": HostPart(
            model="0" * 32, party="shop", guest="bank", columns=("b",), splits=()
        ),
        "metrics": {"auc": 0.5, "n": [1, 2]},
        "statistics": {"x": {"mean": 0.5}},
        "report": Report(title="Found", panels=()),
        "mine.thing": {"a": 1},
    }
    return (folder / store(kind, values[kind], folder).digest).read_bytes()


KINDS = ["table", "scores", "boosting.model", "metrics", "statistics", "report", "mine.thing"]


REFUSED = object()


def refused_or_read(kind: str, data: bytes) -> Any:
    try:
        return decode(kind, data)
    except TamperedError as error:
        return REFUSED if error.code == "ATL-WRK-006" else error


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_damage_is_an_error_with_a_code_or_another_value_but_no_crash(
    folder: Path, kind: str, data: st.DataObject
) -> None:
    whole = bytearray(stored(folder, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        value = refused_or_read(kind, damaged)
        assert value is REFUSED or store(kind, value, folder).kind == kind


@pytest.mark.parametrize("kind", [*KINDS, "seed", "file"])
def test_one_flipped_bit_breaks_the_digest(tmp_path: Path, kind: str) -> None:
    assert set(CODECS) <= {*KINDS, "seed", "file"}
    whole = bytearray(stored(tmp_path, kind) if kind in KINDS else bytes(32))
    right = store("file", bytes(whole), tmp_path).digest
    whole[-1] ^= 1
    path = tmp_path / "damaged"
    path.write_bytes(whole)
    with pytest.raises(AtollError) as caught:
        load(kind, path, right)
    assert caught.value.code == "ATL-WRK-006"


def stream(schema: Any, batch: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


FORM = b'{"form": "atoll/table/v1", "id": "id", "label": null}'


def batch(**columns: Any) -> Any:
    whole = {"id": pa.array([b"a", b"b"]), **columns}
    return pa.record_batch(whole).replace_schema_metadata({b"atoll": FORM})


def test_only_plain_batches_of_ids_and_numbers_are_a_table() -> None:
    good = batch(x=pa.array([1.0, 2.0]))
    assert decode("table", stream(good.schema, good)).num_rows == 2
    bad = [
        stream(good.schema, good, compression="lz4"),
        stream(good.schema.remove_metadata(), good),
        stream(good.schema.with_metadata({b"atoll": FORM, b"more": b"x"}), good),
        stream(good.schema.with_metadata({b"atoll": b"[]"}), good),
    ]
    for alignment in (b"7", b'""', b'"a"', b'"%s"' % (b"g" * 64), b'["a"]'):
        form = FORM[:-1] + b', "alignment": ' + alignment + b"}"
        bad.append(stream(good.schema.with_metadata({b"atoll": form}), good))
    for columns in (
        {"x": pa.array(["t", "u"])},
        {"x": pa.array(["t", "u"]).dictionary_encode()},
        {"id": pa.array(["t", "u"])},
        {"id": pa.array([b"t", None])},
    ):
        wrong = batch(**columns)
        bad.append(stream(wrong.schema, wrong))
    for data in bad:
        with pytest.raises(AtollError, match="ATL-WRK-006"):
            decode("table", data)


def test_a_size_that_the_file_does_not_have_allocates_nothing(folder: Path) -> None:
    whole = stored(folder, "table")
    # The length of the stream's first message, and then of its body, claims almost 2 GiB.
    for at in (4, 8 + struct.unpack_from("<i", whole, 4)[0] + 4):
        damaged = bytearray(whole)
        struct.pack_into("<i", damaged, at, 0x7FFFFFF0)
        with pytest.raises(AtollError, match="ATL-WRK-006"):
            decode("table", bytes(damaged))


def test_a_table_is_read_over_the_pages_of_its_file(tmp_path: Path) -> None:
    rows = 200_000
    table = Table.from_columns(
        pa.array([str(at) for at in range(rows)]), {"x": pa.array(np.arange(rows) * 1.0)}
    )
    kept = store("table", table, tmp_path)
    before = pa.total_allocated_bytes()
    found = load("table", tmp_path / kept.digest, kept.digest)
    assert pa.total_allocated_bytes() - before < 1 << 16
    assert found.num_rows == rows == kept.rows


def test_nothing_is_there_before_it_is_published(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    kept = staging.add("metrics", {"a": 1})
    assert [path.name[: len(PARTIAL)] for path in tmp_path.iterdir()] == [PARTIAL]
    staging.publish()
    assert [path.name for path in tmp_path.iterdir()] == [kept.digest]
    staging.add("metrics", {"a": 2})
    staging.discard()
    assert [path.name for path in tmp_path.iterdir()] == [kept.digest]
